package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

type source struct{ s *metrics.Schema }

func (s source) Schema() *metrics.Schema                     { return s.s }
func (s source) Read(dst []float64) []float64                { return append(dst, 42) }
func (b *backend) Sources() []metrics.Source                 { return []metrics.Source{b.src} }
func (b *backend) Gatherer() prometheus.Gatherer             { return prometheus.NewRegistry() }
func (b *backend) RequestStop(d time.Duration)               { b.stopped <- d }
func (b *backend) Ready() error                              { return b.notReady }
func (b *backend) Rollback(context.Context) (Changed, error) { return Changed{From: 2, To: 3}, nil }

func (b *backend) Limits(LimitsQuery) (Limits, error)           { return Limits{Generation: 7}, nil }
func (b *backend) SetLimit(LimitChange) (LimitChanged, error)   { return LimitChanged{Keys: 1}, nil }
func (b *backend) ResetLimit(LimitChange) (LimitChanged, error) { return LimitChanged{Keys: 2}, nil }
func (b *backend) PauseLimit(LimitChange) (LimitChanged, error) {
	return LimitChanged{}, errors.New("why")
}

type backend struct {
	src      metrics.Source
	stopped  chan time.Duration
	notReady error
	refuse   error
	forced   bool
}

func (b *backend) Status() Status {
	return Status{Schema: SchemaStatus, Generation: 7, Policies: []Policy{{Name: "p", Engine: "js"}}}
}

func (b *backend) Reload(_ context.Context, force bool) (Changed, error) {
	b.forced = force
	return Changed{From: 1, To: 2}, b.refuse
}

func (b *backend) Health() Health {
	return Health{Schema: SchemaHealth, Status: HealthOK, Subsystems: map[string]Health{"api": {Status: HealthFailing, Reasons: []string{"why"}}}}
}

func start(t *testing.T) (*Server, *backend, string) {
	t.Helper()
	dir := t.TempDir()
	b := &backend{src: source{metrics.NewSchema("api", metrics.Field{Name: "requests_total", Help: "h"})}, stopped: make(chan time.Duration, 1)}
	s := New(Config{Listen: "127.0.0.1:0", Socket: filepath.Join(dir, "g.sock"), TokenFile: filepath.Join(dir, "g.token"), AllowedHosts: []string{"gaia.internal"}, Backend: b})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, b, dir
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestReadingIsOpenAndChangingIsGuarded(t *testing.T) {
	s, b, dir := start(t)
	base := "http://" + s.Addr()
	token := ReadToken(filepath.Join(dir, "g.token"))
	tests := []struct {
		method, path string
		header       []string
		status       int
		contains     string
	}{
		{"GET", "/livez", nil, 200, "ok"},
		{"GET", "/readyz", nil, 200, "ready"},
		{"GET", "/health", nil, 200, `"ok"`},
		{"GET", "/health/api", nil, 503, "why"},
		{"GET", "/health/none", nil, 404, "there is no"},
		{"GET", "/v1/status", nil, 200, `"generation":7`},
		{"GET", "/v1/policies", nil, 200, `"name":"p"`},
		{"GET", "/metrics/api", nil, 200, `"requests_total":42`},
		{"GET", "/metrics", nil, 200, ""},
		{"GET", "/nothing", nil, 404, "there is no"},
		{"POST", "/v1/reload", nil, 401, "token"},
		{"POST", "/v1/rollback", nil, 401, ""},
		{"POST", "/v1/stop", nil, 401, ""},
		{"GET", "/v1/limits?count=5&key=a", nil, 200, `"schema":"gaia.limits/v1"`},
		{"GET", "/v1/limits?count=0", nil, 400, "count: want 1 to 1000"},
		{"GET", "/v1/limits?cuont=5", nil, 400, `did you mean \"count\"`},
		{"GET", "/v1/limits?key=" + strings.Repeat("k", 5000), nil, 400, "at most 4096 bytes"},
		{"POST", "/v1/limits/set", nil, 401, "token"},
		{"POST", "/v1/limits/reset", nil, 401, "token"},
		{"POST", "/v1/limits/pause", nil, 401, "token"},
		{"GET", "/debug/pprof/", nil, 401, ""},
		{"GET", "/debug/pprof/heap", []string{"Authorization", "Bearer wrong"}, 401, ""},
		{"GET", "/debug/pprof/heap?debug=1", []string{"Authorization", "Bearer " + token}, 200, "heap profile"},
		{"POST", "/v1/reload?force=true", []string{"Authorization", "Bearer " + token}, 200, `"to":2`},
		{"POST", "/v1/rollback", []string{"Authorization", "Bearer " + token}, 200, `"to":3`},
		{"POST", "/v1/stop?drain=soon", []string{"Authorization", "Bearer " + token}, 400, "drain"},
		{"GET", "/v1/status", []string{"Host", "evil.test"}, 421, "allowed_hosts"},
		{"GET", "/v1/status", []string{"Host", "127.evil.com"}, 421, ""},
		{"GET", "/v1/status", []string{"Host", "gaia.internal:80"}, 200, ""},
		{"GET", "/v1/status", []string{"Host", "[::1]:4242"}, 200, ""},
		{"POST", "/v1/reload", []string{"Authorization", "Bearer " + token, "Sec-Fetch-Site", "cross-site"}, 403, "cross-site"},
		{"POST", "/v1/reload", []string{"Authorization", "Bearer " + token, "Origin", "http://evil.test"}, 403, "cross-site"},
	}
	for _, tt := range tests {
		res, body := get(t, tt.method, base+tt.path, tt.header...)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.contains) {
			t.Errorf("%s %s %v: %d %q, want %d with %q", tt.method, tt.path, tt.header, res.StatusCode, body, tt.status, tt.contains)
		}
	}
	if !b.forced {
		t.Error("force was not passed on")
	}
	b.notReady = errors.New("starting")
	if res, _ := get(t, "GET", base+"/readyz"); res.StatusCode != 503 {
		t.Errorf("readyz while starting: %d", res.StatusCode)
	}
	if info, err := os.Stat(filepath.Join(dir, "g.token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info.Mode(), err)
	}
}

func TestSocketNeedsNoToken(t *testing.T) {
	_, b, dir := start(t)
	path := filepath.Join(dir, "g.sock")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	c := NewClient(path, "", "")
	st, err := c.Status(t.Context())
	if err != nil || st.Generation != 7 {
		t.Errorf("status: %+v, %v", st, err)
	}
	b.refuse = fmt.Errorf("wrapped: %w", &policy.LoadError{File: "p.js", Line: 1, Col: 2, Message: "bad"})
	_, err = c.Reload(t.Context(), false)
	var answer *AnswerError
	if !errors.As(err, &answer) || answer.ExitCode() != 3 || !strings.Contains(err.Error(), "p.js:1:2: bad") {
		t.Errorf("a refused reload: %v", err)
	}
	if err := c.Stop(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if d := <-b.stopped; d != 3*time.Second {
		t.Errorf("drain %v", d)
	}
}

func TestSocketLeftBehindIsReplacedAndOneInUseIsNot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "g.sock")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close() // what kill -9 leaves

	b := &backend{src: source{metrics.NewSchema("api")}}
	one := New(Config{Socket: path, Backend: b})
	if err := one.Start(t.Context()); err != nil {
		t.Fatalf("a socket left behind: %v", err)
	}
	defer func() { _ = one.Stop(context.Background()) }()
	two := New(Config{Socket: path, Backend: b})
	if err := two.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "another gaia") {
		t.Errorf("a socket in use: %v", err)
	}
	if _, err := NewClient(path, "", "").Status(t.Context()); err != nil {
		t.Errorf("the first lost its socket: %v", err)
	}
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(Config{Socket: plain, Backend: b}).Start(t.Context()); err == nil {
		t.Error("a plain file was replaced by a socket")
	}
	if data, _ := os.ReadFile(plain); string(data) != "mine" {
		t.Error("the file is gone")
	}
}

func TestStartFailsWithOneClearError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	sock := filepath.Join(dir, "g.sock")
	b := &backend{src: source{metrics.NewSchema("api")}}
	for name, c := range map[string]Config{
		"port taken":   {Listen: l.Addr().String(), Socket: sock, TokenFile: filepath.Join(dir, "t"), Backend: b},
		"not loopback": {Listen: "0.0.0.0:0", Socket: sock, TokenFile: filepath.Join(dir, "t"), Backend: b},
		"no token":     {Listen: "127.0.0.1:0", Socket: sock, Backend: b},
	} {
		if err := New(c).Start(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(sock); err == nil {
			t.Errorf("%s: the socket was left behind", name)
		}
	}
}

func TestUnreachable(t *testing.T) {
	_, err := NewClient(filepath.Join(t.TempDir(), "none.sock"), "", "").Status(t.Context())
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if _, err := NewClient("x", "", "").Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestStatusKeepsItsFieldNames(t *testing.T) {
	data, err := json.Marshal(Status{Policies: []Policy{{}}, Subsystems: map[string]map[string]float64{"api": {}}})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"schema", "generation", "policies", "last_reload", "uptime_seconds", "subsystems"} {
		if _, ok := m[name]; !ok {
			t.Errorf("status has no %s", name)
		}
	}
	p := m["policies"].([]any)[0].(map[string]any)
	for _, name := range []string{"name", "engine", "digest", "on_failure", "faults"} {
		if _, ok := p[name]; !ok {
			t.Errorf("a policy has no %s", name)
		}
	}
}
