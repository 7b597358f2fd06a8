package wasm

import (
	"errors"
	"os"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// Whatever bytes are opened, the answer is a policy that can be asked and closed, or a *policy.LoadError.
func FuzzOpen(f *testing.F) {
	f.Add(module{}.bytes()) // small seeds: what compiles is slow to minimise
	f.Add(module{bodies: map[string]string{"gaia_on": codeLoop + codeZero64, "gaia_configure": codeZero32, "_initialize": codeTrap}}.bytes())
	f.Add(module{imports: []string{"gaia_v1.hash (i32, i32) -> i64"}, start: codeLoop, custom: map[string]string{"gaia.manifest": `{"name":"x"}`}}.bytes())
	f.Add(rawModule)
	e, err := NewEngine(EngineConfig{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		p, err := e.Open(bg, Source{Name: "p", Code: code}, Config{Instances: 1, MemoryPages: 16, Fuel: 10_000})
		if err != nil {
			var le *policy.LoadError
			if !errors.As(err, &le) || le.Message == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		var d policy.Decision
		if err := p.OnRequest(request(), &d); err == nil {
			checkDecision(t, policy.HookRequest, &d)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever a guest answers, a decision that is accepted is within its bounds.
func FuzzDecodeDecision(f *testing.F) {
	f.Add(uint8(0), uint64(1)<<abi.WordIsActionShift, []byte{})
	f.Add(uint8(0), uint64(2)<<abi.WordIsActionShift|503<<abi.WordIsStatusShift|1500, []byte{})
	f.Add(uint8(1), uint64(4)<<abi.WordIsActionShift|1, []byte{})
	f.Add(uint8(2), uint64(5)<<abi.WordIsActionShift|extBit, []byte("\x0c\x00\x00\x00\x08\x00\x08\x00\x01\x02\x03\x04\x05\x06\x00\x00"))
	f.Add(uint8(0), uint64(1)<<abi.WordIsActionShift|extBit, []byte("\x0a\x00\x00\x00\x06\x00\x06\x00\x01\x00ab\x00c"))
	code, err := os.ReadFile("testdata/words.wasm")
	if err != nil {
		f.Fatal(err)
	}
	p := openCode(f, code, Config{Instances: 1})
	g := p.slots[0].guest
	f.Fuzz(func(t *testing.T, hook uint8, word uint64, area []byte) {
		copy(g.view()[abi.AnswerAt:], area)
		g.upstreams = upstreams()
		g.handles = append(g.handles[:0], admitted{word: 77, decision: policy.Decision{Action: policy.ActionAllow}})
		d := policy.Decision{}
		h := policy.Hook(hook % uint8(policy.HookTick+1))
		kind, err := g.decode(h, word, &d)
		if err != nil {
			if kind != policy.FaultBadDecision && kind != policy.FaultUpstream && kind != policy.FaultException {
				t.Fatalf("%v of kind %v", err, kind)
			}
			return
		}
		checkDecision(t, h, &d)
	})
}

func checkDecision(t *testing.T, hook policy.Hook, d *policy.Decision) {
	t.Helper()
	text := 0
	for _, h := range d.Headers {
		if h.Name == "" || len(h.Name)+len(h.Value) > policy.MaxHeaderText {
			t.Fatalf("header %q: %d bytes", h.Name, len(h.Value))
		}
		text += len(h.Name) + len(h.Value)
	}
	switch {
	case d.Action > policy.ActionRetry,
		d.Action == policy.ActionRetry && hook != policy.HookResponse,
		d.Action == policy.ActionRoute && d.Upstream == "",
		d.Status != 0 && (d.Status < policy.MinStatus || d.Status > policy.MaxStatus || d.Action != policy.ActionDeny),
		d.Delay < 0 || d.Delay > policy.MaxDelay || d.RetryAfter < 0 || d.RetryAfter > policy.MaxDelay,
		d.Timeout < 0 || d.Timeout > policy.MaxDelay,
		d.Cost < 0 || d.Cost > policy.MaxCost || d.Priority < 0 || d.Priority > policy.MaxPriority,
		len(d.Reason) > policy.MaxReason || len(d.Key) > maxKey || len(d.Upstream) > maxUpstream,
		len(d.Headers) > policy.MaxHeaders || text > abi.AnswerArea:
		t.Fatalf("%s accepted %+v", hook, d)
	}
}
