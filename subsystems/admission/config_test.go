package admission

import (
	"testing"
)

func TestSetConfigKeepsCounts(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Global = Limit{Rate: 1, Burst: 1} })
	r.begin(r.op("k"), Go)
	cfg := r.c.Config()
	cfg.Limits.Global = Limit{Rate: 2, Burst: 1}
	if _, err := r.c.SetConfig(r.now, cfg, nil); err != nil {
		t.Fatal(err)
	}
	op := r.op("k")
	r.begin(op, Denied)
	r.denied(op, KindLimit, 429)
	cfg.Limits.Global.Rate = -1
	if _, err := r.c.SetConfig(r.now, cfg, nil); err == nil {
		t.Error("a negative rate was accepted")
	}
	r.now += second / 2
	r.begin(r.op("k"), Go)
	cfg.Limits.Global = Limit{}
	if _, err := r.c.SetConfig(r.now, cfg, nil); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r.begin(r.op("k"), Go)
	}
}

func TestConfigCheck(t *testing.T) {
	if _, err := New(Options{Subsystem: "api", Config: Config{}}); err != nil {
		t.Errorf("the zero config: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"rate": func(c *Config) { c.Limits.Global.Rate = -1 }, "concurrency": func(c *Config) { c.Limits.PerKey.Concurrency = -1 },
		"wait": func(c *Config) { c.MaxWait = -1 }, "retry": func(c *Config) { c.Retry.Base = -1 }, "breaker": func(c *Config) { c.Breaker.HalfOpen = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if cfg.Check() == nil {
			t.Errorf("%s: a bad config was accepted", name)
		}
	}
}
