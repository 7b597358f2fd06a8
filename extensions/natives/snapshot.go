package natives

import (
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/state"
)

// longLimiter is how long a limiter must take to fill up for its levels to be
// worth keeping over a restart.
const longLimiter = time.Minute

// Snapshot is what comes back after a restart: state, pauses, and the levels of
// limiters that take more than a minute to fill up.
type Snapshot struct {
	State    map[string][]state.Entry  `json:"state"`    // by policy; "shared" for the common one
	Limiters map[string][]limit.Record `json:"limiters"` // by scoped name
}

// Export copies what is to be kept.
func (h *Host) Export(now int64) Snapshot {
	s := Snapshot{State: map[string][]state.Entry{}, Limiters: map[string][]limit.Record{}}
	h.mu.Lock()
	stores := make(map[string]*state.Store, len(h.stores))
	for name, st := range h.stores {
		stores[name] = st
	}
	for name, recs := range h.restored { // of policies that are not loaded now
		s.Limiters[name] = recs
	}
	h.mu.Unlock()
	for name, st := range stores {
		st.Export(now, func(e state.Entry) bool { s.State[name] = append(s.State[name], e); return true })
	}
	for _, l := range h.Limiters() {
		if recs := Records(now, l.lim); len(recs) > 0 {
			s.Limiters[l.name] = recs
		}
	}
	return s
}

// Records lists the levels of a limiter that are worth keeping over a restart: all of
// one that takes long to fill up or that learned them, and pauses of any.
func Records(now int64, l limit.Limiter) []limit.Record {
	p := l.Params()
	learned, long := l.Kind() == limit.Upstream, false
	switch l.Kind() {
	case limit.TokenBucket:
		long = time.Duration(float64(p.Burst)/p.Rate*float64(p.Per)) > longLimiter
	case limit.FixedWindow, limit.SlidingWindow, limit.SlidingLog:
		long = p.Per > longLimiter
	case limit.Calendar:
		long = true
	}
	var recs []limit.Record
	l.Export(now, func(r limit.Record) bool {
		if long || learned || r.Paused > now {
			recs = append(recs, r)
		}
		return true
	})
	return recs
}

// Import brings a snapshot back, before any policy is loaded. It returns how many
// state entries did not fit.
func (h *Host) Import(now int64, s Snapshot) (refused int) {
	for name, entries := range s.State {
		st := h.store(name)
		for _, e := range entries {
			if st.Import(now, e) != nil {
				refused++
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, recs := range s.Limiters {
		h.restored[name] = recs
	}
	return refused
}
