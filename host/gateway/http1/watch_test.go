package http1

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestAClientThatLeavesIsNoticed(t *testing.T) {
	left := make(chan error, 1)
	there := make(chan struct{}, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		there <- struct{}{}
		<-r.Context().Done()
		left <- context.Cause(r.Context())
	})
	for name, leave := range map[string]func(*client){
		"closed": func(c *client) { _ = c.Close() },
		"reset":  func(c *client) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		for _, raw := range []string{get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "\r\n" + get + "GET /next HTTP"} {
			if raw[0] == '\r' {
				raw = raw[2:] // with a part of the next request behind it
			}
			c := dial(t, addr)
			c.send(raw)
			within(t, name+": the request is there", there)
			leave(c)
			if err := within(t, name+": the handler is told", left); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestWatchingLosesNothing sends the next request while a watcher reads.
func TestWatchingLosesNothing(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-time.After(4 * tick)
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.URL.Path+string(body))
	})
	c := dial(t, addr)
	for range 3 {
		c.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		<-time.After(3 * tick)
		c.send("POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
		if _, body := c.answer("GET"); body != "/slow" {
			t.Fatalf("got %q", body)
		}
		c.send("llo")
		if _, body := c.answer("POST"); body != "/nexthello" {
			t.Fatalf("got %q", body)
		}
	}
}

// TestFullBuffersAreLeftAlone sends more behind a request than can be looked behind.
func TestFullBuffersAreLeftAlone(t *testing.T) {
	var n atomic.Int64
	addr := serve(t, func(_ http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			<-time.After(6 * tick)
		}
	})
	c := dial(t, addr)
	go func() {
		for range 1000 {
			_, _ = io.WriteString(c, get)
		}
	}()
	for i := range 1000 {
		if res, _ := c.answer("GET"); res.StatusCode != 200 {
			t.Fatalf("answer %d: %+v", i, res)
		}
	}
}

func TestContexts(t *testing.T) {
	var c requestContext
	if c.Err() != nil || c.Value(1) != nil || !c.reusable() {
		t.Error("a new context is not one")
	}
	if _, ok := c.Deadline(); ok {
		t.Error("it has a deadline")
	}
	ran := make(chan int, 4)
	stop := context.AfterFunc(&c, func() { ran <- 1 })
	if c.reusable() {
		t.Error("it can be used again though somebody waits")
	}
	if !stop() || stop() {
		t.Error("stop lies")
	}
	derived, cancel := context.WithCancel(&c)
	cancel()
	if derived.Err() != context.Canceled || !c.reusable() {
		t.Error("a derived context that has ended still waits")
	}
	derived, cancel = context.WithTimeout(&c, time.Hour)
	defer cancel()
	own := c.AfterFunc(func() { ran <- 2 })
	c.cancel()
	c.cancel()
	<-c.Done()
	within(t, "the derived context ends", derived.Done())
	if v := within(t, "the function runs", ran); v != 2 || own() {
		t.Errorf("function %d ran", v)
	}
	late := c.AfterFunc(func() { ran <- 3 })
	if v := within(t, "a late function runs", ran); v != 3 || late() || c.Err() == nil || c.reusable() {
		t.Errorf("a late function: %d", v)
	}
	done := requestContext{}
	done.cancel()
	<-done.Done()
}

// TestRequestsAreUsedAgain wants no allocation but the head's text where nothing holds
// on to a request, and a request of its own for each where something may.
func TestRequestsAreUsedAgain(t *testing.T) {
	for _, release := range []bool{true, false} {
		seen := map[*http.Request]bool{}
		body := make([]byte, 100)
		length := []string{"100"}
		s, addr := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[r] = true
			w.Header()["Content-Length"] = length
			_, _ = w.Write(body)
			if release {
				w.(*ResponseWriter).Release()
			}
		})})
		c := dial(t, addr)
		request, buf := []byte("GET /some/path?x=y HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n"), make([]byte, 4<<10)
		ask := func() {
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			if _, err := c.TCPConn.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		const runs = 200
		allocs := testing.AllocsPerRun(runs, ask)
		s.Close()
		switch {
		case release && (len(seen) != 1 || allocs > 1 && !testkit.Race):
			t.Errorf("released: %d requests, %v allocations each", len(seen), allocs)
		case !release && (len(seen) != runs+1 || allocs > 7 && !testkit.Race):
			t.Errorf("kept: %d requests, %v allocations each", len(seen), allocs)
		}
		t.Logf("released %v: %v allocations", release, allocs)
	}
}

// TestWatchersHammer has requests that end as watchers begin, pipelined and not.
func TestWatchersHammer(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		wait, _ := time.ParseDuration(r.Header.Get("X-Wait"))
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			t.Error("a client that waits is taken for one that has left")
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		w.(*ResponseWriter).Release()
	})
	over := make(chan struct{})
	const clients = 30
	for i := range clients {
		c := dial(t, addr)
		go func() {
			defer func() { over <- struct{}{} }()
			for n := range 30 {
				wait := "X-Wait: " + (time.Duration((i*7+n*13)%80) * time.Millisecond).String() + "\r\n\r\n"
				_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"+wait+"ab"+"GET / HTTP/1.1\r\nHost: a\r\n"+wait)
				for _, want := range []string{"ab", ""} {
					var res *http.Response
					if err == nil {
						res, err = http.ReadResponse(c.br, nil)
					}
					if err != nil {
						t.Errorf("client %d, request %d: %v", i, n, err)
						return
					}
					if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
						t.Errorf("client %d, request %d: %q %v", i, n, body, err)
					}
				}
			}
		}()
	}
	for range clients {
		within(t, "a client is served", over)
	}
}
