package wasm

import (
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

var benchScope = natives.ScopeConfig{Policy: "bench"}

// benchCases are the requests of testdata/bench.c, by what their size makes it call.
var benchCases = []struct {
	name string
	size int64
}{
	{"hook", -1}, {"metric_add", 1}, {"take", 2}, {"admit", 3}, {"metric_add_3", 4}, {"header", 5}, {"state_incr", 6}, {"hash", 7},
}

func upstreams() []policy.Upstream {
	return []policy.Upstream{
		{Name: "a", Host: "a.example.com", Weight: 3, Healthy: true, InFlight: 9, Remaining: -1},
		{Name: "b", Host: "b.example.com", Weight: 1, Healthy: true, InFlight: 2, Remaining: 7},
		{Name: "c", Host: "c.example.com", Healthy: false, InFlight: 0, Remaining: -1},
	}
}

func TestHooksAllocateNothing(t *testing.T) {
	p := open(t, "bench.wasm", Config{Scope: newScope(benchScope)})
	var d policy.Decision
	for _, c := range benchCases {
		req := request()
		req.Size = c.size
		n := testing.AllocsPerRun(200, func() {
			d.Reset()
			if err := p.OnRequest(req, &d); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a hook, want 0", c.name, n)
		}
	}
	req, ups := request(), upstreams()
	n := testing.AllocsPerRun(200, func() {
		d.Reset()
		if err := p.OnRoute(req, ups, &d); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 || d.Upstream != "b" {
		t.Errorf("route: %v allocations, upstream %q; want 0 and b", n, d.Upstream)
	}
}
