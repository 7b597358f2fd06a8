package policytest

import (
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestBench(t *testing.T) {
	tx := natives.NewHost(natives.HostConfig{}).Begin(caseStart)
	p, err := NewReference(tx.Scope(natives.ScopeConfig{Policy: "conform", Local: true}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := RunBench(t.Context(), p, BenchConfig{Hook: policy.HookRequest, Input: []byte(`{"host": "h", "method": "admit"}`), For: time.Millisecond, Every: time.Second})
	if err != nil || b.Calls == 0 || b.NS <= 0 || b.P99 <= 0 || b.Faults != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := RunBench(t.Context(), p, BenchConfig{Input: []byte(`{"method": "fail"}`)}); err == nil {
		t.Error("a hook that always faults was measured")
	}
}

func TestLimits(t *testing.T) {
	b := &Bench{Hook: "onRequest", NS: 500, Allocs: 0, Fuel: 7}
	for text, want := range map[string]bool{"ns > 500": false, "ns>=500": true, "fuel < 8": true, "allocs > 0": false, "fuel <= 6.5": false} {
		l, err := ParseLimit(text)
		if err != nil {
			t.Fatal(err)
		}
		if said, broken := l.Broken(b); broken != want || !strings.HasPrefix(said, "onRequest: ") {
			t.Errorf("%s: %v, %s", text, broken, said)
		}
	}
	for _, bad := range []string{"", "ns", "ns > ", "ns > x", "speed > 1", "ns = 1", "ns > 1.2.3"} {
		if _, err := ParseLimit(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestSuggestions(t *testing.T) {
	if SuggestFuel(10) != 1000 || SuggestFuel(1234) != 5000 || SuggestBudget(1000) != time.Millisecond || SuggestBudget(1e6) != 20*time.Millisecond {
		t.Error(SuggestFuel(10), SuggestFuel(1234), SuggestBudget(1000), SuggestBudget(1e6))
	}
}
