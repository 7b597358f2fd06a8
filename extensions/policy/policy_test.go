package policy

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

type goPolicy struct {
	Base
	name  string
	hooks Hooks
	fn    func(r *Request, d *Decision) error
}

func (p *goPolicy) Name() string { return p.name }
func (p *goPolicy) Hooks() Hooks {
	if p.hooks == 0 {
		return p.Base.Hooks()
	}
	return p.hooks
}
func (p *goPolicy) OnRequest(r *Request, d *Decision) error { return p.fn(r, d) }

func member(name string, fn func(r *Request, d *Decision) error) *Member {
	return NewMember(&goPolicy{name: name, fn: fn}, MemberConfig{})
}

func answer(one Decision) func(*Request, *Decision) error {
	return func(_ *Request, d *Decision) error { *d = one; return nil }
}

func TestChainMerges(t *testing.T) {
	tests := []struct {
		name string
		ones []Decision
		want Decision
	}{
		{"empty", nil, Decision{}},
		{"no opinion", []Decision{{}, {}}, Decision{}},
		{"first deny ends it", []Decision{{Action: ActionDeny, Status: 403}, {Action: ActionDeny, Status: 429}}, Decision{Action: ActionDeny, Status: 403, Policy: "a"}},
		{"deny after allow", []Decision{{Action: ActionAllow}, {Action: ActionDeny, Status: 429}}, Decision{Action: ActionDeny, Status: 429, Policy: "b"}},
		{"longest delay", []Decision{{Action: ActionDelay, Delay: 3}, {Action: ActionDelay, Delay: 9}, {Action: ActionDelay, Delay: 5}}, Decision{Action: ActionDelay, Delay: 9, Policy: "b"}},
		{"delay stays after allow", []Decision{{Action: ActionDelay, Delay: 3}, {Action: ActionAllow}}, Decision{Action: ActionDelay, Delay: 3, Policy: "a"}},
		{"first upstream", []Decision{{Action: ActionRoute, Upstream: "x"}, {Action: ActionRoute, Upstream: "y"}}, Decision{Action: ActionRoute, Upstream: "x", Policy: "a"}},
		{"shortest timeout", []Decision{{Action: ActionAllow, Timeout: 9}, {Action: ActionAllow, Timeout: 4}, {Timeout: 6}}, Decision{Action: ActionAllow, Timeout: 4, Policy: "b"}},
		{"last key and cost", []Decision{{Key: "k1", HasCost: true, Cost: 2}, {Key: "k2", HasCost: true, Cost: 3, HasPriority: true}}, Decision{Key: "k2", HasCost: true, Cost: 3, HasPriority: true}},
		{"headers by name", []Decision{{Headers: []Header{{"A", "1"}, {"B", "2"}}}, {Headers: []Header{{"a", "3"}}}}, Decision{Headers: []Header{{"a", "3"}, {"B", "2"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ms []*Member
			for i, one := range tt.ones {
				ms = append(ms, member(string(rune('a'+i)), answer(one)))
			}
			var d Decision
			NewChain(ms...).OnRequest(&Request{}, &d, &Scratch{})
			if !equalDecision(d, tt.want) {
				t.Errorf("got  %+v\nwant %+v", d, tt.want)
			}
		})
	}
}

func equalDecision(a, b Decision) bool {
	if len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i] != b.Headers[i] {
			return false
		}
	}
	a.Headers, b.Headers = nil, nil
	return a.Action == b.Action && a.Status == b.Status && a.Delay == b.Delay && a.Upstream == b.Upstream && a.Timeout == b.Timeout &&
		a.Key == b.Key && a.Cost == b.Cost && a.HasCost == b.HasCost && a.HasPriority == b.HasPriority && a.Policy == b.Policy
}

func TestChainShowsChangesToLaterMembers(t *testing.T) {
	var seen Request
	c := NewChain(
		member("a", answer(Decision{Key: "k", HasCost: true, Cost: 7, HasPriority: true, Priority: 0})),
		member("b", func(r *Request, _ *Decision) error { seen = *r; return nil }))
	c.OnRequest(&Request{Key: "old", Cost: 1, Priority: 5}, &Decision{}, &Scratch{})
	if seen.Key != "k" || seen.Cost != 7 || seen.Priority != 0 {
		t.Errorf("the second member saw key %q, cost %d, priority %d", seen.Key, seen.Cost, seen.Priority)
	}
}

func TestMatch(t *testing.T) {
	req := &Request{Subsystem: "api", Host: "api.example.com", Path: "/v1/users/7", Method: "GET", Tenant: "gold"}
	tests := []struct {
		name string
		in   any
		want bool
	}{
		{"nothing said", nil, true},
		{"subsystem", map[string]any{"subsystem": "api"}, true},
		{"other subsystem", map[string]any{"subsystem": "files"}, false},
		{"star", map[string]any{"subsystem": "*"}, true},
		{"host folded", map[string]any{"host": "API.Example.com"}, true},
		{"host suffix", map[string]any{"host": "*.example.com"}, true},
		{"host suffix not met", map[string]any{"host": "*.example.org"}, false},
		{"prefix and suffix do not overlap", map[string]any{"host": "api.example.com*example.com"}, false},
		{"middle", map[string]any{"path": "/v1/*/7"}, true},
		{"several stars", map[string]any{"path": "*v1*ers*"}, true},
		{"method list", map[string]any{"method": []any{"post", "get"}}, true},
		{"all must hold", map[string]any{"method": "GET", "tenant": "iron"}, false},
		{"any of the objects", []any{map[string]any{"tenant": "iron"}, map[string]any{"path": "/v1/*"}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMatch(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Matches(req); got != tt.want {
				t.Errorf("Matches = %v, want %v", got, tt.want)
			}
		})
	}
	for _, bad := range []any{"api", []any{}, map[string]any{"hots": "x"}, map[string]any{"host": 7}, map[string]any{"subsystem": "http"}, []any{"x"}, map[string]any{"host": []any{}}} {
		if _, err := ParseMatch(bad); err == nil {
			t.Errorf("ParseMatch(%v): no error", bad)
		}
	}
}

func TestParseOptionsNamesEveryFault(t *testing.T) {
	_, err := ParseOptions(map[string]any{"match": map[string]any{"hots": "x"}, "isolation": "shared", "budget": "fast", "onFailure": 3, "bugdet": 5})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"options.match.hots", "options.isolation", "options.budget", "options.onFailure", "options.bugdet"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	o, err := ParseOptions(map[string]any{"budget": 5.0, "on_failure": "closed", "isolation": "key", "body": []any{"model"}, "routes": map[string]any{"a": map[string]any{"url": "https://x"}}})
	if err != nil || o.Budget != 5*time.Millisecond || o.OnFailure != FailClosed || o.Routes["a"] != "https://x" {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestFaultsAreAnsweredByOnFailure(t *testing.T) {
	boom := errors.New("boom")
	fails := &goPolicy{name: "p", fn: func(_ *Request, d *Decision) error { d.Action = ActionAllow; d.Key = "half"; return boom }}
	panics := &goPolicy{name: "p", fn: func(*Request, *Decision) error { panic("bug") }}
	earlier := &goPolicy{name: "p", fn: answer(Decision{Action: ActionDeny, Status: 418})}
	tests := []struct {
		name   string
		p      Policy
		c      MemberConfig
		action Action
		status int
		kind   FaultKind
	}{
		{"open", fails, MemberConfig{}, ActionNone, 0, FaultException},
		{"closed", fails, MemberConfig{OnFailure: FailClosed}, ActionDeny, 503, FaultException},
		{"previous", fails, MemberConfig{OnFailure: FailPrevious, Previous: earlier}, ActionDeny, 418, FaultException},
		{"no previous", fails, MemberConfig{OnFailure: FailPrevious}, ActionNone, 0, FaultException},
		{"panic", panics, MemberConfig{OnFailure: FailClosed}, ActionDeny, 503, FaultPanic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told *Fault
			tt.c.OnFault = func(f *Fault) { told = f }
			m := NewMember(tt.p, tt.c)
			var d Decision
			NewChain(m).OnRequest(&Request{Now: 1}, &d, &Scratch{})
			if d.Action != tt.action || d.Status != tt.status || d.Key != "" {
				t.Errorf("got %+v", d)
			}
			if told == nil || told.Kind != tt.kind || m.Faults(tt.kind) != 1 || m.AllFaults() != 1 {
				t.Errorf("told %v, counted %d", told, m.AllFaults())
			}
		})
	}
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	broken, asked := true, 0
	m := member("p", func(*Request, *Decision) error {
		asked++
		if broken {
			return errors.New("boom")
		}
		return nil
	})
	c := NewChain(m)
	ask := func(now int64) { c.OnRequest(&Request{Now: now}, &Decision{}, &Scratch{}) }
	now := int64(time.Hour)
	for range breakerFaults + 5 {
		ask(now)
	}
	if asked != breakerFaults || !m.BreakerOpen(now) {
		t.Fatalf("asked %d times, open %v", asked, m.BreakerOpen(now))
	}
	now += breakerOpen
	ask(now)
	ask(now)
	if asked != breakerFaults+1 {
		t.Fatalf("after the pause it was asked %d times, want one probe", asked-breakerFaults)
	}
	broken = false
	now += breakerOpen
	ask(now)
	ask(now)
	if asked != breakerFaults+3 || m.BreakerOpen(now) {
		t.Errorf("a good probe must close it: asked %d", asked-breakerFaults)
	}
}

// Good calls before the window of the faults are no reason to bear them.
func TestBreakerLooksAtItsWindowOnly(t *testing.T) {
	broken, asked := false, 0
	m := member("p", func(*Request, *Decision) error {
		asked++
		if broken {
			return errors.New("boom")
		}
		return nil
	})
	c := NewChain(m)
	ask := func(now int64) { c.OnRequest(&Request{Now: now}, &Decision{}, &Scratch{}) }
	now := int64(time.Hour)
	for range 1000 {
		ask(now)
	}
	broken = true
	for range breakerFaults + 5 {
		ask(now + breakerWindow + 1)
	}
	if asked != 1000+breakerFaults {
		t.Errorf("asked %d times after a thousand good calls, want %d", asked-1000, breakerFaults)
	}
}

func TestBreakerStaysClosedWhenMostCallsAreGood(t *testing.T) {
	n := 0
	m := member("p", func(*Request, *Decision) error {
		if n++; n%3 == 0 {
			return errors.New("boom")
		}
		return nil
	})
	c := NewChain(m)
	for range 300 {
		c.OnRequest(&Request{Now: int64(time.Hour)}, &Decision{}, &Scratch{})
	}
	if m.BreakerOpen(int64(time.Hour)) || n != 300 {
		t.Errorf("asked %d of 300", n)
	}
}

func TestSlotHammer(t *testing.T) {
	var s Slot
	closed := make([]bool, 200)
	make1 := func(i int) *Generation {
		return NewGeneration(uint64(i), NewChain(member("p", func(_ *Request, d *Decision) error {
			if closed[i] {
				t.Errorf("generation %d was asked after it was closed", i)
			}
			d.Action = ActionAllow
			return nil
		})))
	}
	s.Swap(make1(0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var last uint64
			var sc Scratch
			for {
				select {
				case <-stop:
					return
				default:
				}
				var d Decision
				n := s.Decide(&Request{}, &d, &sc)
				if n < last || d.Action != ActionAllow {
					t.Errorf("generation %d after %d, %v", n, last, d.Action)
					return
				}
				last = n
			}
		})
	}
	for i := 1; i < len(closed); i++ {
		old := s.Swap(make1(i))
		<-old.Retire()
		closed[i-1] = true
	}
	close(stop)
	wg.Wait()
}

func TestDecideAllocatesNothing(t *testing.T) {
	empty, two := &Slot{}, &Slot{}
	empty.Swap(NewGeneration(1, NewChain()))
	m, _ := ParseMatch(map[string]any{"subsystem": "api", "host": "*.example.com"})
	two.Swap(NewGeneration(1, NewChain(
		NewMember(&goPolicy{name: "a", fn: answer(Decision{Action: ActionAllow, Key: "k"})}, MemberConfig{Match: m}),
		NewMember(&goPolicy{name: "b", fn: answer(Decision{Action: ActionDeny})}, MemberConfig{}))))
	for name, s := range map[string]*Slot{"empty": empty, "two": two, "zero": {}} {
		r := &Request{Subsystem: "api", Host: "a.example.com"}
		d, sc := &Decision{}, &Scratch{}
		if n := testing.AllocsPerRun(100, func() { d.Reset(); s.Decide(r, d, sc) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	var s Slot
	m, _ := ParseMatch(map[string]any{"subsystem": "api"})
	s.Swap(NewGeneration(1, NewChain(NewMember(&goPolicy{name: "a", fn: answer(Decision{Action: ActionAllow})}, MemberConfig{Match: m}))))
	r, d, sc := &Request{Subsystem: "api"}, &Decision{}, &Scratch{}
	b.ReportAllocs()
	for b.Loop() {
		d.Reset()
		s.Decide(r, d, sc)
	}
}
