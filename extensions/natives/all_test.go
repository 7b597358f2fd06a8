package natives

import (
	"errors"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestAllOrNone(t *testing.T) {
	h := NewHost(HostConfig{})
	tx := h.Begin(t0)
	scope := tx.Scope(ScopeConfig{Policy: "p"})
	call := scope.NewCall()
	rpm, err := call.Limiter(limit.TokenBucket, "rpm", limit.Params{Rate: 3, Per: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	tpm, err := call.Limiter(limit.Calendar, "tpm", limit.Params{Max: 100, Unit: "tokens"})
	if err != nil {
		t.Fatal(err)
	}
	both, err := call.All([]*Limiter{rpm, tpm})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]*Limiter{nil, {nil}, {both}, make([]*Limiter, maxParts+1)} {
		if _, err := call.All(bad); !errors.Is(err, ErrParts) {
			t.Errorf("%d parts: %v", len(bad), err)
		}
	}
	call.Loaded()
	publish(t, tx)
	book := &ledger{}
	call.Begin(&policy.Request{Key: "k", Cost: 1, Now: t0, Ledger: book}, nil)
	defer call.End()
	var d policy.Decision
	for _, want := range []policy.Action{policy.ActionAllow, policy.ActionAllow, policy.ActionDeny, policy.ActionDeny} {
		if err := call.Admit(both, Arg{Costs: []int64{1, 40}}, &d); err != nil || d.Action != want {
			t.Errorf("%v %+v, want %v", err, d, want)
		}
	}
	if d.Limit.Name != "p/tpm" || remaining(rpm, "k") != 1 || remaining(tpm, "k") != 20 {
		t.Errorf("%+v; %d requests and %d tokens left", d.Limit, remaining(rpm, "k"), remaining(tpm, "k"))
	}
	taken := 0
	for _, e := range book.entries {
		if e.OK {
			taken++
		}
	}
	if taken != 4 || len(book.entries) != 6 {
		t.Errorf("%d taken of %d entries", taken, len(book.entries))
	}
	if err := call.Settle(both, Arg{Costs: []int64{1, 60}, HasCost: true}); err != nil {
		t.Error(err)
	}
	for _, err := range []error{call.Admit(both, Arg{Costs: []int64{1}}, &d), call.Admit(rpm, Arg{Costs: []int64{1}}, &d)} {
		if !errors.Is(err, ErrCosts) {
			t.Errorf("costs that do not fit: %v", err)
		}
	}
	if err := call.Set(both, limit.Params{Rate: 1}); !errors.Is(err, ErrParts) {
		t.Errorf("set: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() {
		book.entries = book.entries[:0]
		_ = call.Admit(both, Arg{}, &d)
		_, _ = call.Peek(both, Arg{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What a calendar quota counted comes back after a restart, before its first take.
func TestCalendarOutlivesARestart(t *testing.T) {
	p := limit.Params{Max: 3, Every: "month"}
	one := NewHost(HostConfig{})
	tx := one.Begin(t0)
	l := declare(t, tx, "p", "month", limit.Calendar, p)
	publish(t, tx)
	for range 3 {
		l.Limit().Take(t0, "k", 1, 0)
	}
	two := NewHost(HostConfig{})
	two.Import(t0+1, one.Export(t0+1))
	tx = two.Begin(t0 + 1)
	again := declare(t, tx, "p", "month", limit.Calendar, p)
	publish(t, tx)
	if r := again.Limit().Take(t0+2, "k", 1, 0); r.OK {
		t.Errorf("a restart gave the month's quota back: %+v", r)
	}
}
