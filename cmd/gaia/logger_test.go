package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/internal/testkit"
)

// safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// An upstream that answers what nobody asked is no news above debug.
func TestUnsolicitedAnswerIsLoggedAtDebug(t *testing.T) {
	var said safeBuffer
	logger, _ := newLogger(&said, config.Log{Level: "debug", Format: "json"})
	defer divertStandardLog(logger)()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		_, _ = io.WriteString(c, answer)
		<-again
		_, _ = io.WriteString(c, answer)
		_, _ = io.Copy(io.Discard, c) // until the transport gives up on it
	}()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	close(again)
	testkit.Until(t, "it is logged", func() bool { return strings.Contains(said.String(), "Unsolicited") })
	if line := said.String(); !strings.Contains(line, `"level":"DEBUG"`) || strings.Count(line, "\n") != 1 {
		t.Errorf("said %q", line)
	}
}
