package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// The requests of the tests of answers: the last of its connection, and one of HTTP/1.0.
const (
	last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	old  = "GET / HTTP/1.0\r\n\r\n"
)

// answerCase is what a connection says to a handler and what it reads to its end.
type answerCase struct {
	name, raw, want string
	handler         func(http.ResponseWriter, *http.Request)
}

func checkEach(t *testing.T, cases []answerCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, c.handler)
			if got := talk(t, addr, c.raw); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	checkEach(t, []answerCase{
		{"nothing", last, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", func(http.ResponseWriter, *http.Request) {}},
		{"short", last, "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(418)
			w.WriteHeader(200) // counts for nothing
			_, _ = io.WriteString(w, "ok")
		}},
		{"unnamed status", last, "HTTP/1.1 799 status code 799\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) }},
		{"flushed", last, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "!")
		}},
		{"flushed without a body", last, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }},
		{"trailers", last, "HTTP/1.1 200 OK\r\nTrailer: X-A\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-A")
			_, _ = io.WriteString(w, "ok")
			w.(http.Flusher).Flush()
			w.Header().Set("X-A", "1")
			w.Header().Set(http.TrailerPrefix+"X-B", "2")
		}},
		{"length", last, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			for _, piece := range []string{"a", "bc"} {
				_, _ = io.WriteString(w, piece)
				w.(http.Flusher).Flush()
			}
			if _, err := io.WriteString(w, "d"); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("more than the length: %v", err)
			}
		}},
		{"framing is the server's", last, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Transfer-Encoding", "chunked")
			w.Header().Set("Content-Length", "-2")
			_, _ = io.WriteString(w, "ok")
		}},
		{"no split", last, "HTTP/1.1 200 OK\r\nX-A: b  X-B: c\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-A"] = []string{"b\r\nX-B: c"}
			w.Header()["Bad Name"] = []string{"x"}
			w.Header()["X-Nothing"] = nil
		}},
	})
}

func TestAnswersWithoutBody(t *testing.T) {
	checkEach(t, []answerCase{
		{"no content", last, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "ok"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("a body of 204: %v", err)
			}
		}},
		{"not modified", last, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(304)
		}},
		{"head", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
		}},
		{"head without a length", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }},
	})
}

func TestAnswersToOldClients(t *testing.T) {
	checkEach(t, []answerCase{
		{"old client", old, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }},
		{"old client, no length", old, "HTTP/1.0 200 OK\r\n\r\nok!", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103) // it would not know it
			_, _ = io.WriteString(w, "ok")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "!")
		}},
		{"old client that stays", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + old, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nokHTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }},
	})
}

func TestAnswersThatHandlersEnd(t *testing.T) {
	checkEach(t, []answerCase{
		{"hints", last, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "x")
			w.WriteHeader(103)
			w.Header().Del("Link")
		}},
		{"too little", get + get, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "ok")
		}},
		{"the handler closes", get + get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }},
		{"aborted", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"aborted before anything was sent", get, "", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
			panic("on purpose")
		}},
	})
}

// TestLargeAnswers writes pieces of all sizes around those of the buffers.
func TestLargeAnswers(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1<<10)
	for _, length := range []bool{true, false} {
		addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if length {
				w.Header()["Content-Length"] = r.Header["X-Size"]
			}
			rest := text[:len(r.URL.Path)-1]
			for n := 1; len(rest) > 0; n = min(3*n, len(rest)) {
				_, _ = io.WriteString(w, rest[:n])
				rest = rest[n:]
			}
		})
		c := dial(t, addr)
		for _, size := range []int{1, 2047, 2048, 2049, 2050, 4094, 4095, 4096, 4097, 9999} {
			c.send("GET /" + text[:size] + " HTTP/1.1\r\nHost: a\r\nX-Size: " + itoa(size) + "\r\n\r\n")
			if _, body := c.answer("GET"); body != text[:size] {
				t.Fatalf("length %v: of %d bytes came %d", length, size, len(body))
			}
		}
	}
}

// TestAnswersAreOneWrite counts what goes to the kernel.
func TestAnswersAreOneWrite(t *testing.T) {
	var writes atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 1000))
	})})
	served := make(chan error, 1)
	go func() { served <- s.Serve(countedListener{l, &writes}) }()
	c := dial(t, l.Addr().String())
	for range 10 {
		c.send(get)
		c.answer("GET")
	}
	s.Close()
	<-served
	if n := writes.Load(); n != 10 {
		t.Errorf("10 answers took %d writes", n)
	}
}

type countedListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestSetFields sets fields and the length of an answer, and none for the next request.
func TestSetFields(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			return
		}
		w.Header()["X-0"] = []string{"replaced"}
		for i := range 20 {
			w.(*ResponseWriter).Set("X-"+itoa(i), itoa(i))
		}
		w.(*ResponseWriter).SetBytes("X-Line", []byte("a\r\nX-Evil: b"))
		w.(*ResponseWriter).SetLength(2)
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("ok"))
	})
	c := dial(t, addr)
	for range 2 {
		c.send("GET /some HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n")
		res, body := c.answer("GET")
		if res.Header.Get("X-Line") != "a  X-Evil: b" || res.ContentLength != 2 || body != "ok" {
			t.Errorf("%v %d %q", res.Header, res.ContentLength, body)
		}
		for i := range 20 {
			if got := res.Header["X-"+itoa(i)]; len(got) != 1 || got[0] != itoa(i) {
				t.Errorf("field %d: %q", i, got)
			}
		}
		if res, _ := c.answer("GET"); len(res.Header) != 2 {
			t.Errorf("fields that nobody set: %v", res.Header)
		}
	}
}
