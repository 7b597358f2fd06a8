package host

import (
	"log/slog"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api"
)

// apiConfig maps the configuration to the pool's.
func apiConfig(cfg *config.Config, slot *policy.Slot, clock func() int64, log *slog.Logger) api.Config {
	a := cfg.API
	return api.Config{
		Admission: admissionConfig(cfg), Slot: slot, Clock: clock, Log: log.With("subsystem", policy.SubsystemAPI),
		Profiles:    map[string]api.Profile{"": {CAFile: a.CAFile, InsecureSkipVerify: a.InsecureSkipVerify, DisableHTTP2: !a.HTTP2}},
		DialTimeout: a.DialTimeout.Std(), HeaderTimeout: a.HeaderTimeout.Std(), TotalTimeout: a.TotalTimeout.Std(),
		IdleConnTimeout: a.IdleConnTimeout.Std(), MaxIdleConnsPerHost: a.MaxIdleConnsPerHost, MaxConnsPerHost: a.MaxConnsPerHost,
		MaxResponseBody: int64(a.MaxResponseBody), ReplayMax: int64(a.ReplayMax),
	}
}

func admissionConfig(cfg *config.Config) admission.Config {
	limits, ok := cfg.Limits[policy.SubsystemAPI]
	if !ok {
		limits = config.DefaultSubsystemLimits()
	}
	r, b := cfg.API.Retry, cfg.API.Breaker
	return admission.Config{
		Limits: admission.Limits{
			Global: configuredLimit(limits.Global), PerKey: configuredLimit(limits.PerKey), PerUpstream: configuredLimit(limits.PerUpstream),
			MaxKeys: limits.MaxKeys, WhenFull: whenFull(limits.WhenFull),
		},
		MaxWait: maxWait(cfg, limits), MaxAttempts: cfg.API.MaxAttempts, QueueMax: limits.QueueMax,
		Retry: admission.Retry{Ratio: r.BudgetRatio, PerSecond: r.BudgetMinPerSecond, Base: r.Base.Std(), Max: r.Max.Std()},
		Breaker: admission.Breaker{Enabled: b.Enabled, Ratio: b.FailureRatio, MinRequests: b.MinRequests, Consecutive: b.Consecutive,
			Window: b.Window.Std(), OpenFor: b.OpenFor.Std(), HalfOpen: b.HalfOpen},
	}
}

// maxWait is the shorter of the two bounds on the waits of one operation; the pool's
// bound of 0 is none.
func maxWait(cfg *config.Config, limits config.SubsystemLimits) time.Duration {
	if cfg.API.MaxWait == 0 {
		return limits.MaxWait.Std()
	}
	return min(limits.MaxWait.Std(), cfg.API.MaxWait.Std())
}

func configuredLimit(s config.LimitSpec) admission.Limit {
	wait := admission.Patient
	if s.MaxWait != nil {
		wait = s.MaxWait.Std()
	}
	return admission.Limit{Rate: s.Rate, Per: s.Per.Std(), Burst: s.Burst, MaxWait: wait, Concurrency: s.Concurrency}
}

// whenFull reads a value that the configuration has checked.
func whenFull(name string) limit.Full {
	switch name {
	case "deny":
		return limit.FullDeny
	case "allow":
		return limit.FullAllow
	}
	return limit.FullShare
}

// gatewayConfig maps the configuration to the gateway's.
func gatewayConfig(cfg *config.Config, routes []gateway.Route, pool *api.Pool, clock func() int64, log *slog.Logger) gateway.Config {
	g := cfg.Gateway
	return gateway.Config{
		Listen: cfg.Listen, Routes: routes, Pool: pool, ForwardProxy: g.ForwardProxy, AllowedHosts: cfg.AllowedHosts,
		MaxHeaderBytes: int(g.MaxHeaderBytes), ReadHeaderTimeout: g.ReadHeaderTimeout.Std(), IdleTimeout: g.IdleTimeout.Std(),
		MaxRequestBody: int64(g.MaxRequestBody), Log: log.With("part", "gateway"), Clock: clock,
	}
}
