package api

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestStreamsAreNotBuffered(t *testing.T) {
	next := make(chan struct{})
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
		w.Header().Set("X-Sum", "42")
	})
	done := make(chan policy.Response, 1)
	p := newPool(t, &goPolicy{onDone: func(_ *policy.Request, res *policy.Response) { done <- *res }}, nil)
	res, err := p.Do(t.Context(), &Call{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprint("data: ", i) {
			t.Fatalf("line %d: %q %v", i, lines.Text(), lines.Err())
		}
		if len(done) > 0 {
			t.Error("onDone ran before the end of the body")
		}
		next <- struct{}{}
	}
	if lines.Scan() {
		t.Errorf("more: %q", lines.Text())
	}
	if end := <-done; end.Bytes != 24 || end.Error != "" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("onDone saw %+v, trailer %v", end, res.Trailer)
	}
	res.Body.Close()
}

func TestRequestTrailers(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer.Get("X-Sum"))
	})
	p := newPool(t, nil, nil)
	trailer := http.Header{"X-Sum": {"7"}}
	if _, body := text(t, p, &Call{Method: "POST", URL: u, Body: strings.NewReader("x"), ContentLength: -1, Trailer: trailer}); body != "7" {
		t.Errorf("the upstream saw the trailer %q", body)
	}
}

func TestExpectContinueShowsARefusalBeforeTheBody(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(413)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	p := newPool(t, nil, nil)
	for path, want := range map[string]int{"/no": 413, "/yes": 200} {
		target := *u
		target.Path = path
		var read atomic.Bool
		body := readFunc(func(b []byte) (int, error) {
			if read.Swap(true) {
				return 0, io.EOF
			}
			return copy(b, "hello"), nil
		})
		status, _ := text(t, p, &Call{Method: "POST", URL: &target, Body: body, ContentLength: -1, Header: http.Header{"Expect": {"100-continue"}}})
		if status != want || read.Load() != (want == 200) {
			t.Errorf("%s: status %d, body read: %v", path, status, read.Load())
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

func TestInformationalAnswers(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(103)
		fmt.Fprint(w, "ok")
	})
	p := newPool(t, nil, nil)
	var got string
	c := &Call{URL: u, Got1xx: func(code int, h textproto.MIMEHeader) error {
		got = fmt.Sprint(code, h.Get("Link"))
		return nil
	}}
	if _, body := text(t, p, c); body != "ok" || got != "103</style.css>" {
		t.Errorf("%q, told of %q", body, got)
	}
}

func TestUpgrade(t *testing.T) {
	u := raw(t, func(c net.Conn, _ int) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, r)
	})
	p := newPool(t, nil, func(c *Config) { c.MaxResponseBody = 3 })
	res, err := p.Do(t.Context(), &Call{URL: u, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
	if err != nil {
		t.Fatal(err)
	}
	rw, ok := res.Body.(io.ReadWriteCloser)
	if !ok || res.StatusCode != 101 {
		t.Fatalf("status %d, body %T", res.StatusCode, res.Body)
	}
	io.WriteString(rw, "hello")
	b := make([]byte, 5)
	if _, err := io.ReadFull(rw, b); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	if s := p.Stats(); s.InFlight != 1 {
		t.Errorf("an open tunnel is not in flight: %+v", s)
	}
	rw.Close()
}

func TestTunnel(t *testing.T) {
	u := raw(t, func(c net.Conn, _ int) { _, _ = io.Copy(c, c) })
	var seen policy.Request
	var ended policy.Response
	p := newPool(t, &goPolicy{
		onRequest: func(r *policy.Request, _ *policy.Decision) { seen = *r },
		onDone:    func(_ *policy.Request, res *policy.Response) { ended = *res },
	}, nil)
	l, err := p.Admit(t.Context(), &Call{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(l.Conn, "hi")
	b := make([]byte, 2)
	if _, err := io.ReadFull(l.Conn, b); err != nil {
		t.Error(err)
	}
	l.Done("", 2)
	l.Done(policy.ErrorReset, 9)
	if seen.Action != "connect" || seen.Method != "CONNECT" || seen.Key != u.Host || ended.Bytes != 2 || ended.Error != "" || ended.Status != 200 {
		t.Errorf("seen %+v, ended %+v", seen, ended)
	}
	gone, _ := net.Listen("tcp", "127.0.0.1:0")
	gone.Close()
	c := &Call{URL: parse(t, "http://"+gone.Addr().String())}
	if _, err := p.Admit(t.Context(), c); kind(err) != policy.ErrorRefused || c.Result.Attempts != 4 {
		t.Errorf("refused: %v after %d attempts", err, c.Result.Attempts)
	}
	if got := dialAddr(parse(t, "https://h")) + " " + dialAddr(parse(t, "http://[::1]")); got != "h:443 [::1]:80" {
		t.Error(got)
	}
}

func TestADeadKeptConnectionCostsNoAttempt(t *testing.T) {
	u := raw(t, func(c net.Conn, n int) {
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

func TestTargets(t *testing.T) {
	for _, tt := range []struct{ base, call, want string }{
		{"http://h", "/x?a=1", "http://h/x?a=1"},
		{"http://h/", "/x", "http://h/x"},
		{"http://h/v1", "/x", "http://h/v1/x"},
		{"http://h/v1/", "/x", "http://h/v1/x"},
		{"http://h/v1", "x", "http://h/v1/x"},
		{"http://h/v1", "", "http://h/v1"},
		{"http://h/v1", "/a%2Fb", "http://h/v1/a%2Fb"},
		{"http://h/a%2Fb", "/c", "http://h/a%2Fb/c"},
		{"http://u:p@h/?k=v", "/x?a=1", "http://h/x?k=v&a=1"},
		{"http://h/?k=v", "/x", "http://h/x?k=v"},
		{"https://h", "/x?", "https://h/x?"},
	} {
		c := &Call{URL: parse(t, tt.call)}
		got := &url.URL{}
		if c.target(got, parse(t, tt.base)); got.String() != tt.want || urlText(got) != tt.want {
			t.Errorf("%s + %s = %s, want %s", tt.base, tt.call, got, tt.want)
		}
	}
}

func TestTunnelToAGroup(t *testing.T) {
	u := raw(t, func(c net.Conn, _ int) { _, _ = io.Copy(c, c) })
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	l.Close()
	g, err := route.NewGroup([]route.Upstream{{Name: "a", URL: parse(t, "http://"+l.Addr().String()), Weight: 1}, {Name: "b", URL: u, Weight: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, &goPolicy{onRequest: func(_ *policy.Request, d *policy.Decision) { d.Timeout = 5 * time.Second }}, nil)
	c := &Call{Group: g, URL: parse(t, "/"), Timeout: 5 * time.Second}
	lease, err := p.Admit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if c.Result.Upstream != "b" || c.Result.Attempts != 2 {
		t.Errorf("result %+v", c.Result)
	}
	lease.Done("", 0)
	if _, err := p.Admit(t.Context(), &Call{}); kind(err) != policy.ErrorOther || err.Error() != "api: error: "+errURL.Error() {
		t.Errorf("no target: %v", err)
	}
}

func TestFailover(t *testing.T) {
	good := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "b") })
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	l.Close()
	g, err := route.NewGroup([]route.Upstream{{Name: "a", URL: parse(t, "http://"+l.Addr().String()), Weight: 1}, {Name: "b", URL: good, Weight: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, nil, nil)
	for range 4 {
		c := &Call{Key: "r", Group: g, URL: parse(t, "/")}
		if _, body := text(t, p, c); body != "b" || c.Result.Upstream != "b" || c.Result.Attempts > 2 {
			t.Errorf("%q %+v", body, c.Result)
		}
	}
}

func TestRoundTripper(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%d", b, r.ContentLength)
	})
	var denyNow atomic.Bool
	var key atomic.Value
	p := newPool(t, &goPolicy{onRequest: func(r *policy.Request, d *policy.Decision) {
		key.Store(r.Key)
		if denyNow.Load() {
			d.Action, d.RetryAfter, d.Reason = policy.ActionDeny, 2500*time.Millisecond, "not now"
		}
	}}, nil)
	client := &http.Client{Transport: p.RoundTripper(RoundTripperOptions{})}
	res, err := client.Post(u.String(), "text/plain", strings.NewReader("hey"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(b) != "hey3" || key.Load() != u.Host {
		t.Errorf("%q, key %v", b, key.Load())
	}
	denyNow.Store(true)
	closed := make(chan struct{})
	req, _ := http.NewRequest("POST", u.String(), &slowBody{r: strings.NewReader("x"), closed: closed})
	if _, err = client.Do(req); !errors.Is(err, admission.ErrDenied) || IsDenied(err).Policy != "p" {
		t.Errorf("denied: %v", err)
	}
	select {
	case <-closed:
	default:
		t.Error("the body of a denied request was not closed")
	}
	client.Transport = p.RoundTripper(RoundTripperOptions{Synthesize: true, Key: func(*http.Request) string { return "mine" }})
	if res, err = client.Get(u.String()); err != nil {
		t.Fatal(err)
	}
	b, _ = io.ReadAll(res.Body)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "3" || !strings.Contains(string(b), `"detail":"not now"`) || key.Load() != "mine" {
		t.Errorf("synthesised: %d %v %s", res.StatusCode, res.Header, b)
	}
	if _, err := p.Do(t.Context(), &Call{URL: parse(t, "ftp://x/")}); kind(err) != policy.ErrorOther {
		t.Errorf("a bad URL: %v", err)
	}
	if _, err := p.Do(t.Context(), &Call{URL: u, Profile: "nobody"}); !errors.Is(err, ErrProfile) {
		t.Errorf("an unknown profile: %v", err)
	}
}

func TestWhatCannotBeSentIsNoFaultOfTheUpstream(t *testing.T) {
	u := serve(t, func(http.ResponseWriter, *http.Request) {})
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

func TestProfiles(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // one client below refuses the certificate
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPool(t, nil, func(c *Config) {
		c.Profiles = map[string]Profile{"ca": {CAFile: ca}, "any": {InsecureSkipVerify: true, DisableHTTP2: true}}
	})
	for profile, want := range map[string]string{"ca": "HTTP/2.0", "any": "HTTP/1.1"} {
		if _, body := text(t, p, &Call{URL: parse(t, s.URL), Profile: profile}); body != want {
			t.Errorf("%s: %s", profile, body)
		}
	}
	if _, err := p.Do(t.Context(), &Call{URL: parse(t, s.URL)}); kind(err) != policy.ErrorOther {
		t.Errorf("an unknown authority: %v", err)
	}
	cfg := DefaultConfig()
	for _, file := range []string{"/nonexistent", os.DevNull} {
		cfg.Profiles = map[string]Profile{"x": {CAFile: file}}
		if _, err := New(cfg); err == nil {
			t.Errorf("ca_file %s was accepted", file)
		}
	}
}

func TestStopDrains(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{})
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		close(arrived)
		<-release
		fmt.Fprint(w, "whole")
	})
	p := newPool(t, nil, nil)
	got := make(chan string, 1)
	go func() {
		res, err := p.Do(context.Background(), &Call{URL: u})
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got <- string(b)
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	var d *admission.DeniedError
	for d == nil { // until Stop has closed the door
		res, err := p.Do(t.Context(), &Call{URL: parse(t, "http://127.0.0.1:1/"), Timeout: time.Second})
		if err == nil {
			res.Body.Close()
		}
		d = IsDenied(err)
	}
	if d.Status != 503 || d.Kind != admission.KindClosed && d.Kind != admission.KindBreaker {
		t.Errorf("denial %+v", d.Denial)
	}
	select {
	case <-stopped:
		t.Error("Stop did not wait for the call")
	default:
	}
	close(release)
	if body := <-got; body != "whole" {
		t.Errorf("the call under way got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStopCutsWhatIsLeft(t *testing.T) {
	u := raw(t, func(c net.Conn, _ int) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		_, _ = io.Copy(io.Discard, c) // until cut
	})
	cfg := DefaultConfig()
	cfg.Admission.Limits.Global = admission.Limit{Rate: 0.1, Burst: 1, MaxWait: admission.Patient}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Do(t.Context(), &Call{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := p.Do(context.Background(), &Call{URL: u})
		held <- err
	}()
	for p.Stats().Queued == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	if _, err := io.ReadAll(res.Body); kind(err) != policy.ErrorReset {
		t.Errorf("the body that was cut: %v", err)
	}
	res.Body.Close()
	if d := IsDenied(<-held); d == nil || d.Kind != admission.KindClosed {
		t.Errorf("the held call: %+v", d)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("Stop again: %v", err)
	}
}

func TestVanishedCallersGiveTheirTokensBack(t *testing.T) {
	u := serve(t, func(http.ResponseWriter, *http.Request) {})
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1, Burst: 1, MaxWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, &goPolicy{onRequest: func(r *policy.Request, _ *policy.Decision) {
		if res := l.Take(r.Now, "", 1, -1); res.OK {
			r.Ledger.Add(policy.Entry{From: l, Limiter: "p/l", Policy: "p", Cost: 1, Taken: r.Now, OK: true, Wait: res.Wait})
		}
	}}, nil)
	text(t, p, &Call{URL: u})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := p.Do(ctx, &Call{URL: u}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	for p.Stats().Queued < 50 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	if r := l.Peek(p.driver.Now(), "", 1); r.Wait > time.Second {
		t.Errorf("after all have left the next waits %v", r.Wait)
	}
}

func TestAThousandCallers(t *testing.T) {
	var running, most atomic.Int64
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n := running.Add(1)
		for have := most.Load(); n > have && !most.CompareAndSwap(have, n); have = most.Load() {
		}
		fmt.Fprint(w, "ok")
		running.Add(-1)
	})
	p := newPool(t, nil, func(c *Config) { c.Admission.Limits.PerUpstream = admission.Limit{Concurrency: 20} })
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if status, body := text(t, p, &Call{URL: u}); status != 200 || body != "ok" {
				t.Errorf("%d %q", status, body)
			}
		})
	}
	wg.Wait()
	if s := p.Stats(); s.Succeeded != 1000 || s.ConnectionsOpened > 40 || most.Load() > 20 {
		t.Errorf("%d at once; stats %+v", most.Load(), s)
	}
}
