package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

const (
	loadConns   = 32     // connections, each with one request at a time
	loadTenants = 10_000 // tenants that take turns
)

// generate sends requests when told to: "ADDR N STATUS" on a line sends N of them to
// ADDR over connections that stay open, and answers ok when the last is answered with
// that status, or says what went wrong.
func generate(_ []string, in io.Reader, out io.Writer) error {
	targets := map[string]*load{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var addr string
		var n, status int
		if _, err := fmt.Sscan(lines.Text(), &addr, &n, &status); err != nil {
			return fmt.Errorf("read what to send: %w", err)
		}
		if targets[addr] == nil {
			targets[addr] = &load{addr: addr, status: " " + strconv.Itoa(status)}
		}
		if err := targets[addr].send(n); err != nil {
			fmt.Fprintln(out, strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Fprintln(out, "ok")
	}
	return lines.Err()
}

// load is the connections to one target.
type load struct {
	addr   string
	status string // that answers must have, after a space
	conns  []*loadConn
}

type loadConn struct {
	c      net.Conn
	r      *bufio.Reader
	tenant int
	text   []byte
}

// send sends n requests, as many as there are connections at a time.
func (l *load) send(n int) error {
	for len(l.conns) < loadConns {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		l.conns = append(l.conns, &loadConn{c: c, r: bufio.NewReaderSize(c, 16<<10), tenant: len(l.conns)})
	}
	faults := make([]error, loadConns)
	var wg sync.WaitGroup
	for i, c := range l.conns {
		share := n / loadConns
		if i < n%loadConns {
			share++
		}
		wg.Go(func() {
			for range share {
				if faults[i] = c.ask(l.addr, l.status); faults[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}

// ask sends one request and reads its answer.
func (c *loadConn) ask(host, want string) error {
	c.tenant = (c.tenant + loadConns) % loadTenants
	c.text = fmt.Appendf(c.text[:0], "GET /t/v1/items/12345?expand=true HTTP/1.1\r\nHost: %s\r\nUser-Agent: gate\r\nAccept: */*\r\nGaia-Tenant: tenant-%05d\r\n\r\n", host, c.tenant)
	if _, err := c.c.Write(c.text); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	status, err := c.r.Peek(len("HTTP/1.1 200"))
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if !bytes.HasSuffix(status, []byte(want)) {
		line, _ := c.r.ReadString('\n')
		return fmt.Errorf("answered %q", line)
	}
	length, err := head(c.r)
	if err != nil {
		return fmt.Errorf("receive the head: %w", err)
	}
	if want == " 200" && length != answerSize {
		return fmt.Errorf("answered with %d bytes, want %d", length, answerSize)
	}
	if _, err := c.r.Discard(length); err != nil {
		return fmt.Errorf("receive the body: %w", err)
	}
	return nil
}
