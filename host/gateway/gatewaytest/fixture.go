package gatewaytest

import (
	"net"
	"testing"
	"time"
)

const (
	// maxPatience is the usual patience of a fixture: long enough for 32 MiB under
	// the race detector on a machine that others use too.
	maxPatience = 30 * time.Second
	// prompt is the time within which a gateway must notice that its client
	// or its upstream is gone.
	prompt = time.Second
)

// fixture is what one behaviour works with. Its methods fail the test and may
// be called from the test's goroutine only, unless they say otherwise.
type fixture struct {
	testing.TB
	start StartFunc
	// patience bounds every wait for something that must happen, so that a
	// broken gateway fails a behaviour instead of hanging it.
	patience time.Duration
}

func newFixture(tb testing.TB, start StartFunc) *fixture {
	return &fixture{TB: tb, start: start, patience: maxPatience}
}

// gateway starts a gateway.
func (f *fixture) gateway(c Config) string {
	f.Helper()
	addr := f.start(f, c)
	if _, _, err := net.SplitHostPort(addr); err != nil {
		f.Fatalf("start returned %q: %v", addr, err)
	}
	return addr
}

// front starts a gateway whose only route serves upstream under /up/, stripped.
func (f *fixture) front(upstream string) string {
	f.Helper()
	return f.gateway(Config{Routes: upRoute(upstream)})
}

// forward starts a gateway that is a forward proxy beside a route to upstream.
func (f *fixture) forward(upstream string) string {
	f.Helper()
	return f.gateway(Config{Routes: upRoute(upstream), ForwardProxy: true})
}

func upRoute(upstream string) []Route {
	return []Route{{Name: "up", PathPrefix: "/up/", Strip: true, Upstream: upstream}}
}

// await waits for c to be closed or to deliver.
func await[T any](f *fixture, c <-chan T, within time.Duration, what string) T {
	f.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(within):
		f.Fatalf("%s: not within %v", what, within)
		panic("unreachable")
	}
}

func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if got != want {
		f.Fatalf("%s: got %#v, want %#v", what, got, want)
	}
}
