package wasm

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

var bg = context.Background()

// second is a clock well after 0.
const second = int64(1_800_000_000 * time.Second)

// headers is a Lookup of a few values.
type headers map[string]string

func (h headers) Lookup(name string) (string, bool) { v, ok := h[name]; return v, ok }

func newEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := NewEngine(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newScope(c natives.ScopeConfig) *natives.Scope {
	if c.Policy == "" {
		c.Policy = "p"
	}
	return natives.NewHost(natives.HostConfig{}).Begin(second).Scope(c)
}

// open opens a file of testdata and closes it at the end of the test.
func open(t testing.TB, file string, c Config) *Policy {
	t.Helper()
	code, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return openCode(t, code, c)
}

func openCode(t testing.TB, code []byte, c Config) *Policy {
	t.Helper()
	p, err := newEngine(t).Open(bg, Source{Name: "p", Code: code}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func request() *policy.Request {
	return &policy.Request{Subsystem: policy.SubsystemAPI, Action: "request", Key: "api.example.com", Method: "GET",
		URL: "https://api.example.com/v1/users/12345/orders?page=3", Host: "api.example.com", Path: "/v1/users/12345/orders",
		Tenant: "tenant-a", Priority: 5, Attempt: 1, Cost: 1, Size: -1, Now: second, Deadline: second + int64(time.Minute),
		Header: headers{"x-class": "batch"}, Stats: policy.Stats{InFlight: 12, Queued: 3, Rate: 55.5, ErrorRate: 0.01, P50: time.Millisecond, P95: 12 * time.Millisecond}}
}
