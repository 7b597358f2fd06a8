package host

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/generation"
	"github.com/gaia-host/gaia/host/record"
	"github.com/gaia-host/gaia/host/shadow"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// witness tells the recorder and the shadow of all attempts. With neither it costs two
// loads.
type witness struct {
	record *record.Recorder // nil: nothing is recorded
	shadow atomic.Pointer[standIn]
}

// standIn is a shadow and what it was opened from.
type standIn struct {
	*shadow.Shadow
	policy *bundle.Policy
	chain  *policy.Chain
	spec   generation.Spec
}

// note is what the witness keeps of one attempt.
type note struct {
	line *record.Line
	by   *standIn // that was asked
	seen *shadow.Note
}

// Decided implements admission.Observer.
func (w *witness) Decided(now int64, op *admission.Op, v admission.Verdict) {
	by := w.shadow.Load()
	if w.record == nil && by == nil {
		return
	}
	var n note
	maxWait := op.MaxWait()
	if w.record != nil {
		n.line = w.record.Begin(op, v, maxWait)
	}
	if by != nil && op.Denial.Kind != admission.KindClosed && op.Denial.Kind != admission.KindDeadline {
		if n.seen = by.Decided(op, now, maxWait); n.seen != nil {
			n.by = by
		}
	}
	if v.Kind == admission.Denied {
		if n.seen != nil {
			by.Ended(n.seen, now, nil)
		}
		return
	}
	if n.line != nil || n.seen != nil {
		op.See(&n)
	}
}

// Answered implements admission.Observer.
func (w *witness) Answered(now int64, op *admission.Op, res *policy.Response, again bool) {
	n, _ := op.Seen().(*note)
	if n == nil {
		return
	}
	if n.line != nil {
		w.record.Answered(n.line, now, res, again)
	}
	if n.seen != nil {
		n.by.Answered(n.seen, now, res)
	}
}

// Ended implements admission.Observer.
func (w *witness) Ended(now int64, op *admission.Op, res *policy.Response) {
	n, _ := op.Seen().(*note)
	if n == nil {
		return
	}
	if n.line != nil {
		w.record.End(n.line, now, op, res)
	}
	if n.seen != nil {
		n.by.Ended(n.seen, now, res)
	}
}

// newWitness has every subsystem watched.
func (h *Host) newWitness(cfg *config.Config) {
	if r := cfg.Record; r.File != "" {
		h.witness.record = record.New(record.Config{
			File: r.File, MaxSize: int64(r.MaxSize), Keep: r.Keep, Log: h.log.With("part", "record"),
			Fields: record.Fields{Headers: r.Headers, Mask: r.Mask, Body: r.Body},
		})
	}
	for i := range h.parts {
		h.parts[i].Core().Observe(&h.witness)
	}
}

// openShadow opens the shadow that cfg names, nil for none: the one that runs where it
// is made of the same. It is not put in the place of that one.
func (h *Host) openShadow(ctx context.Context, shadowed *generation.Spec) (*standIn, error) {
	if shadowed == nil {
		return nil, nil
	}
	spec, last := *shadowed, atomic.Int64{}
	p, chain, err := h.policies.Beside(ctx, spec, func(f *policy.Fault) {
		if now, before := h.clock(), last.Load(); now-before > int64(10*time.Second) && last.CompareAndSwap(before, now) {
			h.log.Log(context.Background(), slog.LevelWarn, "the shadow failed; nothing depends on it", "policy", f.Policy, "hook", f.Hook.String(), "kind", f.Kind.String(), "error", f.Err)
		}
	})
	if err != nil {
		return nil, err
	}
	if now := h.witness.shadow.Load(); now != nil && generation.Same(now.policy, now.spec, p, spec) {
		return now, p.Close()
	}
	return &standIn{policy: p, chain: chain, spec: spec, Shadow: shadow.New(shadow.Config{
		Name: p.Name(), Chain: chain, Tick: h.tickChain, Log: h.log,
	})}, nil
}

// dropShadow closes a shadow that was opened and is not used after all.
func (h *Host) dropShadow(s *standIn) error {
	if s == nil || s == h.witness.shadow.Load() {
		return nil
	}
	return s.policy.Close()
}

// putShadow lets s decide from now on, and ends the one before it; nil: none does.
func (h *Host) putShadow(s *standIn) error {
	if s != nil && s == h.witness.shadow.Load() {
		return nil
	}
	h.slot.SetBeside(nil)
	if s != nil {
		s.Start()
		h.slot.SetBeside(s.chain)
	}
	if old := h.witness.shadow.Swap(s); old != nil {
		old.Stop()
		return old.policy.Close()
	}
	return nil
}
