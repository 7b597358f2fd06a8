package host

import (
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/api"
)

// workProfile is the pool's profile for targets that callers of the work API name.
// Its connections are never shared with those to the operator's upstreams.
const workProfile = "work"

// newAPI makes the pool of API connections.
func (h *Host) newAPI(cfg *config.Config) (part, error) {
	var err error
	if h.api, err = api.New(h.apiConfig(cfg)); err != nil {
		return part{}, err
	}
	return part{
		subsystem: h.api,
		check:     func(cfg *config.Config) error { c := h.apiConfig(cfg); return c.Check() },
		apply:     func(cfg *config.Config) error { return h.api.SetConfig(h.apiConfig(cfg)) },
		actions:   work.API(work.APIConfig{Pool: h.api, Profile: workProfile, Route: h.routeGroup, Refused: work.RefusedTarget}),
	}, nil
}

// apiConfig maps the configuration to the pool's.
func (h *Host) apiConfig(cfg *config.Config) api.Config {
	a := cfg.API
	profile := api.Profile{CAFile: a.CAFile, InsecureSkipVerify: a.InsecureSkipVerify, DisableHTTP2: !a.HTTP2}
	guarded := profile
	guarded.Dialer = h.network.Within().Guarded()
	var random func() float64
	if h.o.rehearse != nil {
		random = h.o.rehearse.random
	}
	return api.Config{
		Random:    random,
		Admission: h.apiAdmission(cfg), Slot: &h.slot, Clock: h.clock, Log: h.log.With("subsystem", policy.SubsystemAPI),
		Profiles: map[string]api.Profile{"": profile, workProfile: guarded}, Dialer: h.network.Within(),
		DialTimeout: a.DialTimeout.Std(), HeaderTimeout: a.HeaderTimeout.Std(), TotalTimeout: a.TotalTimeout.Std(),
		IdleConnTimeout: a.IdleConnTimeout.Std(), MaxIdleConnsPerHost: a.MaxIdleConnsPerHost, MaxConnsPerHost: a.MaxConnsPerHost,
		MaxResponseBody: int64(a.MaxResponseBody), ReplayMax: int64(a.ReplayMax),
	}
}

// routeGroup finds the upstreams of a route in force; nil: there is no such route.
func (h *Host) routeGroup(name string) *route.Group {
	for _, r := range h.gateway.Routes() {
		if r.Name == name {
			return r.Group
		}
	}
	return nil
}
