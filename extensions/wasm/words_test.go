package wasm

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// Every word of the policy language is bound, and every function that is bound is described.
func TestEveryWordIsBound(t *testing.T) {
	bound := hostFuncs()
	for _, w := range natives.Table() {
		for _, name := range w.Wasm {
			if action, ok := strings.CutPrefix(name, "decision:"); ok {
				if _, known := policy.ParseAction(action); !known {
					t.Errorf("%s: no action %q", w.JS, action)
				}
			} else if bound[name] == nil {
				t.Errorf("%s: the import %s is not bound", w.JS, name)
			}
		}
	}
	var described []string
	for _, f := range abi.Funcs() {
		described = append(described, f.Name)
	}
	slices.Sort(described)
	if have := slices.Sorted(maps.Keys(bound)); !slices.Equal(have, described) {
		t.Errorf("bound %v\ndescribed %v", have, described)
	}
	for name, def := range gaiaDefs() {
		if def.fn == nil || def.signature == "" {
			t.Errorf("%s has no function or signature", name)
		}
	}
}

// ask calls the request hook of words.wasm.
func ask(t *testing.T, p *Policy, path, arg string) (policy.Decision, error) {
	t.Helper()
	req := request()
	req.Path, req.Header, req.Body = path, headers{"arg": arg, "accept": "text/plain"}, headers{"model": "gpt"}
	var d policy.Decision
	err := p.OnRequest(req, &d)
	return d, err
}

func wordsScope(log *slog.Logger, sources ...metrics.Source) (*natives.Host, *natives.Scope) {
	h := natives.NewHost(natives.HostConfig{Log: log, Sources: sources})
	return h, h.Begin(second).Scope(natives.ScopeConfig{Policy: "words",
		Grants: natives.Grants{Env: []string{"REGION"}}, Params: map[string]any{"rpm": 500, "tiers": []any{"a", "b"}},
		Getenv: func(name string) (string, bool) { return "eu", name == "REGION" || name == "SECRET" }})
}

// wordStep is one call of a hook, and what it answers.
type wordStep struct {
	path, arg string
	want      policy.Decision
}

// wordSteps go through every word in turn: each finds what those before it left.
func wordSteps() []wordStep {
	allow := func(cost int64) policy.Decision {
		return policy.Decision{Action: policy.ActionAllow, Cost: cost, HasCost: true}
	}
	text := func(s string) policy.Decision {
		d := allow(int64(len(s)))
		d.Reason = s
		return d
	}
	missing := func(code int64) policy.Decision { return allow(1000 - code) }
	return []wordStep{
		{"/peek", "", allow(302)},
		{"/take", "", allow(1)},
		{"/peek", "", allow(301)},
		{"/settle/nothing", "", allow(0)},
		{"/take/slots", "", allow(1)},
		{"/take/slots", "", allow(1)},
		{"/take/slots", "", allow(0)},
		{"/set", `{"rate": 5}`, allow(0)},
		{"/open", "", allow(-abi.ErrorIsPhase)},
		{"/kinds", "", allow(11111110)},
		{"/kinds", "", allow(11111110)},
		{"/kinds", "", allow(10)}, // all are used up but the throttle
		{"/both", "", allow(908)},
		{"/state/get", "k", allow(0)},
		{"/state/absent", "k", allow(1)},
		{"/state/absent", "k", allow(0)},
		{"/state/get", "k", allow(107)},
		{"/state/set", "k", allow(1)},
		{"/state/cas", "k", allow(1)},
		{"/state/cas", "k", allow(0)},
		{"/state/incr", "k", allow(45)},
		{"/state/delete", "k", allow(1)},
		{"/state/delete", "k", allow(0)},
		{"/state/text", "t", allow(0)},
		{"/state/get", "t", text("hello")},
		{"/state/incr", "t", allow(999)},
		{"/state/bad", "t", missing(abi.ErrorIsKind)},
		{"/state/get", "shared/x", missing(abi.ErrorIsGrant)},
		{"/counter", "", policy.Decision{Action: policy.ActionAllow}},
		{"/gauge", "", policy.Decision{Action: policy.ActionAllow}},
		{"/metric/bad", "", missing(abi.ErrorIsArgument)},
		{"/metrics", "requests_total", allow(999)},
		{"/hash", "abc", allow(int64(natives.Hash("abc") & 0xffffffff))},
		{"/keyhash", "", allow(int64(natives.Hash("api.example.com") & 0xffffffff))},
		{"/pick", "user-7", allow(int64(natives.Pick("user-7", 3, func(i int) string { return []string{"one", "two", "three"}[i] })))},
		{"/param", "rpm", text("500")},
		{"/param", "tiers", text(`["a","b"]`)},
		{"/param", "nope", missing(abi.ErrorIsAbsent)},
		{"/env", "REGION", text("eu")},
		{"/env", "SECRET", missing(abi.ErrorIsAbsent)},
		{"/header", "accept", text("text/plain")},
		{"/header", "x-none", missing(abi.ErrorIsAbsent)},
		{"/body", "model", text("gpt")},
		{"/text", "", text("https://api.example.com/v1/users/12345/orders?page=3")},
		{"/log", "", policy.Decision{Action: policy.ActionAllow}},
		{"/deny", "", policy.Decision{Action: policy.ActionDeny, Status: 503, RetryAfter: 1500 * time.Millisecond, Reason: "too large"}},
		{"/delay", "", policy.Decision{Action: policy.ActionDelay, Delay: 20 * time.Millisecond}},
		{"/route", "b", policy.Decision{Action: policy.ActionRoute, Upstream: "b"}},
		{"/nothing", "", policy.Decision{}},
		{"/all", "b", policy.Decision{Action: policy.ActionRoute, Upstream: "b", Key: "other-key", Timeout: 2500 * time.Millisecond,
			Priority: 8, HasPriority: true, Cost: 12, HasCost: true, Reason: "because", Headers: []policy.Header{{Name: "x-a", Value: "1"}, {Name: "x-b"}}}},
	}
}

func TestWords(t *testing.T) {
	var logged bytes.Buffer
	h, scope := wordsScope(slog.New(slog.NewTextHandler(&logged, nil)))
	p := open(t, "words.wasm", Config{Scope: scope})
	for _, s := range wordSteps() {
		d, err := ask(t, p, s.path, s.arg)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
		}
		if !sameDecision(d, s.want) {
			t.Errorf("%s %s:\nhave %+v\nwant %+v", s.path, s.arg, d, s.want)
		}
	}
	if !strings.Contains(logged.String(), "level=WARN msg=\"written by the guest\" policy=words") {
		t.Errorf("logged %q", logged.String())
	}
	values := map[string]float64{}
	h.Metrics().Range(func(pol, name string, _ metrics.FieldKind, v float64) { values[pol+"."+name] = v })
	if values["words.seen_total"] != 2.5 || values["words.level"] != 7 {
		t.Errorf("the policy's own numbers are %v", values)
	}
}

func sameDecision(a, b policy.Decision) bool {
	same := slices.Equal(a.Headers, b.Headers)
	a.Headers, b.Headers = nil, nil
	return same && a.Action == b.Action && a.Status == b.Status && a.RetryAfter == b.RetryAfter && a.Delay == b.Delay &&
		a.Reason == b.Reason && a.Key == b.Key && a.Upstream == b.Upstream && a.Timeout == b.Timeout && a.Cost == b.Cost &&
		a.HasCost == b.HasCost && a.Priority == b.Priority && a.HasPriority == b.HasPriority && a.Limit == b.Limit
}

// ledger records what natives take.
type ledger struct{ entries []policy.Entry }

func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }
func (l *ledger) Settle(_ int64, limiter, key string, actual int64) bool {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if e := &l.entries[i]; e.Limiter == limiter && e.Key == key {
			e.Cost = actual
			return true
		}
	}
	return false
}

// What limiter_admit answers is returned as it is and means exactly what the limiter said.
func TestAdmit(t *testing.T) {
	_, scope := wordsScope(nil)
	p := open(t, "words.wasm", Config{Scope: scope, Instances: 1})
	full := policy.LimitInfo{Name: "words/bucket", Key: "api.example.com", Limit: 3}
	step := func(path, arg string, want policy.Decision) {
		t.Helper()
		d, err := ask(t, p, path, arg)
		if err != nil || !sameDecision(d, want) {
			t.Errorf("%s: %v\nhave %+v\nwant %+v", path, err, d, want)
		}
	}
	limitOf := func(remaining int64, reset time.Duration) policy.LimitInfo {
		l := full
		l.Remaining, l.Reset = remaining, reset
		return l
	}
	step("/admit", "", policy.Decision{Action: policy.ActionAllow, Limit: limitOf(2, time.Second)})
	step("/admit/more", "", policy.Decision{Action: policy.ActionAllow, Timeout: 250 * time.Millisecond, Priority: 9, HasPriority: true, Limit: limitOf(1, 2*time.Second)})
	step("/admit", "", policy.Decision{Action: policy.ActionAllow, Limit: limitOf(0, 3*time.Second)})
	step("/admit", "", policy.Decision{Action: policy.ActionDelay, Delay: time.Second, Limit: limitOf(0, 4*time.Second)})
	if d, err := ask(t, p, "/admit", ""); err != nil || d.Action != policy.ActionDeny || d.RetryAfter <= 0 || d.Limit != limitOf(0, 4*time.Second) {
		t.Errorf("the fifth: %v %+v", err, d)
	}
	step("/admit/nowait", "", policy.Decision{Action: policy.ActionDeny, Reason: "the cost is more than the limiter can ever give", Limit: limitOf(0, 4*time.Second)})
	other := limitOf(1, 2*time.Second)
	other.Key = "user-1"
	step("/admit/key", "user-1", policy.Decision{Action: policy.ActionAllow, Limit: other})
	other.Remaining, other.Reset = 0, 3*time.Second
	step("/admit/two", "user-1", policy.Decision{Action: policy.ActionAllow, Limit: other})
	if d, err := ask(t, p, "/admit/unknown", ""); !isFault(err, policy.FaultException) || !strings.Contains(err.Error(), "no such identifier") {
		t.Errorf("an unknown limiter: %v %+v", err, d)
	}
	req, l := request(), &ledger{}
	req.Path, req.Ledger, req.Key = "/settle", l, "settled"
	var d policy.Decision
	if err := p.OnRequest(req, &d); err != nil || d.Cost != 1 || len(l.entries) != 1 || l.entries[0].Cost != 3 {
		t.Errorf("settle: %v, answered %d, ledger %+v", err, d.Cost, l.entries)
	}
	step("/pause", "", policy.Decision{Action: policy.ActionDeny, RetryAfter: time.Minute, Limit: d0(t, p)})
}

// d0 is the level of the paused limiter, which is the limiter's own business.
func d0(t *testing.T, p *Policy) policy.LimitInfo {
	t.Helper()
	d, err := ask(t, p, "/pause", "")
	if err != nil {
		t.Fatal(err)
	}
	return d.Limit
}

func isFault(err error, kind policy.FaultKind) bool {
	var f *policy.Fault
	return errors.As(err, &f) && f.Kind == kind
}

func TestOtherHooks(t *testing.T) {
	h, scope := wordsScope(nil)
	p := open(t, "words.wasm", Config{Scope: scope})
	if p.Hooks().Names(); len(p.Hooks().Names()) != 5 {
		t.Errorf("hooks %v", p.Hooks().Names())
	}
	req, d := request(), policy.Decision{}
	for _, cost := range []int64{1, 2} { // by index, by name
		req.Cost = cost
		d.Reset()
		if err := p.OnRoute(req, upstreams(), &d); err != nil || d.Upstream != "b" {
			t.Errorf("route: %v %+v", err, d)
		}
	}
	d.Reset()
	if err := p.OnRoute(req, nil, &d); err != nil || d.Upstream != "" {
		t.Errorf("route of nothing: %v %+v", err, d)
	}
	res := &policy.Response{Status: 503, RetryAfter: 3 * time.Second, Bytes: -1, Upstream: "a", Sent: second,
		Header: headers{"server": "nginx/1", "Retry-After": "30"}, Body: headers{"model": "abc"}}
	for path, want := range map[string]policy.Decision{
		"/retry":    {Action: policy.ActionRetry, Delay: 3 * time.Second},
		"/response": {}, "/learn": {}, "/nothing": {},
	} {
		req.Path = path
		d.Reset()
		if err := p.OnResponse(req, res, &d); err != nil || !sameDecision(d, want) {
			t.Errorf("%s: %v %+v", path, err, d)
		}
	}
	req.Path = "/deny"
	if err := p.OnResponse(req, res, &d); !isFault(err, policy.FaultBadDecision) {
		t.Errorf("a denial of an answer: %v", err)
	}
	res.Bytes = 40
	if err := p.OnDone(req, res); err != nil {
		t.Error(err)
	}
	v, err := h.Metrics().Counter("words", "seen_total")
	if err != nil || v.Load() != 40 {
		t.Errorf("done counted %v, %v", v, err)
	}
}

// Every guest is told of a tick, and the host's numbers reach all hooks in both ways.
func TestTick(t *testing.T) {
	src := &source{schema: metrics.NewSchema("api", metrics.Field{Name: "a"}, metrics.Field{Name: "requests_total"}), values: []float64{1, 0}}
	_, scope := wordsScope(nil, src)
	p := open(t, "words.wasm", Config{Scope: scope, Instances: 3})
	tick := func(version uint64, value float64) {
		src.values[1] = value
		var b bytebufferpool.ByteBuffer
		metrics.AppendBlock(&b, version, src)
		if err := p.OnTick(&policy.Tick{Now: second, Block: b.B}); err != nil {
			t.Fatal(err)
		}
		clear(b.B) // it is the host's again
	}
	expect := func(path string, want int64) {
		t.Helper()
		for range 20 { // whichever guest answers
			if d, err := ask(t, p, path, "requests_total"); err != nil || d.Cost != want {
				t.Fatalf("%s: %v, %d; want %d", path, err, d.Cost, want)
			}
		}
	}
	expect("/block", 999)
	tick(1, 17)
	expect("/block", 17)
	expect("/metrics", 17)
	tick(1, 18) // the same version: what the block holds is known
	expect("/block", 17)
	tick(2, 18)
	expect("/block", 18)
	expect("/metrics", 18)
	expect("/ticks", 3)
}

type source struct {
	schema *metrics.Schema
	values []float64
}

func (s *source) Schema() *metrics.Schema      { return s.schema }
func (s *source) Read(dst []float64) []float64 { return append(dst[:0], s.values...) }

// A dry call changes nothing that the next live one sees.
func TestDry(t *testing.T) {
	_, scope := wordsScope(nil)
	p := open(t, "words.wasm", Config{Scope: scope})
	req, d := request(), policy.Decision{}
	req.Path, req.Dry = "/take", natives.NewOverlay()
	for range 5 {
		d.Reset()
		if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
	}
	if d.Cost != 0 {
		t.Errorf("the overlay has room for 5 takes of 3")
	}
	if live, err := ask(t, p, "/peek", ""); err != nil || live.Cost != 302 {
		t.Errorf("the live bucket would be at %d (%v), want 302", live.Cost, err)
	}
}

func TestParamsOfALine(t *testing.T) {
	want := limit.Params{Max: 2, MaxQueue: 5, MaxWait: 2 * time.Second, Order: "priority"}
	for _, text := range []string{`{"max": 2, "maxQueue": 5, "maxWait": "2s", "order": "priority"}`, `{"max": 2, "max_queue": 5, "max_wait": 2000, "order": "priority"}`} {
		if p, err := parseParams(limit.Concurrency, text); err != nil || p != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{`{"max": 1, "order": 3}`, `{"max": 1, "maxQueue": 0.5}`} {
		if _, err := parseParams(limit.Concurrency, text); err == nil {
			t.Errorf("%s is no fault", text)
		}
	}
}
