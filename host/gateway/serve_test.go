package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/subsystems/api"
)

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Fields"] = []string{strings.Join(names(r.Header), " ")}
	_, _ = io.WriteString(w, r.Host+r.RequestURI)
}

func names(h http.Header) []string {
	var all []string
	for name := range h {
		all = append(all, name)
	}
	return all
}

func TestRoutesByHost(t *testing.T) {
	a, b := origin(t, echo), origin(t, echo)
	_, addr := start(t, Config{Routes: []Route{
		{Name: "any", PathPrefix: "/v1/", Group: groupOf(t, "a", a.URL)},
		{Name: "b", Host: "b.example", Group: groupOf(t, "b", b.URL+"/base")},
	}})
	c := client(t)
	_, body := send(t, c, "GET", "http://"+addr+"/v1/x")
	if want := strings.TrimPrefix(a.URL, "http://") + "/v1/x"; body != want {
		t.Errorf("by path: %s, want %s", body, want)
	}
	_, body = send(t, c, "GET", "http://"+addr+"/v1/x?q", "Host", "B.example:8080")
	if want := strings.TrimPrefix(b.URL, "http://") + "/base/v1/x?q"; body != want {
		t.Errorf("by host: %s, want %s", body, want)
	}
}

// problemOf reads an answer of the gateway's own.
func problemOf(t *testing.T, res *http.Response, body string) map[string]any {
	t.Helper()
	var p map[string]any
	if res.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("status %d of type %q: %s", res.StatusCode, res.Header.Get("Content-Type"), body)
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if p["schema"] != "gaia.problem/v1" || p["status"] != float64(res.StatusCode) {
		t.Fatalf("status %d: %s", res.StatusCode, body)
	}
	return p
}

func TestRefusals(t *testing.T) {
	up := origin(t, echo)
	routes := upRoute(t, up.URL)
	routes = append(routes, Route{Name: "named", Host: "named.example", Group: groupOf(t, "n", up.URL)})
	_, addr := start(t, Config{Routes: routes, AllowedHosts: []string{"box.example"}})
	c := client(t)
	for _, tc := range []struct {
		name, method, path string
		fields             []string
		status             int
		kind, says         string
	}{
		{"loopback name", "GET", "/up/", []string{"Host", "localhost:1"}, 200, "", ""},
		{"allowed host", "GET", "/up/", []string{"Host", "box.example:99"}, 200, "", ""},
		{"host of a route", "GET", "/up/", []string{"Host", "named.example"}, 200, "", ""},
		{"foreign host", "GET", "/up/", []string{"Host", "evil.example"}, 421, "host-not-allowed", "allowed_hosts"},
		{"foreign host, no route", "GET", "/", []string{"Host", "evil.example"}, 421, "host-not-allowed", "evil.example"},
		{"same origin", "POST", "/up/", []string{"Sec-Fetch-Site", "same-origin"}, 200, "", ""},
		{"typed in", "GET", "/up/", []string{"Sec-Fetch-Site", "none"}, 200, "", ""},
		{"cross-site post", "POST", "/up/", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-site", "another site"},
		{"same-site post", "POST", "/up/", []string{"Sec-Fetch-Site", "same-site"}, 403, "cross-site", "another site"},
		{"cross-site get", "GET", "/up/", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-site", "another site"},
		{"old browser", "POST", "/up/", []string{"Origin", "https://evil.example"}, 403, "cross-site", "another site"},
		{"old browser, own page", "POST", "/up/", []string{"Origin", "http://" + addr}, 200, "", ""},
		{"no route", "GET", "/nowhere", nil, 404, "no-route", "up at /up/"},
		{"bad priority", "GET", "/up/", []string{"Gaia-Priority", "11"}, 400, "bad-request", "Gaia-Priority"},
		{"bad cost", "GET", "/up/", []string{"Gaia-Cost", "many"}, 400, "bad-request", "Gaia-Cost"},
		{"bad timeout", "GET", "/up/", []string{"Gaia-Timeout", "-1s"}, 400, "bad-request", "Gaia-Timeout"},
		{"bad tenant", "GET", "/up/", []string{"Gaia-Tenant", strings.Repeat("x", 300)}, 400, "bad-request", "Gaia-Tenant"},
	} {
		res, body := send(t, c, tc.method, "http://"+addr+tc.path, tc.fields...)
		if res.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d: %s", tc.name, res.StatusCode, tc.status, body)
			continue
		}
		if tc.status == 200 {
			continue
		}
		if p := problemOf(t, res, body); p["type"] != "urn:gaia:problem:"+tc.kind || !strings.Contains(body, tc.says) {
			t.Errorf("%s: %s", tc.name, body)
		}
	}
}

func TestForwardIsNoRoute(t *testing.T) {
	up := origin(t, echo)
	target := strings.TrimPrefix(up.URL, "http://")
	for _, on := range []bool{true, false} {
		_, addr := start(t, Config{ForwardProxy: on})
		for line, want := range map[string]map[bool]string{
			"GET " + up.URL + "/x": {true: " 200 ", false: " 403 "},
			"CONNECT " + target:    {true: " 200 ", false: " 405 "},
			"GET /x":               {true: " 421 ", false: " 421 "},
		} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			// The Host and the fields of another site's page matter to routes only.
			_, _ = io.WriteString(conn, line+" HTTP/1.1\r\nHost: evil.example\r\nSec-Fetch-Site: cross-site\r\n\r\n")
			buf := make([]byte, 64)
			n, err := conn.Read(buf)
			_ = conn.Close()
			if err != nil || !strings.Contains(string(buf[:n]), want[on]) {
				t.Errorf("forward proxy %v: %s: %q %v, want%s", on, line, buf[:n], err, want[on])
			}
		}
	}
}

func TestWhatPoliciesSee(t *testing.T) {
	up := origin(t, echo)
	seen := make(chan policy.Request, 4)
	auth := make(chan string, 4)
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(r *policy.Request, _ *policy.Decision) {
			v, _ := r.HeaderValue("authorization")
			if _, ok := r.HeaderValue("Gaia-Tenant"); ok {
				v = "Gaia-Tenant is still there"
			}
			seen <- *r
			auth <- v
		}})
	})
	g := groupOf(t, "u", strings.Replace(up.URL, "http://", "http://user:secret@", 1)+"/base")
	_, addr := start(t, Config{Pool: pool, ForwardProxy: true, Routes: []Route{{Name: "openai", PathPrefix: "/openai/", StripPrefix: true, Group: g}}})
	c := client(t)
	send(t, c, "GET", "http://"+addr+"/openai/v1/x?q=1", "Gaia-Tenant", "acme", "Gaia-Priority", "8", "Gaia-Cost", "12", "Gaia-Timeout", "5s", "Authorization", "Bearer caller")
	r := <-seen
	host := strings.TrimPrefix(up.URL, "http://")
	if r.Subsystem != "api" || r.Action != "request" || r.Key != "openai" || r.Method != "GET" || r.Host != host || r.Path != "/base/v1/x" ||
		r.URL != "http://"+host+"/base/v1/x?q=1" || r.Tenant != "acme" || r.Priority != 8 || r.Cost != 12 || r.Size != 0 {
		t.Errorf("a policy sees %+v", r)
	}
	if left := time.Duration(r.Deadline - r.Now); left < 4*time.Second || left > 6*time.Second {
		t.Errorf("the deadline is %v away, want 5s", left)
	}
	if v := <-auth; v != "Bearer caller" {
		t.Errorf("Authorization: %q", v)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "CONNECT LocalHost:"+host[strings.LastIndex(host, ":")+1:]+" HTTP/1.1\r\nHost: x\r\nGaia-Tenant: acme\r\n\r\n")
	if r := <-seen; r.Action != "connect" || r.Method != "CONNECT" || !strings.HasPrefix(r.Key, "localhost:") || r.Host != r.Key || r.Tenant != "acme" {
		t.Errorf("of a tunnel a policy sees %+v", r)
	}
}

func TestDenial(t *testing.T) {
	up := origin(t, func(http.ResponseWriter, *http.Request) { t.Error("a denied request reached the upstream") })
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Named: "quota", Request: func(_ *policy.Request, d *policy.Decision) {
			d.Action, d.Status, d.Reason, d.RetryAfter = policy.ActionDeny, 429, "spent", 1200*time.Millisecond
			d.Limit = policy.LimitInfo{Name: "quota/per-tenant", Key: "acme", Limit: 10, Remaining: 0, Reset: 2500 * time.Millisecond}
		}})
	})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	_, addr := start(t, Config{Routes: upRoute(t, up.URL), Pool: pool, Clock: at.UnixNano})
	res, body := send(t, client(t), "GET", "http://"+addr+"/up/")
	for name, want := range map[string]string{"Retry-After": "2", "RateLimit": `"quota/per-tenant";r=0;t=3`, "RateLimit-Policy": `"quota/per-tenant";q=10`} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	p := problemOf(t, res, body)
	for name, want := range map[string]any{
		"status": 429.0, "title": "denied", "detail": "spent", "policy": "quota", "generation": 7.0, "limiter": "quota/per-tenant",
		"key": "acme", "retry_after_seconds": 1.2, "would_pass": "2026-01-02T03:04:06.200Z",
	} {
		if p[name] != want {
			t.Errorf("%s: %v, want %v", name, p[name], want)
		}
	}
	if level, _ := p["level"].(map[string]any); level["limit"] != 10.0 || level["remaining"] != 0.0 || level["reset_seconds"] != 2.5 {
		t.Errorf("level: %v", p["level"])
	}
}

// TestDeniedPostKeepsItsConnection sends the bodies of denied requests in time and
// too late.
func TestDeniedPostKeepsItsConnection(t *testing.T) {
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(_ *policy.Request, d *policy.Decision) { d.Action = policy.ActionDeny }})
	})
	_, addr := start(t, Config{Routes: upRoute(t, "http://127.0.0.1:1"), Pool: pool})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 4<<10)
	for i, late := range []bool{false, false, true} {
		head := "POST /up/ HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 5\r\n\r\n"
		if late {
			_, _ = io.WriteString(conn, head)
		} else {
			_, _ = io.WriteString(conn, head+"hello")
		}
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 429 ") {
			t.Fatalf("answer %d: %q %v", i, buf[:n], err)
		}
		if closes := strings.Contains(string(buf[:n]), "Connection: close"); closes != late {
			t.Errorf("answer %d: the connection closes: %v", i, closes)
		}
	}
}

func TestHeldAnswersSaySo(t *testing.T) {
	own := atomic.Bool{}
	up := origin(t, func(w http.ResponseWriter, _ *http.Request) {
		if own.Load() {
			w.Header().Set("RateLimit", `"theirs";r=1;t=1`)
		}
	})
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
			if r.Path == "/held" {
				d.Action, d.Delay = policy.ActionDelay, 20*time.Millisecond
				d.Limit = policy.LimitInfo{Name: "pace", Limit: 5, Remaining: 2, Reset: time.Second}
			}
		}})
	})
	_, addr := start(t, Config{Routes: upRoute(t, up.URL), Pool: pool})
	c := client(t)
	if res, _ := send(t, c, "GET", "http://"+addr+"/up/free"); res.Header.Get("Gaia-Wait") != "" || res.Header.Get("RateLimit") != "" {
		t.Errorf("a free answer says: %v", res.Header)
	}
	res, _ := send(t, c, "GET", "http://"+addr+"/up/held")
	w := res.Header.Get("Gaia-Wait")
	if _, decimals, _ := strings.Cut(w, "."); len(decimals) != 3 {
		t.Errorf("Gaia-Wait: %q", w)
	}
	if s, err := strconv.ParseFloat(w, 64); err != nil || s < 0.020 || s > 5 {
		t.Errorf("Gaia-Wait: %q, held for 20ms", w)
	}
	if got := res.Header.Get("RateLimit"); got != `"pace";r=2;t=1` {
		t.Errorf("RateLimit: %s", got)
	}
	own.Store(true)
	if res, _ := send(t, c, "GET", "http://"+addr+"/up/held"); res.Header.Get("RateLimit") != `"theirs";r=1;t=1` || res.Header.Get("RateLimit-Policy") != "" {
		t.Errorf("the upstream's RateLimit became %v", res.Header)
	}
}

// TestRetriesAreInvisible has two upstreams, one of which answers 429, 503 or not at
// all.
func TestRetriesAreInvisible(t *testing.T) {
	var turn atomic.Int64
	bad := origin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-From", "bad")
		switch turn.Add(1) % 3 {
		case 0:
			w.WriteHeader(429)
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(503)
		case 2:
			panic(http.ErrAbortHandler)
		}
	})
	good := origin(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-From", "good")
		_, _ = w.Write(body)
	})
	pool := newPool(t, func(c *api.Config) {
		c.Admission.Retry.Base, c.Admission.Retry.PerSecond = time.Millisecond, 1000
	})
	_, addr := start(t, Config{Pool: pool, Routes: []Route{{Name: "both", PathPrefix: "/", Group: groupOf(t, "bad", bad.URL, "good", good.URL)}}})
	c := client(t)
	for i := range 12 {
		res, err := c.Do(func() *http.Request {
			r, _ := http.NewRequest("PUT", "http://"+addr+"/x", strings.NewReader("hello"))
			return r
		}())
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || string(body) != "hello" || res.Header.Get("X-From") != "good" || len(res.Header["X-From"]) != 1 {
			t.Errorf("request %d: status %d, %q, from %q", i, res.StatusCode, body, res.Header["X-From"])
		}
	}
	if turn.Load() == 0 {
		t.Error("the bad upstream was never asked")
	}
}

func TestUpstreamFailuresNameTheirKind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	slow := origin(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	pool := newPool(t, func(c *api.Config) { c.Admission.MaxAttempts = 1 })
	_, addr := start(t, Config{Pool: pool, Routes: []Route{
		{Name: "gone", PathPrefix: "/gone/", Group: groupOf(t, "x", "http://user:secret@"+l.Addr().String())},
		{Name: "slow", PathPrefix: "/slow/", Group: groupOf(t, "slow", slow.URL)},
	}})
	c := client(t)
	res, body := send(t, c, "GET", "http://"+addr+"/gone/?key=secret", "Authorization", "Bearer secret")
	if p := problemOf(t, res, body); res.StatusCode != 502 || p["error"] != "refused" || !strings.Contains(body, "gone: upstream x") || strings.Contains(body, "secret") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	res, body = send(t, c, "GET", "http://"+addr+"/slow/", "Gaia-Timeout", "200")
	if p := problemOf(t, res, body); res.StatusCode != 504 || p["error"] != "timeout" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestRouteToItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free a moment later
	if err != nil {
		t.Fatal(err)
	}
	own := l.Addr().String()
	_ = l.Close()
	_, addr := start(t, Config{Listen: own, Routes: upRoute(t, "http://"+strings.Replace(own, "127.0.0.1", "localhost", 1))})
	if res, body := send(t, client(t), "GET", "http://"+addr+"/up/up/up/x"); res.StatusCode != 508 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// logBuffer is a buffer for several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestTunnelsAreToldOfOnce(t *testing.T) {
	up := origin(t, echo)
	target := strings.TrimPrefix(up.URL, "http://")
	var out logBuffer
	_, addr := start(t, Config{ForwardProxy: true, Log: slog.New(slog.NewTextHandler(&out, nil))})
	for range 3 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n")
		if _, err := conn.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if got := strings.Count(out.b.String(), "--route NAME=https://"+target); got != 1 {
		t.Errorf("told %d times:\n%s", got, out.b.String())
	}
	n := namedHosts{}
	s := &Server{log: slog.New(slog.DiscardHandler)}
	for i := range 2 * maxNamed {
		n.tell(s, strings.Repeat("x", i))
	}
	if len(n.seen) != maxNamed {
		t.Errorf("%d hosts are remembered, want %d", len(n.seen), maxNamed)
	}
}
