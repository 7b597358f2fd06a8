package natives

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
)

const t0 = int64(1_800_000_000) * int64(time.Second)

var ten = limit.Params{Rate: 10, Burst: 10}

// ledger keeps what was added.
type ledger struct{ entries []policy.Entry }

func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }
func (l *ledger) Settle(now int64, name, key string, actual int64) bool {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if e := &l.entries[i]; e.OK && e.Limiter == name && e.Key == key {
			e.From.Settle(now, key, e.Cost, actual, e.Taken)
			e.Cost = actual
			return true
		}
	}
	return false
}

func declare(t *testing.T, tx *Tx, pol, name string, kind limit.Kind, p limit.Params) *Limiter {
	t.Helper()
	l, err := tx.Scope(ScopeConfig{Policy: pol, Local: true}).Limiter(kind, name, p)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func publish(t *testing.T, tx *Tx) {
	t.Helper()
	tx.Commit()
	if err := tx.Apply(); err != nil {
		t.Fatal(err)
	}
}

func remaining(l *Limiter, key string) int64 { return l.Limit().Peek(t0, key, 0).Remaining }

func TestLimiterSurvivesASwap(t *testing.T) {
	h := NewHost(HostConfig{})
	one := h.Begin(t0)
	l1 := declare(t, one, "p", "a", limit.TokenBucket, ten)
	publish(t, one)
	l1.Limit().Take(t0, "k", 4, 0)

	two := h.Begin(t0)
	l2 := declare(t, two, "p", "a", limit.TokenBucket, limit.Params{Rate: 20, Burst: 20})
	if l2.Limit() != l1.Limit() {
		t.Fatal("the second generation has another limiter")
	}
	two.Commit()
	if got := l1.Limit().Params().Rate; got != 10 {
		t.Errorf("rate %v before Apply: the old set must not see new parameters", got)
	}
	if err := two.Apply(); err != nil {
		t.Fatal(err)
	}
	if got := l1.Limit().Params().Rate; got != 20 {
		t.Errorf("rate %v after Apply", got)
	}
	if got := remaining(l2, "k"); got == 20 {
		t.Error("the counts were lost")
	}

	// Going back applies the earlier declarations again.
	publish(t, one)
	if got := l1.Limit().Params().Rate; got != 10 {
		t.Errorf("rate %v after going back", got)
	}
}

func TestRunTimeSetSurvivesUnlessTheDeclarationChanged(t *testing.T) {
	h := NewHost(HostConfig{})
	one := h.Begin(t0)
	l := declare(t, one, "p", "a", limit.TokenBucket, ten)
	publish(t, one)
	c := one.Scope(ScopeConfig{Policy: "p"}).NewCall()
	if err := c.Set(l, limit.Params{Rate: 3}); err != nil {
		t.Fatal(err)
	}
	two := h.Begin(t0)
	declare(t, two, "p", "a", limit.TokenBucket, ten)
	publish(t, two)
	if got := l.Limit().Params().Rate; got != 3 {
		t.Errorf("rate %v: the same declaration must keep what was set", got)
	}
	three := h.Begin(t0)
	declare(t, three, "p", "a", limit.TokenBucket, limit.Params{Rate: 7, Burst: 10})
	publish(t, three)
	if got := l.Limit().Params().Rate; got != 7 {
		t.Errorf("rate %v: a new declaration must win", got)
	}
}

func TestDroppedTransactionLeavesNoTrace(t *testing.T) {
	h := NewHost(HostConfig{})
	one := h.Begin(t0)
	l := declare(t, one, "p", "a", limit.TokenBucket, ten)
	publish(t, one)
	bad := h.Begin(t0)
	declare(t, bad, "p", "a", limit.TokenBucket, limit.Params{Rate: 1, Burst: 1})
	declare(t, bad, "p", "new", limit.Concurrency, limit.Params{Max: 1})
	if n := len(h.Limiters()); n != 1 {
		t.Errorf("%d limiters in force", n)
	}
	if got := l.Limit().Params().Rate; got != 10 {
		t.Errorf("rate %v", got)
	}
}

func TestAnotherAlgorithmIsANewLimiter(t *testing.T) {
	var log bytes.Buffer
	h := NewHost(HostConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
	one := h.Begin(t0)
	l1 := declare(t, one, "p", "a", limit.TokenBucket, ten)
	publish(t, one)
	two := h.Begin(t0)
	l2 := declare(t, two, "p", "a", limit.Concurrency, limit.Params{Max: 1})
	publish(t, two)
	if l1.Limit() == l2.Limit() || !strings.Contains(log.String(), "starts anew") {
		t.Errorf("same limiter, or not logged: %q", log.String())
	}
}

func TestNames(t *testing.T) {
	h := NewHost(HostConfig{})
	tx := h.Begin(t0)
	a := declare(t, tx, "a", "x", limit.TokenBucket, ten)
	b := declare(t, tx, "b", "x", limit.TokenBucket, ten)
	if a.Limit() == b.Limit() {
		t.Error("names are not scoped to the policy")
	}
	sa := declare(t, tx, "a", "shared/x", limit.TokenBucket, ten)
	if sb := declare(t, tx, "b", "shared/x", limit.TokenBucket, ten); sa != sb {
		t.Error("a shared name is not common")
	}
	remote := tx.Scope(ScopeConfig{Policy: "r"})
	if _, err := remote.Limiter(limit.TokenBucket, "shared/x", ten); !errors.Is(err, ErrGrant) {
		t.Errorf("a module that is not local got a shared limiter: %v", err)
	}
	if _, _, err := remote.storeFor("shared/k"); !errors.Is(err, ErrGrant) {
		t.Errorf("a module that is not local got shared state: %v", err)
	}
	granted := tx.Scope(ScopeConfig{Policy: "g", Grants: Grants{SharedState: true, SharedLimiters: true}})
	if _, err := granted.Limiter(limit.TokenBucket, "shared/x", ten); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "a b", "a/b", "shared/", strings.Repeat("x", 65)} {
		if _, err := granted.Limiter(limit.TokenBucket, bad, ten); !errors.Is(err, ErrBadName) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	if _, err := granted.Limiter(limit.TokenBucket, "shared/x", limit.Params{Rate: 11}); !errors.Is(err, ErrConflict) {
		t.Errorf("declared twice: %v", err)
	}
	if _, err := granted.Limiter(limit.TokenBucket, "y", limit.Params{Rate: -1}); err == nil {
		t.Error("a negative rate was taken")
	}
}

func TestEnvIsGranted(t *testing.T) {
	env := func(name string) (string, bool) { return "v-" + name, name != "UNSET" }
	s := NewHost(HostConfig{}).Begin(t0).Scope(ScopeConfig{Policy: "p", Getenv: env, Grants: Grants{Env: []string{"B", "A", "UNSET"}}})
	if _, ok := s.Env("HOME"); ok {
		t.Error("an environment variable was read without a grant")
	}
	if v, ok := s.Env("A"); !ok || v != "v-A" {
		t.Errorf("A = %q, %v", v, ok)
	}
	if got := strings.Join(s.EnvNames(), ","); got != "A,B" {
		t.Errorf("names %s", got)
	}
}

func TestAdmitAndLedger(t *testing.T) {
	h := NewHost(HostConfig{})
	tx := h.Begin(t0)
	c := tx.Scope(ScopeConfig{Policy: "p", Local: true}).NewCall()
	l, err := c.Limiter(limit.TokenBucket, "a", limit.Params{Rate: 1, Burst: 2, MaxWait: 1500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c.Loaded()
	publish(t, tx)
	led := &ledger{}
	req := &policy.Request{Key: "k", Cost: 1, Now: t0, Ledger: led}
	c.Begin(req, nil)
	want := []policy.Action{policy.ActionAllow, policy.ActionAllow, policy.ActionDelay, policy.ActionDeny}
	for i, action := range want {
		var d policy.Decision
		if err := c.Admit(l, Arg{}, &d); err != nil || d.Action != action {
			t.Errorf("admit %d: %v, %v, want %v", i, d.Action, err, action)
		}
		if d.Limit.Name != "p/a" || d.Limit.Key != "k" || d.Limit.Limit != 2 {
			t.Errorf("admit %d: limit %+v", i, d.Limit)
		}
		if action == policy.ActionDeny && (d.RetryAfter <= 0 || led.entries[i].From != nil || led.entries[i].OK) {
			t.Errorf("a denial: %+v, entry %+v", d, led.entries[i])
		}
	}
	if e := led.entries[2]; !e.OK || e.Wait != time.Second || e.Taken != t0 {
		t.Errorf("the entry of a wait: %+v", e)
	}
	if err := c.Settle(l, Arg{Cost: 0, HasCost: true}); err != nil {
		t.Error(err)
	}
	if err := c.Settle(l, Arg{Key: "other", HasKey: true}); !errors.Is(err, ErrNotTaken) {
		t.Errorf("settle of what was not taken: %v", err)
	}
	c.End()
	if err := c.Admit(l, Arg{}, &policy.Decision{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("admit without a request: %v", err)
	}
	if _, err := c.Limiter(limit.TokenBucket, "late", ten); !errors.Is(err, ErrHook) {
		t.Errorf("declared in a hook: %v", err)
	}
	if _, err := c.Metric(metrics.Counter, "late"); !errors.Is(err, ErrHook) {
		t.Errorf("declared in a hook: %v", err)
	}
}

func TestDryCallsChangeNothing(t *testing.T) {
	h := NewHost(HostConfig{})
	tx := h.Begin(t0)
	c := tx.Scope(ScopeConfig{Policy: "p", Local: true}).NewCall()
	l, _ := c.Limiter(limit.TokenBucket, "a", limit.Params{Rate: 1, Burst: 2})
	n, err := c.Metric(metrics.Counter, "n")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.StateFor("s", true); !errors.Is(err, ErrLoading) {
		t.Errorf("state was written at module scope: %v", err)
	}
	c.Loaded()
	publish(t, tx)
	l.Limit().Take(t0, "k", 1, 0)

	overlay := NewOverlay()
	c.Begin(&policy.Request{Key: "k", Cost: 1, Now: t0, Dry: overlay}, nil)
	if ok, _ := c.Take(l, Arg{}); !ok {
		t.Error("the overlay is not seeded from the live level")
	}
	if ok, _ := c.Take(l, Arg{}); ok {
		t.Error("the overlay forgot what was taken in it")
	}
	c.Add(n, 5)
	st, key, err := c.StateFor("s", true)
	if err != nil || st.Set(t0, key, state.Num(1), 0) != nil {
		t.Fatal(err)
	}
	c.End()

	if got := remaining(l, "k"); got != 1 {
		t.Errorf("the live limiter has %d left, want 1", got)
	}
	if n.Load() != 0 {
		t.Error("a dry call counted")
	}
	c.Begin(&policy.Request{Key: "k", Now: t0}, nil)
	st, key, _ = c.StateFor("s", false)
	if _, ok := st.Get(t0, key); ok {
		t.Error("a dry call wrote state")
	}
}

func TestOverlayOfAChangedDeclarationStartsEmpty(t *testing.T) {
	h := NewHost(HostConfig{})
	one := h.Begin(t0)
	l := declare(t, one, "p", "a", limit.TokenBucket, limit.Params{Rate: 1, Burst: 1})
	publish(t, one)
	l.Limit().Take(t0, "k", 1, 0)
	two := h.Begin(t0)
	l2 := declare(t, two, "p", "a", limit.TokenBucket, limit.Params{Rate: 1, Burst: 5})
	if got := NewOverlay().limiter(l2).Peek(t0, "k", 1); !got.OK || got.Limit != 5 {
		t.Errorf("got %+v", got)
	}
	if got := NewOverlay().limiter(l).Peek(t0, "k", 1); got.OK {
		t.Error("an unchanged declaration must start from the live level")
	}
}

func TestSnapshotBringsBackStatePausesAndLongLimiters(t *testing.T) {
	h := NewHost(HostConfig{})
	tx := h.Begin(t0)
	daily := declare(t, tx, "p", "daily", limit.TokenBucket, limit.Params{Rate: 100, Per: 24 * time.Hour, Burst: 100})
	quick := declare(t, tx, "p", "quick", limit.TokenBucket, ten)
	publish(t, tx)
	daily.Limit().Take(t0, "k", 60, 0)
	quick.Limit().Take(t0, "k", 9, 0)
	quick.Limit().Pause(t0, "paused", time.Minute)
	if err := h.store("p").Set(t0, "s", state.Text("v"), 0); err != nil {
		t.Fatal(err)
	}
	snap := h.Export(t0)

	h2 := NewHost(HostConfig{})
	if refused := h2.Import(t0, snap); refused != 0 {
		t.Fatalf("%d entries refused", refused)
	}
	dropped := h2.Begin(t0) // a set that is refused must not use up what was kept
	declare(t, dropped, "p", "daily", limit.TokenBucket, limit.Params{Rate: 100, Per: 24 * time.Hour, Burst: 100})
	if again := h2.Export(t0); len(again.Limiters) != len(snap.Limiters) {
		t.Errorf("levels of policies that are not loaded yet were lost: %v", again.Limiters)
	}
	tx2 := h2.Begin(t0)
	daily2 := declare(t, tx2, "p", "daily", limit.TokenBucket, limit.Params{Rate: 100, Per: 24 * time.Hour, Burst: 100})
	quick2 := declare(t, tx2, "p", "quick", limit.TokenBucket, ten)
	publish(t, tx2)
	if got := remaining(daily2, "k"); got != 40 {
		t.Errorf("daily has %d left, want 40", got)
	}
	if got := remaining(quick2, "k"); got != 10 {
		t.Errorf("quick has %d left, want 10: it fills up in a second", got)
	}
	if got := quick2.Limit().Peek(t0, "paused", 1); got.OK {
		t.Error("the pause was lost")
	}
	if v, ok := h2.store("p").Get(t0, "s"); !ok || v.Text != "v" {
		t.Errorf("state: %v, %v", v, ok)
	}
}

func TestLogsAreLimited(t *testing.T) {
	var buf bytes.Buffer
	h := NewHost(HostConfig{Log: slog.New(slog.NewTextHandler(&buf, nil))})
	c := h.Begin(t0).Scope(ScopeConfig{Policy: "p"}).NewCall()
	for range 500 {
		c.Log(slog.LevelInfo, "x")
	}
	if n := strings.Count(buf.String(), "msg=x"); n != logBurst {
		t.Errorf("%d lines of 500", n)
	}
	c.now += int64(time.Second)
	c.Log(slog.LevelInfo, strings.Repeat("y", 10_000))
	if s := buf.String(); !strings.Contains(s, "dropped=450") || len(s) > 20_000 {
		t.Errorf("the drops are not reported, or a line is not cut: %d bytes", len(s))
	}
}

func TestHashIsStable(t *testing.T) {
	if a, b := Hash(""), Hash("tenant-42"); a != 4538099935291686 || b != 2711692307565186 {
		t.Errorf("the hash changed: %d, %d", a, b)
	}
	list := []string{"a", "b", "c", "d"}
	moved := 0
	for i := range 4000 {
		key := strings.Repeat("k", i%7) + string(rune('a'+i%26)) + time.Duration(i).String()
		before := list[Pick(key, 4, func(i int) string { return list[i] })]
		after := list[:3][Pick(key, 3, func(i int) string { return list[i] })]
		if before != after {
			moved++
			if before != "d" {
				t.Fatalf("%s moved from %s although only d left", key, before)
			}
		}
	}
	if moved < 800 || moved > 1200 {
		t.Errorf("%d of 4000 moved, want about a quarter", moved)
	}
	if Pick("k", 0, nil) != -1 {
		t.Error("an empty list")
	}
}

func TestHotCallsAllocateNothing(t *testing.T) {
	h := NewHost(HostConfig{})
	tx := h.Begin(t0)
	c := tx.Scope(ScopeConfig{Policy: "p", Local: true}).NewCall()
	l, _ := c.Limiter(limit.TokenBucket, "a", limit.Params{Rate: 1e6, Burst: 1e6})
	c.Loaded()
	led := &ledger{entries: make([]policy.Entry, 0, 4096)}
	req := &policy.Request{Key: "k", Cost: 1, Now: t0, Ledger: led}
	var d policy.Decision
	if n := testing.AllocsPerRun(200, func() {
		c.Begin(req, nil)
		_ = c.Admit(l, Arg{}, &d)
		_, _ = c.Take(l, Arg{})
		led.entries = led.entries[:0]
		c.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
