package wasm

import (
	"encoding/binary"
	"math"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// maxUpstreams bounds the table of the route hook, so that texts find room behind it.
const maxUpstreams = 64

// unknownSubsystem is written for a subsystem that the interface has no number for.
const unknownSubsystem = 255

type scratch = [abi.ScratchSize]byte

func put16(f *scratch, at int, v uint16)   { binary.LittleEndian.PutUint16(f[at:], v) }
func put32(f *scratch, at int, v uint32)   { binary.LittleEndian.PutUint32(f[at:], v) }
func put64(f *scratch, at int, v uint64)   { binary.LittleEndian.PutUint64(f[at:], v) }
func putF64(f *scratch, at int, v float64) { put64(f, at, math.Float64bits(v)) }

// heap places texts behind the header and the table.
type heap struct {
	f   *scratch
	at  int
	cut bool
}

// text writes s and, at field, where it is. A text that does not fit is cut.
func (h *heap) text(field int, s string) {
	n := copy(h.f[h.at:abi.FrameArea], s)
	put32(h.f, field, uint32(h.at))
	put32(h.f, field+4, uint32(n))
	h.at += n
	h.cut = h.cut || n < len(s)
}

// encode writes the frame of a hook about an operation and returns its length. The texts that may be long come last.
func (g *guest) encode(hook policy.Hook, req *policy.Request, res *policy.Response, ups []policy.Upstream) uint32 {
	f := g.view()
	flags := g.refreshMetrics(f)
	shown := min(len(ups), maxUpstreams)
	if shown < len(ups) {
		flags |= abi.FlagIsUpstreamsTruncated
	}
	h := heap{f: f, at: abi.FrameSizeOf + shown*abi.UpstreamSizeOf}
	put32(f, abi.FrameHook, uint32(hook))
	put32(f, abi.FrameSubsystem, subsystemNumber(req.Subsystem))
	put32(f, abi.FrameAttempt, uint32(req.Attempt))
	put32(f, abi.FramePriority, uint32(req.Priority))
	put64(f, abi.FrameNow, uint64(req.Now))
	put64(f, abi.FrameDeadline, uint64(req.Deadline))
	put64(f, abi.FrameCost, uint64(req.Cost))
	put64(f, abi.FrameSize, uint64(req.Size))
	put64(f, abi.FrameKeyHash, g.key.hash(req.Key))
	put64(f, abi.FrameTenantHash, g.tenant.hash(req.Tenant))
	put64(f, abi.FrameInFlight, uint64(req.Stats.InFlight))
	put64(f, abi.FrameQueued, uint64(req.Stats.Queued))
	putF64(f, abi.FrameRate, req.Stats.Rate)
	putF64(f, abi.FrameErrorRate, req.Stats.ErrorRate)
	put64(f, abi.FrameP50, uint64(req.Stats.P50))
	put64(f, abi.FrameP95, uint64(req.Stats.P95))
	h.text(abi.FrameAction, req.Action)
	h.text(abi.FrameKey, req.Key)
	h.text(abi.FrameMethod, req.Method)
	h.text(abi.FrameHost, req.Host)
	h.text(abi.FrameTenant, req.Tenant)
	h.upstreams(ups[:shown])
	h.response(res)
	h.text(abi.FramePath, req.Path)
	h.text(abi.FrameURL, req.URL)
	return h.seal(flags)
}

// encodeTick writes the frame of the tick hook.
func (g *guest) encodeTick(t *policy.Tick) uint32 {
	f := g.view()
	flags := g.refreshMetrics(f)
	clear(f[:abi.FrameSizeOf])
	put32(f, abi.FrameHook, uint32(policy.HookTick))
	put32(f, abi.FrameSubsystem, unknownSubsystem)
	put64(f, abi.FrameNow, uint64(t.Now))
	h := heap{f: f, at: abi.FrameSizeOf}
	return h.seal(flags)
}

// seal writes what is known last.
func (h *heap) seal(flags uint16) uint32 {
	if h.cut {
		flags |= abi.FlagIsTruncated
	}
	put32(h.f, abi.FrameLength, uint32(h.at))
	put16(h.f, abi.FrameMinor, abi.Minor)
	put16(h.f, abi.FrameFlags, flags)
	return uint32(h.at)
}

func (h *heap) upstreams(ups []policy.Upstream) {
	if len(ups) == 0 {
		put64(h.f, abi.FrameUpstreams, 0) // and upstream_count
		return
	}
	put32(h.f, abi.FrameUpstreams, abi.FrameSizeOf)
	put32(h.f, abi.FrameUpstreamCount, uint32(len(ups)))
	for i := range ups {
		u, at := &ups[i], abi.FrameSizeOf+i*abi.UpstreamSizeOf
		healthy := uint32(0)
		if u.Healthy {
			healthy = 1
		}
		h.text(at+abi.UpstreamName, u.Name)
		h.text(at+abi.UpstreamHost, u.Host)
		put32(h.f, at+abi.UpstreamWeight, uint32(u.Weight))
		put32(h.f, at+abi.UpstreamHealthy, healthy)
		put64(h.f, at+abi.UpstreamInFlight, uint64(u.InFlight))
		putF64(h.f, at+abi.UpstreamErrorRate, u.ErrorRate)
		put64(h.f, at+abi.UpstreamP50, uint64(u.P50))
		put64(h.f, at+abi.UpstreamP95, uint64(u.P95))
		put64(h.f, at+abi.UpstreamRemaining, uint64(u.Remaining))
	}
}

func (h *heap) response(res *policy.Response) {
	if res == nil {
		clear(h.f[abi.FrameStatus:abi.FrameSizeOf])
		return
	}
	put64(h.f, abi.FrameStatus, uint64(uint32(res.Status)))
	put64(h.f, abi.FrameDuration, uint64(res.Duration))
	put64(h.f, abi.FrameBytes, uint64(res.Bytes))
	put64(h.f, abi.FrameRetryAfter, uint64(res.RetryAfter))
	put64(h.f, abi.FrameSent, uint64(res.Sent))
	h.text(abi.FrameError, res.Error)
	h.text(abi.FrameUpstream, res.Upstream)
}

// refreshMetrics copies the newest block if the guest has another one, and returns the flag that it did not fit.
func (g *guest) refreshMetrics(f *scratch) uint16 {
	b := g.policy.block.Load()
	if b == nil {
		return 0
	}
	fits := len(*b) <= abi.MetricsArea
	if b != g.block {
		n := copy(f[abi.MetricsAt:abi.MetricsAt+abi.MetricsArea], *b)
		put32(f, abi.MetricsAt+abi.MetricsCount, uint32(n-abi.MetricsSizeOf)/8)
		g.block = b
	}
	if fits {
		return 0
	}
	return abi.FlagIsMetricsTruncated
}

func subsystemNumber(name string) uint32 {
	switch name {
	case policy.SubsystemAPI:
		return 0
	case policy.SubsystemFiles:
		return 1
	case policy.SubsystemBrowser:
		return 2
	case policy.SubsystemProcess:
		return 3
	case policy.SubsystemNetwork:
		return 4
	}
	return unknownSubsystem
}

// hashCache remembers the hash of the text seen last: hashing costs more than the rest of a frame, and texts repeat. It keeps
// a copy, because the text belongs to the asker.
type hashCache struct {
	text [64]byte
	n    int
	sum  uint64
}

func (c *hashCache) hash(s string) uint64 {
	if c.sum != 0 && string(c.text[:c.n]) == s {
		return c.sum
	}
	sum := natives.Hash(s)
	if len(s) <= len(c.text) {
		c.n, c.sum = copy(c.text[:], s), sum
	}
	return sum
}
