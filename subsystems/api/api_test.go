package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// goPolicy is a policy of functions.
type goPolicy struct {
	policy.Base
	onRequest  func(*policy.Request, *policy.Decision)
	onResponse func(*policy.Request, *policy.Response, *policy.Decision)
	onDone     func(*policy.Request, *policy.Response)
}

func (p *goPolicy) Name() string { return "p" }
func (p *goPolicy) Hooks() policy.Hooks {
	return policy.HooksOf(policy.HookRequest, policy.HookResponse, policy.HookDone)
}
func (p *goPolicy) OnRequest(r *policy.Request, d *policy.Decision) error {
	if p.onRequest != nil {
		p.onRequest(r, d)
	}
	return nil
}
func (p *goPolicy) OnResponse(r *policy.Request, res *policy.Response, d *policy.Decision) error {
	if p.onResponse != nil {
		p.onResponse(r, res, d)
	}
	return nil
}
func (p *goPolicy) OnDone(r *policy.Request, res *policy.Response) error {
	if p.onDone != nil {
		p.onDone(r, res)
	}
	return nil
}

func slotOf(p *goPolicy) *policy.Slot {
	s := &policy.Slot{}
	if p != nil {
		s.Swap(policy.NewGeneration(3, policy.NewChain(policy.NewMember(p, policy.MemberConfig{}))))
	}
	return s
}

// fakeTime makes every wait pass at once.
type fakeTime struct{ now atomic.Int64 }

func (f *fakeTime) clock() int64 { return f.now.Load() }
func (f *fakeTime) after(d time.Duration) (<-chan time.Time, func() bool) {
	f.now.Add(int64(d))
	ch := make(chan time.Time, 1)
	ch <- time.Time{}
	return ch, func() bool { return true }
}

func newFakeTime() *fakeTime {
	f := &fakeTime{}
	f.now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return f
}

func newPool(t testing.TB, p *goPolicy, change func(*Config)) *Pool {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Slot = slotOf(p)
	cfg.Random = func() float64 { return 0.5 }
	cfg.Admission.Retry.Base = 2 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	pool, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := pool.Stop(ctx); err != nil {
			t.Error(err)
		}
		if s := pool.Stats(); s.InFlight != 0 || s.Queued != 0 {
			t.Errorf("after Stop: %+v", s)
		}
	})
	return pool
}

func serve(t testing.TB, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return parse(t, s.URL)
}

func parse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// text sends c and reads the answer.
func text(t testing.TB, p *Pool, c *Call) (int, string) {
	t.Helper()
	res, err := p.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// kind is the kind of failure that err tells, "" for another error.
func kind(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func TestAHundredRequestsUseOneConnection(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello "+r.URL.RequestURI()) })
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
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
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
	pol := &goPolicy{onRequest: func(r *policy.Request, d *policy.Decision) {
		seen = *r
		auth, _ = r.HeaderValue("authorization")
		mine, _ = r.HeaderValue("x-mine")
		d.Headers = append(d.Headers, policy.Header{Name: "X-Set", Value: "by policy"})
	}, onDone: func(r *policy.Request, res *policy.Response) {
		if v, _ := r.HeaderValue("authorization"); v != "" {
			t.Errorf("onDone saw the secret %q", v)
		}
	}}
	p := newPool(t, pol, nil)
	h := http.Header{"X-Mine": {"1", "2"}}
	c := &Call{Key: "openai", Group: g, Method: "GET", URL: parse(t, "/chat?x=1"), Header: h, Tenant: "t", Cost: 3, Priority: 9, HasPriority: true}
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
			u := serve(t, func(w http.ResponseWriter, r *http.Request) {
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
			pol := &goPolicy{onDone: func(_ *policy.Request, res *policy.Response) { done = append(done, res.Status) }}
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
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
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

func TestReplayIsBounded(t *testing.T) {
	var n atomic.Int64
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if n.Add(1)%2 == 1 {
			w.WriteHeader(429)
			return
		}
		fmt.Fprint(w, len(b))
	})
	p := newPool(t, nil, func(c *Config) { c.ReplayMax = 1000 })
	again := func(size int) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, size))), nil }
	}
	for _, tt := range []struct {
		name   string
		size   int
		length int64
		get    bool
		want   int
	}{
		{"fits", 1000, 1000, false, 200}, {"fits, length unknown", 1000, -1, false, 200},
		{"too long", 1001, 1001, false, 429}, {"too long, length unknown", 1001, -1, false, 429},
		{"GetBody", 5000, 5000, true, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.Store(0)
			c := &Call{Method: "POST", URL: u, Body: bytes.NewReader(make([]byte, tt.size)), ContentLength: tt.length}
			if tt.get {
				c.GetBody = again(tt.size)
			}
			status, body := text(t, p, c)
			if status != tt.want || status == 200 && body != fmt.Sprint(tt.size) {
				t.Errorf("%d %q", status, body)
			}
		})
	}
}

func TestEarlyAnswerDoesNotLoseTheBody(t *testing.T) {
	var n atomic.Int64
	const size = 600_000
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
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

// slowBody gives its bytes in small pieces and says when it is closed.
type slowBody struct {
	r      io.Reader
	closed chan struct{}
	once   sync.Once
}

func (b *slowBody) Read(p []byte) (int, error) { return b.r.Read(p[:min(len(p), 4096)]) }
func (b *slowBody) Close() error               { b.once.Do(func() { close(b.closed) }); return nil }

// raw serves connections with f, one goroutine each.
func raw(t *testing.T, f func(c net.Conn, n int)) *url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c, n) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return parse(t, "http://"+l.Addr().String())
}

func readHead(c net.Conn) {
	buf := make([]byte, 0, 4096)
	for !bytes.Contains(buf, []byte("\r\n\r\n")) {
		n, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
	}
}

func TestFailuresAreSortedAndTriedAgain(t *testing.T) {
	reset := raw(t, func(c net.Conn, n int) {
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
	half := raw(t, func(c net.Conn, _ int) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	var ended atomic.Value
	p = newPool(t, &goPolicy{onDone: func(_ *policy.Request, res *policy.Response) {
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
	nobody := parse(t, "http://"+l.Addr().String())
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
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
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
	byPolicy := &goPolicy{onRequest: func(r *policy.Request, d *policy.Decision) {
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
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
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
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
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

func TestBodyCaps(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(make([]byte, 1000))
	})
	chunked := *u
	chunked.Path = "/chunked"
	var ended atomic.Value
	p := newPool(t, &goPolicy{onDone: func(_ *policy.Request, res *policy.Response) { ended.Store(fmt.Sprint(res.Error, res.Bytes)) }},
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

type dialTo struct {
	addr string
	seen chan string
}

func (d dialTo) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d.seen <- addr
	return (&net.Dialer{}).DialContext(ctx, network, d.addr)
}

func TestOwnDialerAndLiveConfig(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	d := dialTo{addr: u.Host, seen: make(chan string, 10)}
	cfg := DefaultConfig()
	p := newPool(t, nil, func(c *Config) { c.Dialer = d })
	c := &Call{URL: parse(t, "http://Upstream.Test/")}
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
