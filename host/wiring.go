package host

import (
	"log/slog"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api"
)

// admissionConfig is how the operations of a subsystem are admitted: by its limits,
// without a breaker, and tried again only where a policy says so. What a subsystem
// does otherwise it sets itself.
func (h *Host) admissionConfig(cfg *config.Config, subsystem string) admission.Config {
	limits, ok := cfg.Limits[subsystem]
	if !ok {
		limits = config.DefaultSubsystemLimits()
	}
	c := admission.DefaultConfig()
	c.Share = h.share
	c.Breaker.Enabled = false
	c.MaxWait, c.QueueMax = limits.MaxWait.Std(), limits.QueueMax
	c.Limits = admission.Limits{
		Global: configuredLimit(limits.Global), PerKey: configuredLimit(limits.PerKey), PerUpstream: configuredLimit(limits.PerUpstream),
		MaxKeys: limits.MaxKeys, WhenFull: whenFull(limits.WhenFull),
	}
	return c
}

// apiAdmission is the pool's, with its own retries and breaker. Of the two bounds on
// the waits of one operation the shorter counts; the pool's bound of 0 is none.
func (h *Host) apiAdmission(cfg *config.Config) admission.Config {
	r, b := cfg.API.Retry, cfg.API.Breaker
	c := h.admissionConfig(cfg, policy.SubsystemAPI)
	c.Limits.Upstreams = upstreamLimits(cfg)
	if own := cfg.API.MaxWait.Std(); own > 0 {
		c.MaxWait = min(c.MaxWait, own)
	}
	c.MaxAttempts = cfg.API.MaxAttempts
	c.Retry = admission.Retry{Ratio: r.BudgetRatio, PerSecond: r.BudgetMinPerSecond, Base: r.Base.Std(), Max: r.Max.Std()}
	c.Breaker = admission.Breaker{Enabled: b.Enabled, Ratio: b.FailureRatio, MinRequests: b.MinRequests, Consecutive: b.Consecutive,
		Window: b.Window.Std(), OpenFor: b.OpenFor.Std(), HalfOpen: b.HalfOpen}
	return c
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
		Listen: cfg.Listen, Routes: routes, Pool: pool, ForwardProxy: g.ForwardProxy, ForwardProfile: forwardProfile(cfg.Listen), AllowedHosts: cfg.AllowedHosts,
		MaxHeaderBytes: int(g.MaxHeaderBytes), ReadHeaderTimeout: g.ReadHeaderTimeout.Std(), IdleTimeout: g.IdleTimeout.Std(),
		MaxRequestBody: int64(g.MaxRequestBody), Log: log.With("part", "gateway"), Clock: clock,
	}
}
