package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/api"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPool returns a pool whose breaker never opens. It is stopped with the test.
func newPool(tb testing.TB, change func(*api.Config)) *api.Pool {
	tb.Helper()
	c := api.DefaultConfig()
	c.Admission.Breaker.Enabled = false
	if change != nil {
		change(&c)
	}
	pool, err := api.New(c)
	if err != nil {
		tb.Fatalf("make a pool: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = pool.Stop(ctx)
	})
	return pool
}

// start runs a gateway until the end of the test and returns its address.
func start(tb testing.TB, c Config) (*Server, string) {
	tb.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Pool == nil {
		c.Pool = newPool(tb, nil)
	}
	s, err := New(c)
	if err != nil {
		tb.Fatalf("make a gateway: %v", err)
	}
	if err := s.Start(context.Background()); err != nil {
		tb.Fatalf("start the gateway: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Stop(ctx)
	})
	return s, s.Addr()
}

// groupOf is a group of upstreams: name, URL, name, URL, ...
func groupOf(tb testing.TB, pairs ...string) *route.Group {
	tb.Helper()
	var ups []route.Upstream
	for i := 0; i < len(pairs); i += 2 {
		u, err := url.Parse(pairs[i+1])
		if err != nil {
			tb.Fatal(err)
		}
		ups = append(ups, route.Upstream{Name: pairs[i], URL: u, Weight: 1})
	}
	g, err := route.NewGroup(ups, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// upRoute serves an upstream under /up/, stripped.
func upRoute(tb testing.TB, url string) []Route {
	tb.Helper()
	return []Route{{Name: "up", PathPrefix: "/up/", StripPrefix: true, Group: groupOf(tb, "up", url)}}
}

// origin is an upstream that is stopped with the test.
func origin(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	srv := httptest.NewServer(h)
	tb.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}

// client is an HTTP client without a proxy, closed with the test.
func client(tb testing.TB) *http.Client {
	tb.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// send sends a request and returns the answer with its body read.
func send(tb testing.TB, c *http.Client, method, url string, fields ...string) (*http.Response, string) {
	tb.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
		}
		r.Header.Add(fields[i], fields[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatalf("%s %s: read the body: %v", method, url, err)
	}
	return res, string(body)
}
