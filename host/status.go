package host

import (
	"errors"
	"os"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/control"
)

// Status describes the running gaia.
func (h *Host) Status() control.Status {
	ps := h.policies.Status()
	st := control.Status{
		Schema: control.SchemaStatus, Version: h.o.Version, PID: os.Getpid(),
		Generation: ps.Generation, CanRollBack: ps.Earlier,
		LastReload:    control.Reload{OK: ps.LastReload.OK, Error: ps.LastReload.Error, At: ps.LastReload.At},
		UptimeSeconds: time.Since(h.started).Seconds(), Listen: h.gateway.Addr(),
		Policies: []control.Policy{}, Routes: []control.Route{}, Subsystems: map[string]map[string]float64{},
	}
	for _, p := range ps.Policies {
		st.Policies = append(st.Policies, control.Policy{
			Name: p.Name, Engine: p.Engine, Use: p.Use, Digest: p.Digest, Resolved: p.Resolved, Signer: p.Signer, Hooks: p.Hooks, OnFailure: string(p.Options.OnFailure),
			Isolation: string(p.Options.Isolation), BudgetMS: float64(p.Options.Budget) / float64(time.Millisecond),
			Calls: p.Calls, Faults: p.Faults, FaultKinds: p.FaultsByKind, BreakerOpen: p.BreakerOpen, Guests: p.Guests, GuestsIdle: p.GuestsIdle,
		})
	}
	for _, r := range h.gateway.Routes() {
		st.Routes = append(st.Routes, control.Route{Name: r.Name, Host: r.Host, Path: r.PathPrefix,
			Balance: r.Group.Balance().String(), Upstreams: upstreamsOf(r.Group, h.clock())})
	}
	for _, src := range h.Sources() {
		st.Subsystems[src.Schema().Subsystem()] = numbersOf(src)
	}
	st.Shadow, st.Record = h.witness.shadowStatus(), h.witness.recordStatus()
	return st
}

func upstreamsOf(g *route.Group, now int64) []control.Upstream {
	ups := make([]control.Upstream, 0, g.Len())
	for i, n := range g.View(nil, now) {
		u := g.Upstream(i)
		ups = append(ups, control.Upstream{Name: u.Name, URL: u.Public.String(), Weight: u.Weight, Tier: u.Tier,
			Health: g.State(i, now).String(), InFlight: n.InFlight, ErrorRate: n.ErrorRate,
			P50MS: float64(n.P50) / float64(time.Millisecond), P95MS: float64(n.P95) / float64(time.Millisecond)})
	}
	return ups
}

func numbersOf(src metrics.Source) map[string]float64 {
	s := src.Schema()
	values := src.Read(make([]float64, 0, s.Len()))
	m := make(map[string]float64, s.Len())
	for i, v := range values {
		m[s.Field(i).Name] = v
	}
	return m
}

// Sources are the numbers of the subsystems, in a fixed order.
func (h *Host) Sources() []metrics.Source { return h.sources }

// Ready is nil while traffic is served.
func (h *Host) Ready() error {
	if !h.ready.Load() {
		return errors.New("not ready: starting or stopping")
	}
	return nil
}

// Health judges the host by its own parts: no traffic is healthy. An upstream that
// fails is worth a word, and is not gaia's failure.
func (h *Host) Health() control.Health {
	top := control.Health{Schema: control.SchemaHealth, Status: control.HealthOK, Subsystems: map[string]control.Health{}}
	if err := h.Ready(); err != nil {
		top.Status, top.Reasons = control.HealthFailing, []string{err.Error()}
	}
	if late := h.loopHealth(); late != "" {
		top.Status, top.Reasons = control.HealthFailing, append(top.Reasons, late)
	}
	for i := range h.parts {
		p := &h.parts[i]
		own := h.partHealth(p)
		top.Subsystems[p.name()] = own
		if own.Status != control.HealthOK {
			top.Reasons = append(top.Reasons, "the subsystem "+p.name()+" is "+own.Status)
		}
		if own.Status == control.HealthFailing {
			top.Status = control.HealthFailing
		}
	}
	st := h.policies.Status()
	for _, p := range st.Policies {
		if p.BreakerOpen {
			top.Reasons = append(top.Reasons, "policy "+p.Name+" keeps failing and is not asked; on_failure answers for it")
		}
	}
	if r := h.witness.recordStatus(); r != nil && r.Error != "" {
		top.Reasons = append(top.Reasons, "the recording cannot be written: "+r.Error)
	}
	if !st.LastReload.OK {
		top.Reasons = append(top.Reasons, "the last reload was refused: "+st.LastReload.Error)
	}
	if top.Status == control.HealthOK && len(top.Reasons) > 0 {
		top.Status = control.HealthDegraded
	}
	return top
}

// RequestStop asks the process to end; whoever runs the host listens to Stopping.
func (h *Host) RequestStop(drain time.Duration) {
	select {
	case h.stop <- drain:
	default: // one was asked for already
	}
}
