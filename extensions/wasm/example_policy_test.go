package wasm

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/internal/testkit"
)

// The example paces hosts as its README says: 20 at once, then one each 100 ms for at most 2 s of waiting, then denials; and it
// holds back when an upstream says so.
func TestExample(t *testing.T) {
	h := natives.NewHost(natives.HostConfig{})
	p, err := newEngine(t).Open(bg, Source{Path: "../../examples/wasm-c/policy.wasm"}, Config{Scope: h.Begin(second).Scope(natives.ScopeConfig{Policy: "per-host"})})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Name() != "per-host" || p.Hooks() != policy.HooksOf(policy.HookRequest, policy.HookResponse) {
		t.Errorf("%s has %v", p.Name(), p.Hooks().Names())
	}
	match, err := policy.ParseMatch(p.Options().Match)
	if err != nil || !match.Matches(request()) || match.Matches(&policy.Request{Subsystem: policy.SubsystemFiles}) {
		t.Errorf("matches something else: %v %v", p.Options().Match, err)
	}
	ask := func(key string, now int64) policy.Decision {
		req, d := request(), policy.Decision{}
		req.Key, req.Now = key, now
		if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for i := range 45 {
		d := ask("a.example.com", second)
		switch {
		case i < 20 && d.Action != policy.ActionAllow,
			i >= 20 && i < 40 && (d.Action != policy.ActionDelay || d.Delay != time.Duration(i-19)*100*time.Millisecond),
			i >= 40 && (d.Action != policy.ActionDeny || d.RetryAfter <= 0):
			t.Errorf("request %d: %+v", i+1, d)
		}
		if d.Limit.Name != "per-host/per-host" || d.Limit.Limit != 20 {
			t.Errorf("request %d: decided by %+v", i+1, d.Limit)
		}
	}
	if d := ask("b.example.com", second); d.Action != policy.ActionAllow {
		t.Errorf("another host: %+v", d)
	}
	req, d := request(), policy.Decision{}
	req.Key = "b.example.com"
	res := &policy.Response{Status: 429, Sent: second, Header: headers{"Retry-After": "30", "retry-after": "30"}}
	if err := p.OnResponse(req, res, &d); err != nil || !d.IsZero() {
		t.Errorf("%v %+v", err, d)
	}
	if d := ask("b.example.com", second+1); d.Action != policy.ActionDeny || d.RetryAfter < 25*time.Second {
		t.Errorf("after a 429 with Retry-After: %+v", d)
	}
	if d := ask("b.example.com", second+int64(time.Minute)); d.Action != policy.ActionAllow {
		t.Errorf("a minute later: %+v", d)
	}
}

// The example is built by the command that its README names, and what comes out is a policy.
func TestExampleBuilds(t *testing.T) {
	testkit.Program(t, "clang")
	file := filepath.Join(t.TempDir(), "policy.wasm")
	if out, err := exec.Command("make", "-C", "../../examples/wasm-c", "OUT="+file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, err := newEngine(t).Open(bg, Source{Path: file}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil || p.Name() != "per-host" {
		t.Errorf("%v, %s", err, p.Name())
	}
}
