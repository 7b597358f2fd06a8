package generation

import (
	"github.com/gaia-host/gaia/extensions/policy"
)

// Status is what is in force now.
type Status struct {
	Generation uint64
	Earlier    bool // a rollback is possible
	Policies   []PolicyStatus
	LastReload Reload
}

// PolicyStatus describes one policy in force.
type PolicyStatus struct {
	Name, Engine, Use, Digest string
	Resolved, Signer          string // of what was fetched or had to be signed, else ""
	Hooks                     []string
	Options                   policy.Options
	Calls, Faults             uint64
	FaultsByKind              map[string]uint64 // those above zero
	BreakerOpen               bool
	GuestsIdle, Guests        int
}

// Status returns what is in force. The counts are those since it was put in force.
func (m *Manager) Status() Status {
	m.mu.Lock()
	cur, st := m.current, Status{Generation: m.number, Earlier: m.earlier != nil, LastReload: m.last}
	m.mu.Unlock()
	g := m.c.Slot.Lease()
	if g == nil || cur == nil {
		return st
	}
	defer g.Release()
	now := m.c.Clock()
	for i, member := range g.Chain().Members() {
		if i >= len(cur.policies) || cur.policies[i].Policy != member.Policy() {
			break // a swap happened in between; the next call sees it whole
		}
		p := cur.policies[i]
		ps := PolicyStatus{Name: p.Name(), Engine: p.Engine, Use: p.Use, Digest: p.Digest, Resolved: p.Resolved, Signer: p.Signer, Hooks: p.Hooks().Names(), Options: p.Options,
			Calls: member.Calls(), Faults: member.AllFaults(), FaultsByKind: map[string]uint64{}, BreakerOpen: member.BreakerOpen(now)}
		for _, k := range policy.FaultKinds() {
			if n := member.Faults(k); n > 0 {
				ps.FaultsByKind[k.String()] = n
			}
		}
		if p.Guests != nil {
			ps.GuestsIdle, ps.Guests = p.Guests()
		}
		st.Policies = append(st.Policies, ps)
	}
	return st
}

// Files lists the files on disk that the set in force was made of.
func (m *Manager) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return nil
	}
	return m.current.files()
}
