package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

type fields map[string]string

func (f fields) Lookup(name string) (string, bool) { v, ok := f[name]; return v, ok }

// ledger is where an attempt's takes go.
type ledger struct{ entries []policy.Entry }

func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }
func (l *ledger) Settle(now int64, limiter, key string, actual int64) bool {
	for _, e := range slices.Backward(l.entries) {
		if e.Limiter == limiter && e.Key == key && e.From != nil {
			e.From.Settle(now, key, e.Cost, actual, e.Taken)
			return true
		}
	}
	return false
}

// stdPatient is a budget that a machine under load keeps.
var stdPatient = policy.Options{Budget: time.Minute}

func openStandard(t *testing.T, use string, params map[string]any) (*Policy, error) {
	t.Helper()
	p, err := Open(t.Context(), "", use, Settings{Options: stdPatient, Params: params}, testConfig(t))
	if err == nil {
		t.Cleanup(func() { _ = p.Close() })
	}
	return p, err
}

// The policies that ship load, and answer requests of a route, of a proxied host and of
// somebody else without a fault; and their first line says what they do.
func TestStandardPolicies(t *testing.T) {
	for _, use := range Std() {
		p, err := openStandard(t, use, nil)
		if err != nil {
			t.Errorf("%s: %v", use, err)
			continue
		}
		source, err := StdSource(use)
		name := strings.TrimPrefix(use, StdPrefix)
		if err != nil || !strings.HasPrefix(string(source), "// "+name+": ") || !strings.Contains(string(source), "//   gaia run "+use) {
			t.Errorf("%s: the head says neither what it does nor how it is run: %v", use, err)
		}
		ups := []policy.Upstream{{Name: "a", Healthy: true, Weight: 1}, {Name: "b", Healthy: true, Weight: 1}}
		for _, key := range slices.Concat(slices.Collect(maps.Keys(p.Options.Routes)), []string{"api.openai.com", "api.anthropic.com", "api.github.com", "other"}) {
			for _, status := range []int{200, 403, 429, 503} {
				req := &policy.Request{
					Subsystem: policy.SubsystemAPI, Action: "request", Key: key, Method: "POST", Host: "h", Path: "/v1/x", Size: 4000,
					Priority: 5, Attempt: 1, Cost: 1, Now: t0, Ledger: &ledger{}, Body: fields{"max_tokens": "200"},
				}
				res := &policy.Response{Status: status, Upstream: "a", Header: fields{"Retry-After": "2", "x-ratelimit-remaining": "0"},
					Body: fields{"usage.total_tokens": "70", "usage.output_tokens": "7"}}
				var d, to policy.Decision
				for i, err := range []error{
					p.OnRequest(req, &d), p.OnRoute(req, ups, &to), p.OnResponse(req, res, &policy.Decision{}), p.OnDone(req, res), p.OnTick(&policy.Tick{Now: t0}),
				} {
					if err != nil {
						t.Errorf("%s: hook %d: %v", use, i, err)
					}
				}
			}
		}
	}
}

// A parameter of a wrong kind, or one that there is none of, is refused at load by name.
func TestStandardPoliciesNameAWrongParameter(t *testing.T) {
	numbers := map[string][]string{
		"openai": {"rpm", "tpm", "output"}, "anthropic": {"rpm", "itpm", "otpm", "output"}, "github": {"points", "writes"},
		"crawl": {"delay", "maxWait"}, "fair": {"rate", "burst", "per", "maxWait"}, "adaptive": {"min", "max", "maxWait"}, "queue": {"max", "maxQueue", "maxWait"},
		"cost-cap": {"budget", "request", "input", "output", "answer"}, "per-host": {"rate", "burst", "per"}, "retry-after": {"maxWait"},
		"tenant-quota": {"rpm", "burst", "maxWait"}, "failover": {"rest"},
	}
	for _, use := range Std() {
		name := strings.TrimPrefix(use, StdPrefix)
		if len(numbers[name]) == 0 {
			t.Errorf("%s is not in this table", use)
		}
		for _, param := range numbers[name] {
			for _, bad := range []any{-1, "plenty", true, []any{1.0}, map[string]any{"a": 1.0}} {
				if _, err := openStandard(t, use, map[string]any{param: bad}); err == nil || !strings.Contains(err.Error(), "params."+param+": want ") {
					t.Errorf("%s with %s=%v: %v", use, param, bad, err)
				}
			}
		}
		if _, err := openStandard(t, use, map[string]any{"rmp": 5}); err == nil || !strings.Contains(err.Error(), "params.rmp: there is no such parameter (want ") {
			t.Errorf("%s with a parameter that there is none of: %v", use, err)
		}
	}
	for use, params := range map[string]map[string]any{
		"std/crawl":        {"delays": map[string]any{"a.example": "-1s"}},
		"std/fair":         {"weights": map[string]any{"gold": 0}},
		"std/tenant-quota": {"tenants": map[string]any{"gold": "x"}},
		"std/adaptive":     {"algorithm": "guess"},
		"std/queue":        {"order": "lifo"},
		"std/cost-cap":     {"every": "year"},
		"std/failover":     {"order": "first"},
		"std/openai":       {"route": ""},
	} {
		for param := range params {
			if _, err := openStandard(t, use, params); err == nil || !strings.Contains(err.Error(), "params."+param+": want ") {
				t.Errorf("%s with %v: %v", use, params, err)
			}
		}
	}
}

func TestStandardPoliciesTakeTheirParameters(t *testing.T) {
	for use, params := range map[string]map[string]any{
		"std/openai":       {"rpm": 500, "tpm": 30_000, "output": 200, "maxWait": "5s", "route": "llm"},
		"std/anthropic":    {"rpm": 50, "itpm": 1000.5, "otpm": 8000, "maxWait": 2500},
		"std/github":       {"points": 600, "writes": 20},
		"std/crawl":        {"delay": "500ms", "delays": map[string]any{"Slow.example": "10s"}},
		"std/fair":         {"rate": 0.5, "per": "1m", "burst": 3, "weights": map[string]any{"gold": 3, "free": 0.5}},
		"std/adaptive":     {"algorithm": "aimd", "min": 2, "max": 9},
		"std/queue":        {"max": 4, "maxQueue": 50, "maxWait": "20s", "order": "fifo"},
		"std/cost-cap":     {"budget": 0.5, "every": "month", "zone": "Europe/Berlin", "request": 0.01, "each": "tenant"},
		"std/per-host":     {"rate": 2.5, "maxWait": 0},
		"std/failover":     {"order": []any{"a", "b"}, "rest": "1m30s"},
		"std/tenant-quota": {"rpm": 10, "tenants": map[string]any{"gold": 100}},
	} {
		if _, err := openStandard(t, use, params); err != nil {
			t.Errorf("%s with %v: %v", use, params, err)
		}
	}
}

// Every file that a standard policy imports is among its files.
func TestStdFiles(t *testing.T) {
	files, err := StdFiles("std/openai")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(slices.Sorted(maps.Keys(files))); got != "[lib/keys.js lib/llm.js lib/params.js]" {
		t.Errorf("std/openai needs %s", got)
	}
	if _, err := StdFiles("std/none"); err == nil {
		t.Error("a policy that does not exist has files")
	}
}
