package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestFailuresAreSortedAndTriedAgain(t *testing.T) {
	reset := testkit.Connections(t, func(c net.Conn, n int) {
		readHead(c)
		if n < 3 {
			_ = c.(*net.TCPConn).SetLinger(0)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	})
	p := newPool(t, nil, nil)
	c := &Call{URL: reset}
	if status, body := text(t, p, c); status != 200 || body != "ok" || c.Result.Attempts != 3 {
		t.Errorf("reset: %d %q after %d attempts", status, body, c.Result.Attempts)
	}
	half := testkit.Connections(t, func(c net.Conn, _ int) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	var ended atomic.Value
	p = newPool(t, &hooktest.Policy{Done: func(_ *policy.Request, res *policy.Response) {
		ended.Store(fmt.Sprint(res.Status, res.Error, res.Bytes))
	}}, nil)
	res, err := p.Do(t.Context(), &Call{URL: half})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if string(b) != "half" || kind(err) != policy.ErrorReset || ended.Load() != "200reset4" {
		t.Errorf("half-sent: %q, %v, onDone %v", b, err, ended.Load())
	}

	l, _ := net.Listen("tcp", "127.0.0.1:0")
	nobody := testkit.URL(t, "http://"+l.Addr().String())
	l.Close()
	c = &Call{URL: nobody}
	if _, err := p.Do(t.Context(), c); kind(err) != policy.ErrorRefused || c.Result.Attempts != 4 {
		t.Errorf("refused: %v after %d attempts", err, c.Result.Attempts)
	}
	c = &Call{Method: "POST", URL: nobody}
	if _, err := p.Do(t.Context(), c); kind(err) != policy.ErrorRefused || c.Result.Attempts != 1 {
		t.Errorf("refused POST: %v after %d attempts", err, c.Result.Attempts)
	}
	c = &Call{Method: "POST", URL: nobody, Header: http.Header{"Idempotency-Key": {"k"}}}
	if _, err := p.Do(t.Context(), c); !errors.Is(err, admission.ErrDenied) && c.Result.Attempts < 2 {
		t.Errorf("refused POST with a key: %v after %d attempts", err, c.Result.Attempts)
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	at := func(path string) *url.URL { c := *u; c.Path = path; return &c }
	byPolicy := &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
		if r.Path == "/policy" {
			d.Timeout = 20 * time.Millisecond
		}
	}}
	p := newPool(t, byPolicy, func(c *Config) { c.HeaderTimeout = 60 * time.Millisecond; c.Admission.MaxAttempts = 1 })
	for name, c := range map[string]*Call{"header": {URL: at("/")}, "policy": {URL: at("/policy")}, "call": {URL: at("/"), Timeout: 20 * time.Millisecond}} {
		if _, err := p.Do(t.Context(), c); kind(err) != policy.ErrorTimeout {
			t.Errorf("%s: %v", name, err)
		}
	}
	res, err := p.Do(t.Context(), &Call{URL: at("/body"), Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(res.Body)
	res.Body.Close()
	if kind(err) != policy.ErrorTimeout {
		t.Errorf("body: %v", err)
	}
}

func TestCancellationIsNeutral(t *testing.T) {
	u := testkit.Serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := newPool(t, nil, nil)
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Millisecond, cancel)
		if _, err := p.Do(ctx, &Call{URL: u}); kind(err) != policy.ErrorCanceled || !errors.Is(err, context.Canceled) {
			t.Fatalf("%v", err)
		}
	}
	if s := p.Stats(); s.BreakerOpened != 0 || s.Failed != 0 || s.Canceled != 10 {
		t.Errorf("stats %+v", s)
	}
}

func TestBreakerFlap(t *testing.T) {
	ft := newFakeTime()
	var broken atomic.Bool
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(500)
		}
	})
	p := newPool(t, nil, func(c *Config) { c.Clock, c.After = ft.clock, ft.after })
	for range 3 {
		broken.Store(true)
		var denied *admission.DeniedError
		for n := 0; denied == nil; n++ {
			res, err := p.Do(t.Context(), &Call{URL: u})
			if err == nil {
				res.Body.Close()
			} else if denied = IsDenied(err); denied == nil || n > 20 {
				t.Fatal(err)
			}
		}
		if denied.Kind != admission.KindBreaker || denied.Status != 503 || denied.RetryAfter < time.Second {
			t.Errorf("denial %+v", denied.Denial)
		}
		broken.Store(false)
		ft.now.Add(int64(30 * time.Second))
		for range 10 {
			if status, _ := text(t, p, &Call{URL: u}); status != 200 {
				t.Errorf("status %d after it healed", status)
			}
		}
	}
	if s := p.Stats(); s.BreakerOpened != 3 || s.BreakersOpen != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestADeadKeptConnectionCostsNoAttempt(t *testing.T) {
	u := testkit.Connections(t, func(c net.Conn, n int) {
		r := bufio.NewReader(c)
		for i := 1; ; i++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			if n == 1 && i == 2 {
				return // without an answer; closing before the body came would be a reset
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
		}
	})
	p := newPool(t, nil, nil)
	for range 2 {
		c := &Call{Method: "PUT", URL: u, Body: strings.NewReader("body"), ContentLength: 4, Header: http.Header{"Idempotency-Key": {"k"}}}
		if _, body := text(t, p, c); body != "body" || c.Result.Attempts != 1 {
			t.Errorf("%q after %d attempts", body, c.Result.Attempts)
		}
	}
	if n := p.Stats().ConnectionsOpened; n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestWhatCannotBeSentIsNoFaultOfTheUpstream(t *testing.T) {
	u := testkit.Serve(t, func(http.ResponseWriter, *http.Request) {})
	p := newPool(t, nil, nil)
	for range 20 {
		for _, c := range []*Call{{URL: u, Header: http.Header{"X": {"a\r\nb"}}}, {URL: u, Header: http.Header{"a b": {"c"}}}, {URL: u, Method: "B AD"}} {
			if _, err := p.Do(t.Context(), c); kind(err) != policy.ErrorOther {
				t.Fatal(err)
			}
		}
	}
	if s := p.Stats(); s.BreakerOpened != 0 || s.Failed != 0 {
		t.Errorf("stats %+v", s)
	}
}
