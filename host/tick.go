package host

import (
	"context"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/valyala/bytebufferpool"
)

// tick tells the policies once a second what the subsystems' numbers are: as pooled
// maps, and as one pooled block for Wasm guests.
func (h *Host) tick(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	h.takeTallies()
	for version := uint64(1); ; version++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			h.takeTallies()
			h.tickOnce(version)
		}
	}
}

func (h *Host) tickOnce(version uint64) {
	h.ticks.Store(version)
	if s := h.witness.shadow.Load(); s != nil {
		s.Tick(h.clock())
	}
	if g := h.slot.Lease(); g != nil {
		defer g.Release()
		h.tickChain(g.Chain(), nil)
	}
}

// tickChain tells the policies of a chain the numbers of the moment; dry is their
// overlay, nil for those in force.
func (h *Host) tickChain(chain *policy.Chain, dry any) {
	if !chain.Hooks().Has(policy.HookTick) {
		return
	}
	block := bytebufferpool.Get()
	defer bytebufferpool.Put(block)
	metrics.AppendBlock(block, h.ticks.Load(), h.Sources()...)
	views := map[string]*metrics.View{}
	defer func() {
		for _, v := range views {
			v.Release()
		}
	}()
	chain.OnTick(&policy.Tick{Now: h.clock(), Block: block.B, Dry: dry, Metrics: func(subsystem string) map[string]float64 {
		if views[subsystem] == nil {
			v := h.natives.Numbers(subsystem)
			if v == nil {
				return nil
			}
			views[subsystem] = v
		}
		return views[subsystem].Map()
	}})
}
