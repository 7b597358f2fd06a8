package policytest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

const t0 = int64(1_800_000_000) * int64(time.Second)

func TestParseInput(t *testing.T) {
	in, err := ParseInput([]byte(`{"request": {"url": "https://API.example.com/v1?x=1", "tenant": "gold", "priority": 0, "now": 5, "headers": {"X-A": "1"}, "body": {"n": 7, "s": "t"}, "stats": {"in_flight": 3, "p95": "2s"}},
		"response": {"status": 429, "retry_after": 1500, "headers": {"retry-after": "2"}}, "upstreams": ["a", {"name": "b", "healthy": false, "remaining": 4}]}`), t0)
	if err != nil {
		t.Fatal(err)
	}
	r := in.Request
	if r.Host != "api.example.com" || r.Key != r.Host || r.Path != "/v1" || r.Tenant != "gold" || r.Priority != 0 || r.Now != 5e6 || r.Method != "GET" || r.Cost != 1 {
		t.Errorf("request: %+v", r)
	}
	if v, ok := r.HeaderValue("x-a"); !ok || v != "1" {
		t.Error("headers are matched without regard to case")
	}
	if v, _ := r.BodyValue("n"); v != "7" {
		t.Errorf("body scalar: %q", v)
	}
	if r.Stats.InFlight != 3 || r.Stats.P95 != 2*time.Second {
		t.Errorf("stats: %+v", r.Stats)
	}
	if in.Response.Status != 429 || in.Response.RetryAfter != 1500*time.Millisecond {
		t.Errorf("response: %+v", in.Response)
	}
	if u := in.Upstreams; len(u) != 2 || u[0].Name != "a" || !u[0].Healthy || u[1].Healthy || u[1].Remaining != 4 {
		t.Errorf("upstreams: %+v", u)
	}
	if in, err := ParseInput(nil, t0); err != nil || in.Request.Now != t0 {
		t.Errorf("nothing said: %v", err)
	}
}

func TestParseInputNamesEveryFault(t *testing.T) {
	_, err := ParseInput([]byte(`{"hots": "x", "cost": 1.5, "method": 7, "priority": "high", "stats": {"p50": "soon"}, "headers": 3, "upstreams": [5]}`), t0)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"hots: unknown field", "cost:", "method:", "priority:", "stats.p50:", "headers:", "upstreams[0]:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	for _, bad := range []string{`[]`, `{} {}`, `{`, `"x"`, `{"request": 5}`, `{"now": -1}`, `{"now": 1e300}`} {
		if _, err := ParseInput([]byte(bad), t0); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// admitting is a Go policy that admits by a bucket of two.
type admitting struct {
	policy.Base
	call *natives.Call
	l    *natives.Limiter
	err  error
}

func (a *admitting) Name() string { return "p" }
func (a *admitting) OnRequest(r *policy.Request, d *policy.Decision) error {
	a.call.Begin(r, nil)
	defer a.call.End()
	if err := a.call.Admit(a.l, natives.Arg{}, d); err != nil {
		return err
	}
	return a.err
}

func TestCallKeepsLevelsInTheOverlay(t *testing.T) {
	h := natives.NewHost(natives.HostConfig{})
	tx := h.Begin(t0)
	p := &admitting{call: tx.Scope(natives.ScopeConfig{Policy: "p", Local: true}).NewCall()}
	l, err := p.call.Limiter(limit.TokenBucket, "a", limit.Params{Rate: 1, Burst: 2})
	if err != nil {
		t.Fatal(err)
	}
	p.l = l
	p.call.Loaded()
	tx.Commit()
	overlay := natives.NewOverlay()
	var last *Answer
	for i, want := range []string{"allow", "allow", "deny"} {
		in, _ := ParseInput([]byte(`{"key": "k"}`), t0)
		last, err = Call(p, policy.HookRequest, in, overlay)
		if err != nil || last.Action != want {
			t.Fatalf("call %d: %+v, %v", i, last, err)
		}
	}
	e := last.Explain
	if last.Status != 429 || last.RetryAfter != 1000 || last.Limit.Name != "p/a" || len(e.Ledger) != 1 || e.Ledger[0].OK || e.Policy != "p" || e.WouldPass.UnixNano() != t0+int64(time.Second) {
		t.Errorf("explain: %+v %+v", last, e)
	}
	if data, err := json.Marshal(last); err != nil || !strings.Contains(string(data), `"retry_after":1000`) {
		t.Errorf("%s %v", data, err)
	}
	if got := l.Limit().Peek(t0, "k", 0).Remaining; got != 2 {
		t.Errorf("the live limiter has %d left: a call is dry", got)
	}
	in, _ := ParseInput(nil, t0)
	if _, err := Call(p, policy.HookTick, in, nil); err == nil {
		t.Error("a hook that it does not have")
	}
	p.err = errors.New("boom")
	if _, err := Call(p, policy.HookRequest, in, nil); err == nil {
		t.Error("a fault is an error")
	}
}

func FuzzParseInput(f *testing.F) {
	f.Add([]byte(`{"request":{"url":"https://a"},"upstreams":["x"]}`))
	f.Add([]byte(`{"now":1e15,"headers":{"a":[1,{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := ParseInput(data, t0)
		if (in == nil) == (err == nil) {
			t.Fatal("either an input or an error")
		}
	})
}
