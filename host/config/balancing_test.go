package config

import (
	"strings"
	"testing"
	"time"
)

func TestBalancing(t *testing.T) {
	cfg := mustLoad(t, from("gaia.yaml", `
routes:
  plain: {url: "https://p.example"}
  full:
    balance: p2c
    sticky: header:X-Session
    health: {path: "/healthz?deep=1", interval: 1s}
    outlier: {consecutive: 0, ratio: 0.5, eject_for: 2m, max_share: 1}
    upstreams: {a: {url: "https://a.example", tier: 1}, b: {url: "http://b.example"}}
`))
	full, plain := cfg.EffectiveRoutes()[1], cfg.EffectiveRoutes()[0]
	if full.Balance != "p2c" || full.Sticky != "header:X-Session" || full.Upstreams[0].Tier != 1 {
		t.Errorf("%+v", full)
	}
	if want := (HealthProbe{"/healthz?deep=1", Duration(time.Second), Duration(time.Second), 1, 2}); full.Health != want {
		t.Errorf("%+v", full.Health)
	}
	if want := (OutlierView{0, 20, 0.5, 1, Duration(2 * time.Minute), Duration(2 * time.Minute)}); full.Outlier != want {
		t.Errorf("%+v", full.Outlier)
	}
	if plain.Balance != "round_robin" || plain.Health != (HealthProbe{}) {
		t.Errorf("%+v", plain)
	}
	if want := (OutlierView{5, 20, 0, 0.5, Duration(5 * time.Second), Duration(time.Minute)}); plain.Outlier != want {
		t.Errorf("%+v", plain.Outlier)
	}
}

func TestBalancingFaults(t *testing.T) {
	for _, c := range []struct{ route, want string }{
		{`balance: least`, `routes.a.balance: want one of round_robin, least_in_flight, p2c, rendezvous, got "least"`},
		{`sticky: tennant`, `routes.a.sticky: want one of tenant, key, header:NAME, got "tennant" (did you mean "tenant"?)`},
		{`sticky: "header:a b"`, `routes.a.sticky: want header:NAME with the name of a header, got "header:a b"`},
		{`health: {interval: 1s}`, `routes.a.health.path: want a path such as "/healthz", got ""`},
		{`health: {path: healthz}`, `routes.a.health.path: want a path such as "/healthz", got "healthz"`},
		{`health: {path: "//x/y"}`, `routes.a.health.path: want a path`},
		{`health: {path: "/a#b"}`, `routes.a.health.path: want a path`},
		{`health: {path: /h, interval: 1ms}`, `routes.a.health.interval: must be at least 50ms`},
		{`health: {path: /h, interval: 0}`, `routes.a.health.interval: must be greater than 0`},
		{`health: {path: /h, timeout: 6s}`, `routes.a.health.timeout: must be at most the interval, 5s`},
		{`health: {path: /h, fall: 0}`, `routes.a.health.fall: must be greater than 0`},
		{`health: {path: /h, rise: -1}`, `routes.a.health.rise: must not be negative, got -1`},
		{`outlier: {ratio: 2}`, `routes.a.outlier.ratio: must be from 0 to 1`},
		{`outlier: {max_share: 1.5}`, `routes.a.outlier.max_share: must be from 0 to 1`},
		{`outlier: {eject_for: 10s, max_eject_for: 1s}`, `routes.a.outlier.max_eject_for: must be at least eject_for, 10s`},
		{`outlier: {min_requests: 0}`, `routes.a.outlier.min_requests: must be greater than 0`},
		{`outlier: {consecutiv: 3}`, `routes.a.outlier.consecutiv: unknown key (did you mean "consecutive"?)`},
		{`upstreams: {x: {url: "http://x", tier: 256}}`, `routes.a.upstreams.x.tier: must be at most 255`},
		{`upstreams: {x: {url: "http://x", limits: {burst: 3}}}`, `routes.a.upstreams.x.limits.burst: has no meaning without rate`},
		{`upstreams: {x: {url: "http://x", limits: {concurrency: 0}}}`, `routes.a.upstreams.x.limits.concurrency: must be at least 1; leave it out for no limit`},
		{`upstreams: {x: {url: "http://x", limits: {rate: -1}}}`, `routes.a.upstreams.x.limits.rate: must be a number that is not negative, got -1`},
		{`upstreams: {x: {url: "http://x", limits: {rate: 5, per: 0s}}}`, `routes.a.upstreams.x.limits.per: must be greater than 0`},
		{`upstreams: {x: {url: "http://x", limits: {brust: 5}}}`, `routes.a.upstreams.x.limits.brust: unknown key (did you mean "burst"?)`},
		{`upstreams: {x: {url: "http://x", limit: {rate: 5}}}`, `routes.a.upstreams.x.limit: unknown key (did you mean "limits"?)`},
		{`upstreams: {x: {url: "http://x", weight: 2000000}}`, `routes.a.upstreams.x.weight: must be at most 1048576`},
	} {
		text := "routes:\n  a:\n    url: http://a.example\n    " + c.route + "\n"
		if strings.HasPrefix(c.route, "upstreams") {
			text = strings.Replace(text, "    url: http://a.example\n", "", 1)
		}
		_, err := Load(from("gaia.yaml", text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "gaia.yaml:") || strings.Count(err.Error(), "routes.a.") != 1 {
			t.Errorf("%s:\n got %v\nwant %s", c.route, err, c.want)
		}
	}
}

func TestAnUpstreamsLimitsAreCompleted(t *testing.T) {
	cfg, err := Load(from("gaia.yaml", `
routes:
  r:
    upstreams:
      a: { url: "http://a.example", limits: { rate: 2.5, concurrency: 4, max_wait: 2s } }
      b: { url: "http://a.example", limits: {} }
      c: { url: "http://a.example" }
`))
	if err != nil {
		t.Fatal(err)
	}
	ups := cfg.EffectiveRoutes()[0].Upstreams
	if l := ups[0].Limits; l == nil || l.Rate != 2.5 || l.Per != DefaultLimitPer || l.Burst != 3 || l.Concurrency != 4 || l.MaxWait.Std() != 2*time.Second {
		t.Errorf("a: %+v", ups[0].Limits)
	}
	if ups[1].Limits != nil || ups[2].Limits != nil {
		t.Errorf("b and c have none: %+v, %+v", ups[1].Limits, ups[2].Limits)
	}
}
