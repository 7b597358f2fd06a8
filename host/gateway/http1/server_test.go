package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestBodies(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		sum := r.Trailer.Get("X-Sum")
		_, _ = io.WriteString(w, string(body)+" "+sum)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	c := dial(t, addr)
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		"\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
	} {
		want := "hello "
		if strings.Contains(raw, "Sum") {
			want += "7"
		}
		for _, piece := range strings.SplitAfter(raw, "he") {
			c.send(piece)
		}
		if _, body := c.answer("POST"); body != want {
			t.Errorf("%q: %q", raw, body)
		}
	}
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum : 7\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: " + strings.Repeat("x", 2*readBuffer) + "\r\n\r\n",
	} {
		c := dial(t, addr)
		c.send(raw)
		_ = c.CloseWrite()
		if got, _ := io.ReadAll(c.br); len(got) != 0 { // a reset is right as well
			t.Errorf("a body cut or malformed was taken: %.100q: %q", raw, got)
		}
	}
}

// TestUnreadBodiesEndTheConnection: what follows a body that the handler left must not
// be taken for a request, and the client reads its answer though it still sends.
func TestUnreadBodiesEndTheConnection(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			t.Error("a body was taken for a request")
		}
		_, _ = io.WriteString(w, "no")
	})
	c := dial(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + get)
	res, body := c.answer("POST")
	if !res.Close || body != "no" {
		t.Errorf("the answer to a body that was not read: %+v %q", res, body)
	}
	for range 20 {
		c.send(strings.Repeat(get, 100))
	}
	_ = c.CloseWrite()
	if rest := c.rest(); rest != "" {
		t.Errorf("then %q", rest)
	}
}

// TestAReaderIsStopped has a body read by a goroutine that outlives the handler.
func TestAReaderIsStopped(t *testing.T) {
	ended := make(chan error, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body := r.Body
		go func() {
			_, err := io.Copy(io.Discard, body)
			if _, again := body.Read(make([]byte, 1)); again == nil {
				err = errors.New("it could be read again")
			}
			ended <- err
		}()
	})
	c := dial(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	c.answer("POST")
	if err := within(t, "the reader ends", ended); err == nil {
		t.Error("a body that was cut ended well")
	}
}

func TestContinue(t *testing.T) {
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			_, _ = io.ReadAll(r.Body)
		}
	})
	const head = " HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
	if got := talk(t, addr, "POST /leave"+head); got != "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" {
		t.Errorf("a body that nobody wants: %q", got)
	}
	c := dial(t, addr)
	c.send("POST /read" + head)
	if res, _ := c.answer("POST"); res.StatusCode != 100 {
		t.Fatalf("status %d, want 100", res.StatusCode)
	}
	c.send("hello")
	if res, _ := c.answer("POST"); res.StatusCode != 200 || res.Close {
		t.Errorf("then %+v", res)
	}
}

func TestBoundsOfAHead(t *testing.T) {
	_, addr := start(t, Config{MaxHeaderBytes: 8 << 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, itoa(len(r.Header.Get("X"))))
	})})
	c := dial(t, addr)
	for _, n := range []int{10, 4000, 4096, 7000, 5} {
		c.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", n) + "\r\n\r\n")
		if _, body := c.answer("GET"); body != itoa(n) {
			t.Errorf("a field of %d bytes came with %s", n, body)
		}
	}
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\n",
		strings.Repeat("GET ", 4<<10),
	} {
		c := dial(t, addr)
		_, _ = io.WriteString(c, raw)
		if res, _ := c.answer("GET"); res.StatusCode != 431 || !res.Close {
			t.Errorf("%.20q: %+v", raw, res)
		}
	}
	_, addr = start(t, Config{Handler: http.NotFoundHandler()})
	if got := talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("a:\r\n", maxFields)+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("too many fields: %q", got)
	}
}

func TestTimeouts(t *testing.T) {
	const short = 100 * time.Millisecond
	_, addr := start(t, Config{ReadHeaderTimeout: short, IdleTimeout: 3 * short, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})})
	for _, raw := range []string{"", "GET / HT", get + "GET / HT"} {
		c := dial(t, addr)
		c.send(raw)
		if rest := c.rest(); strings.Contains(rest, "HTTP/1.1 4") {
			t.Errorf("after %q: %q", raw, rest)
		}
	}
	// What is used lives for longer than one idle time, and a body has more time than a head.
	c := dial(t, addr)
	begun := time.Now()
	for i := 0; time.Since(begun) < 7*short; i++ {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
		if i == 1 {
			<-time.After(2 * short)
		}
		c.send("b")
		if _, body := c.answer("POST"); body != "ab" {
			t.Fatalf("request %d: %q", i, body)
		}
		<-time.After(short / 4)
	}
	idle := time.Now()
	c.rest()
	if d := time.Since(idle); d < short {
		t.Errorf("an idle connection ended after %v", d)
	}
}

func TestHijack(t *testing.T) {
	gone := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			if _, _, err := w.(http.Hijacker).Hijack(); err == nil {
				t.Error("a connection was taken over in the middle of a body")
			}
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("then write: %v", err)
		}
		go func() {
			defer close(gone)
			defer func() { _ = c.Close() }()
			line, _ := rw.ReadString('\n')
			_, _ = rw.WriteString("you said " + line)
			_ = rw.Flush()
		}()
	})
	if got := talk(t, addr, get+"early\n"); got != "you said early\n" {
		t.Errorf("got %q", got)
	}
	within(t, "the connection is closed", gone)
	if got := talk(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestShutdown(t *testing.T) {
	there, finish := make(chan struct{}), make(chan struct{})
	s, addr := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(there)
			<-finish
		}
		_, _ = io.WriteString(w, "ok")
	})})
	idle, fresh, busy, late := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
	idle.send(get)
	idle.answer("GET")
	busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	within(t, "a request is being served", there)
	if err := s.Shutdown(timeout(t, 10*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown with a request under way: %v", err)
	}
	if rest := idle.rest(); rest != "" {
		t.Errorf("idle: %q", rest)
	}
	late.send(get) // its connection was there before
	if res, body := late.answer("GET"); !res.Close || body != "ok" {
		t.Errorf("late: %+v %q", res, body)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if rest := fresh.rest(); rest != "" {
		t.Errorf("fresh: %q", rest)
	}
	close(finish)
	if res, body := busy.answer("GET"); !res.Close || body != "ok" {
		t.Errorf("busy: %+v %q", res, body)
	}
	if err := within(t, "Shutdown returns", stopped); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("a new connection was accepted")
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	there := make(chan struct{})
	ended := false
	s, addr := start(t, Config{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(there)
		<-r.Context().Done()
		ended = true
	})})
	c := dial(t, addr)
	c.send(get)
	within(t, "a request is being served", there)
	s.Close()
	if !ended {
		t.Error("Close returned before the handler")
	}
}

// TestManyConnectionsHammer ends connections in every state while the server stops.
func TestManyConnectionsHammer(t *testing.T) {
	s, addr := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})})
	over := make(chan struct{})
	for i := range 50 {
		go func() {
			defer func() { over <- struct{}{} }()
			for {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				br := bufio.NewReader(c)
				for range i + 1 {
					_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
					res, err := http.ReadResponse(br, nil)
					if err != nil {
						break
					}
					if body, err := io.ReadAll(res.Body); string(body) != "abc" {
						t.Errorf("%q %v", body, err)
					}
					if res.Close {
						break
					}
				}
				_ = c.Close()
			}
		}()
	}
	<-time.After(200 * time.Millisecond)
	if err := s.Shutdown(timeout(t, patience)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for range 50 {
		within(t, "the clients end", over)
	}
}
