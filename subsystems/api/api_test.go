package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestAHundredRequestsUseOneConnection(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello "+r.URL.RequestURI()) })
	p := newPool(t, nil, nil)
	for i := range 100 {
		target := *u
		target.Path, target.RawQuery = "/x", fmt.Sprint("n=", i)
		if status, body := text(t, p, &Call{URL: &target}); status != 200 || body != fmt.Sprint("hello /x?n=", i) {
			t.Fatalf("%d %q", status, body)
		}
	}
	s := p.Stats()
	if s.ConnectionsOpened != 1 || s.Succeeded != 100 || s.BytesReceived == 0 {
		t.Errorf("stats %+v", s)
	}
	if got := p.Read(nil); len(got) != p.Schema().Len() {
		t.Errorf("%d values for %d fields", len(got), p.Schema().Len())
	}
}

func TestWhatThePolicySeesAndSets(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s auth=%s set=%s mine=%s host=%v", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("X-Set"), r.Header.Get("X-Mine"), r.Host)
	})
	base := *u
	base.Path = "/v1"
	g, err := route.NewGroup([]route.Upstream{{Name: "a", URL: &base, Weight: 1, Headers: []policy.Header{{Name: "Authorization", Value: "Bearer s3cret"}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen policy.Request
	var auth, mine string
	pol := &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
		seen = *r
		auth, _ = r.HeaderValue("authorization")
		mine, _ = r.HeaderValue("x-mine")
		d.Headers = append(d.Headers, policy.Header{Name: "X-Set", Value: "by policy"})
	}, Done: func(r *policy.Request, res *policy.Response) {
		if v, _ := r.HeaderValue("authorization"); v != "" {
			t.Errorf("onDone saw the secret %q", v)
		}
	}}
	p := newPool(t, pol, nil)
	h := http.Header{"X-Mine": {"1", "2"}}
	c := &Call{Key: "openai", Group: g, Method: "GET", URL: testkit.URL(t, "/chat?x=1"), Header: h, Tenant: "t", Cost: 3, Priority: 9, HasPriority: true}
	_, body := text(t, p, c)
	if want := "GET /v1/chat?x=1 auth=Bearer s3cret set=by policy mine=1 host=" + u.Host; body != want {
		t.Errorf("the upstream saw %q, want %q", body, want)
	}
	if auth != "" || mine != "1, 2" || len(h) != 1 {
		t.Errorf("the policy saw auth %q, mine %q; the caller's fields are %v", auth, mine, h)
	}
	if seen.Subsystem != "api" || seen.Action != "request" || seen.Key != "openai" || seen.Host != u.Host || seen.Path != "/v1/chat" || seen.URL != u.String()+"/v1/chat?x=1" ||
		seen.Tenant != "t" || seen.Cost != 3 || seen.Priority != 9 || seen.Attempt != 1 || seen.Size != 0 {
		t.Errorf("the policy saw %+v", seen)
	}
	if r := c.Result; r.Attempts != 1 || r.Upstream != "a" || r.Generation != 3 {
		t.Errorf("result %+v", r)
	}
}

func TestRetryAfterIsWaitedOut(t *testing.T) {
	for _, form := range []string{"seconds", "date"} {
		t.Run(form, func(t *testing.T) {
			ft := newFakeTime()
			var n atomic.Int64
			u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if n.Add(1) < 3 {
					w.Header().Set("Retry-After", map[string]string{
						"seconds": "7", "date": time.Unix(0, ft.clock()).UTC().Add(7 * time.Second).Format(http.TimeFormat)}[form])
					w.WriteHeader(429)
					_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
					return
				}
				_, _ = w.Write(b)
			})
			var done []int
			pol := &hooktest.Policy{Done: func(_ *policy.Request, res *policy.Response) { done = append(done, res.Status) }}
			p := newPool(t, pol, func(c *Config) { c.Clock, c.After = ft.clock, ft.after })
			start := ft.clock()
			c := &Call{Method: "POST", URL: u, Body: io.NopCloser(strings.NewReader("payload")), ContentLength: 7}
			status, body := text(t, p, c)
			if status != 200 || body != "payload" {
				t.Errorf("%d %q", status, body)
			}
			if took := time.Duration(ft.clock() - start); took < 14*time.Second || took > 15*time.Second {
				t.Errorf("waited %v in all", took)
			}
			if c.Result.Attempts != 3 || c.Result.Waited < 14*time.Second {
				t.Errorf("result %+v", c.Result)
			}
			if fmt.Sprint(done) != "[429 429 200]" {
				t.Errorf("onDone saw %v", done)
			}
			if s := p.Stats(); s.ConnectionsOpened != 1 {
				t.Errorf("%d connections: a dropped answer cost its connection", s.ConnectionsOpened)
			}
		})
	}
}

func TestALongRetryAfterIsPassedOn(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(429)
		fmt.Fprint(w, "later")
	})
	p := newPool(t, nil, nil)
	c := &Call{URL: u}
	if status, body := text(t, p, c); status != 429 || body != "later" || c.Result.Attempts != 1 {
		t.Errorf("%d %q %+v", status, body, c.Result)
	}
}

func TestEarlyAnswerDoesNotLoseTheBody(t *testing.T) {
	var n atomic.Int64
	const size = 600_000
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(429) // before the body is read
			return
		}
		b, _ := io.ReadAll(r.Body)
		for i := range b {
			if b[i] != byte(i) {
				t.Errorf("byte %d is wrong", i)
				break
			}
		}
		fmt.Fprint(w, len(b))
	})
	p := newPool(t, nil, nil)
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i)
	}
	closed := make(chan struct{})
	c := &Call{Method: "POST", URL: u, Body: &slowBody{r: bytes.NewReader(payload), closed: closed}, ContentLength: size}
	if status, body := text(t, p, c); status != 200 || body != fmt.Sprint(size) {
		t.Errorf("%d %q", status, body)
	}
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the request body was not closed")
	}
}

func TestBodyCaps(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(make([]byte, 1000))
	})
	chunked := *u
	chunked.Path = "/chunked"
	var ended atomic.Value
	p := newPool(t, &hooktest.Policy{Done: func(_ *policy.Request, res *policy.Response) { ended.Store(fmt.Sprint(res.Error, res.Bytes)) }},
		func(c *Config) { c.MaxResponseBody = 999 })
	if _, err := p.Do(t.Context(), &Call{URL: u}); !errors.Is(err, ErrTooLarge) || kind(err) != policy.ErrorTooLarge {
		t.Errorf("announced: %v", err)
	}
	res, err := p.Do(t.Context(), &Call{URL: &chunked})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if len(b) != 999 || !errors.Is(err, ErrTooLarge) || ended.Load() != "too_large999" {
		t.Errorf("streamed: %d bytes, %v, onDone %v", len(b), err, ended.Load())
	}
	for name, c := range map[string]*Call{"none": {URL: u, MaxResponseBody: -1}, "own": {URL: &chunked, MaxResponseBody: 1000}, "head": {URL: u, Method: "HEAD"}} {
		if status, _ := text(t, p, c); status != 200 {
			t.Errorf("%s: %d", name, status)
		}
	}
}

func TestOwnDialerAndLiveConfig(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	d := dialTo{addr: u.Host, seen: make(chan string, 10)}
	cfg := DefaultConfig()
	p := newPool(t, nil, func(c *Config) { c.Dialer = d })
	c := &Call{URL: testkit.URL(t, "http://Upstream.Test/")}
	if _, body := text(t, p, c); body != "Upstream.Test" || <-d.seen != "Upstream.Test:80" {
		t.Errorf("the upstream was called %q", body)
	}
	cfg.MaxResponseBody = 3
	cfg.Admission.Limits.PerKey = admission.Limit{Rate: 0.001, Burst: 1}
	if err := p.SetConfig(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Do(t.Context(), c); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the new bound: %v", err)
	}
	if _, err := p.Do(t.Context(), c); IsDenied(err) == nil || IsDenied(err).Limit.Key != "upstream.test" {
		t.Errorf("the new limit: %v", err)
	}
	cfg.ReplayMax = -1
	if p.SetConfig(cfg) == nil {
		t.Error("a negative size was accepted")
	}
	if _, err := New(cfg); err == nil {
		t.Error("New accepted a negative size")
	}
}
