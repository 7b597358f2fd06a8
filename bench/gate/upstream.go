package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
)

// answer is what the upstream answers to everything: the size of a small JSON document.
var answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", answerSize)

const answerSize = 1024

// serveUpstream answers requests without a body on two ports, as cheaply as it can: the
// cores are shared with what is measured.
func serveUpstream(_ []string, in io.Reader, out io.Writer) error {
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go answerAll(c)
			}
		}()
	}
	fmt.Fprintln(out, strings.Join(addrs, " "))
	_, err := io.Copy(io.Discard, in)
	return err
}

// answerAll answers one request after the other until the client leaves.
func answerAll(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 16<<10)
	text := []byte(answer)
	for {
		if _, err := head(r); err != nil {
			return
		}
		if _, err := c.Write(text); err != nil {
			return
		}
	}
}

// head skips the head of a message and returns the length of the body that it announces.
func head(r *bufio.Reader) (length int, err error) {
	first := true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && !first {
			return length, nil
		}
		first = false
		const field = "content-length:"
		if len(line) > len(field) && bytes.EqualFold(line[:len(field)], []byte(field)) {
			if _, err := fmt.Sscan(string(line[len(field):]), &length); err != nil {
				return 0, fmt.Errorf("read Content-Length: %w", err)
			}
		}
	}
}
