package admission

import (
	"errors"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestSetLimitLetsQueuedGo(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Concurrency: 1} })
	name := r.c.Levels()[levelGlobal].Name
	running, waiting := r.op("k"), r.op("k")
	r.begin(running, Go)
	r.begin(waiting, Queued)
	if s := r.c.Slots(name); len(s) != 1 || s[0] != (Slot{"", 1, 1}) {
		t.Errorf("slots %+v", s)
	}
	woken, err := r.c.SetLimit(r.now, name, func(l Limit) Limit { l.Concurrency = 2; return l }, nil)
	if err != nil || len(woken) != 1 || woken[0] != waiting {
		t.Fatalf("woken %v, %v", woken, err)
	}
	r.wake(waiting, Go)
	if l := r.c.Levels()[levelGlobal]; l.Limit.Concurrency != 2 || l.Declared.Concurrency != 1 || !l.Global() {
		t.Errorf("level %+v", l)
	}
	if _, err := r.c.SetLimit(r.now, "limits.api.glob", func(l Limit) Limit { return l }, nil); !errors.Is(err, ErrNoLevel) {
		t.Errorf("an unknown name: %v", err)
	}
	for _, wrong := range []Limit{{Rate: -1}, {Concurrency: -1}, {Rate: 1, Burst: -1}} {
		if _, err := r.c.SetLimit(r.now, name, func(Limit) Limit { return wrong }, nil); err == nil || r.c.Levels()[levelGlobal].Limit.Concurrency != 2 {
			t.Errorf("%+v: %v, now %+v", wrong, err, r.c.Levels()[levelGlobal].Limit)
		}
	}
	r.end(running, policy.Response{Status: 200})
	r.end(waiting, policy.Response{Status: 200})
}

// What was set by hand stays over a configuration that says the same of that limit.
func TestSetLimitSurvivesAConfigThatDoesNotChangeIt(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.PerKey = Limit{Rate: 10}; c.Limits.Global = Limit{Rate: 20} })
	declared := r.c.Config()
	name := r.c.Levels()[levelKey].Name
	if _, err := r.c.SetLimit(r.now, name, func(l Limit) Limit { l.Rate = 3; return l }, nil); err != nil {
		t.Fatal(err)
	}
	rates := func() (key, global float64) {
		return r.c.Rates()[name].Params().Rate, r.c.Rates()[r.c.Levels()[levelGlobal].Name].Params().Rate
	}
	put := func(change func(*Config)) {
		t.Helper()
		cfg := declared
		change(&cfg)
		if _, err := r.c.SetConfig(r.now, cfg, nil); err != nil {
			t.Fatal(err)
		}
	}
	put(func(c *Config) { c.Limits.Global.Rate = 21 })
	if key, global := rates(); key != 3 || global != 21 {
		t.Errorf("another limit changed: %v and %v", key, global)
	}
	put(func(c *Config) { c.Limits.PerKey.Burst = 5 })
	if key, _ := rates(); key != 10 {
		t.Errorf("the limit itself changed: %v", key)
	}
}
