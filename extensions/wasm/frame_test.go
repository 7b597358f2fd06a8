package wasm

import (
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// reader reads a frame as a guest does.
type reader struct {
	t *testing.T
	f *scratch
}

func (r reader) u32(at int) uint32  { return binary.LittleEndian.Uint32(r.f[at:]) }
func (r reader) i64(at int) int64   { return int64(binary.LittleEndian.Uint64(r.f[at:])) }
func (r reader) f64(at int) float64 { return math.Float64frombits(uint64(r.i64(at))) }
func (r reader) text(at int) string {
	off, n := r.u32(at), r.u32(at+4)
	if uint64(off)+uint64(n) > uint64(r.u32(abi.FrameLength)) {
		r.t.Fatalf("the text at %d is outside of the frame: %d+%d", at, off, n)
	}
	return string(r.f[off : off+n])
}

// Every field of a request is in the frame; a new one must be added to it.
func TestFrameHoldsEverything(t *testing.T) {
	p := open(t, "bench.wasm", Config{Instances: 1})
	g := p.slots[0].guest
	req, res, ups := request(), &policy.Response{Status: 429, Error: "reset", Duration: 3 * time.Second, Bytes: 17, RetryAfter: time.Second, Upstream: "b", Sent: second - 5}, upstreams()
	n := g.encode(policy.HookResponse, req, res, ups)
	r := reader{t, g.view()}
	have := map[string]any{
		"Subsystem": policy.Subsystems()[r.u32(abi.FrameSubsystem)], "Action": r.text(abi.FrameAction), "Key": r.text(abi.FrameKey),
		"Method": r.text(abi.FrameMethod), "URL": r.text(abi.FrameURL), "Host": r.text(abi.FrameHost), "Path": r.text(abi.FramePath),
		"Tenant": r.text(abi.FrameTenant), "Priority": int(r.u32(abi.FramePriority)), "Attempt": int(r.u32(abi.FrameAttempt)),
		"Cost": r.i64(abi.FrameCost), "Size": r.i64(abi.FrameSize), "Now": r.i64(abi.FrameNow), "Deadline": r.i64(abi.FrameDeadline),
		"Stats": policy.Stats{InFlight: r.i64(abi.FrameInFlight), Queued: r.i64(abi.FrameQueued), Rate: r.f64(abi.FrameRate),
			ErrorRate: r.f64(abi.FrameErrorRate), P50: time.Duration(r.i64(abi.FrameP50)), P95: time.Duration(r.i64(abi.FrameP95))},
	}
	elsewhere := map[string]bool{"Header": true, "Body": true, "Ledger": true, "Dry": true, "Part": true, "Explain": true, "Faults": true, "Error": false} // not for guests
	compare(t, *req, have, elsewhere)
	compare(t, *res, map[string]any{"Status": int(r.u32(abi.FrameStatus)), "Error": r.text(abi.FrameError), "Duration": time.Duration(r.i64(abi.FrameDuration)),
		"Bytes": r.i64(abi.FrameBytes), "RetryAfter": time.Duration(r.i64(abi.FrameRetryAfter)), "Upstream": r.text(abi.FrameUpstream),
		"Sent": r.i64(abi.FrameSent)}, elsewhere)
	for i := range ups {
		at := int(r.u32(abi.FrameUpstreams)) + i*abi.UpstreamSizeOf
		compare(t, ups[i], map[string]any{"Name": r.text(at + abi.UpstreamName), "Host": r.text(at + abi.UpstreamHost),
			"Weight": int(r.u32(at + abi.UpstreamWeight)), "Healthy": r.u32(at+abi.UpstreamHealthy) == 1, "InFlight": r.i64(at + abi.UpstreamInFlight),
			"ErrorRate": r.f64(at + abi.UpstreamErrorRate), "P50": time.Duration(r.i64(at + abi.UpstreamP50)),
			"P95": time.Duration(r.i64(at + abi.UpstreamP95)), "Remaining": r.i64(at + abi.UpstreamRemaining)}, nil)
	}
	if r.u32(abi.FrameUpstreamCount) != 3 || n != r.u32(abi.FrameLength) || r.u32(abi.FrameHook) != uint32(policy.HookResponse) || r.u32(abi.FrameMinor)>>16 != 0 {
		t.Errorf("frame of %d bytes: %v", n, r.f[:abi.FrameSizeOf])
	}
	if uint64(r.i64(abi.FrameKeyHash)) != natives.Hash(req.Key) || uint64(r.i64(abi.FrameTenantHash)) != natives.Hash(req.Tenant) {
		t.Error("the hashes are others")
	}
	// The next frame has nothing of this one's answer.
	g.encode(policy.HookRequest, req, nil, nil)
	if r.u32(abi.FrameStatus) != 0 || r.u32(abi.FrameUpstreamCount) != 0 || r.text(abi.FrameError) != "" || r.i64(abi.FrameSent) != 0 {
		t.Error("a request hook sees an answer")
	}
	g.encodeTick(&policy.Tick{Now: 7})
	if r.i64(abi.FrameNow) != 7 || r.text(abi.FrameKey) != "" || r.u32(abi.FrameLength) != abi.FrameSizeOf {
		t.Error("a tick sees a request")
	}
}

// compare checks every field of a structure against what was read from the frame.
func compare(t *testing.T, want any, have map[string]any, elsewhere map[string]bool) {
	t.Helper()
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if elsewhere[name] {
			continue
		}
		if !reflect.DeepEqual(have[name], v.Field(i).Interface()) {
			t.Errorf("%s.%s is %v in the frame, want %v", v.Type(), name, have[name], v.Field(i))
		}
	}
}

// What does not fit is cut and flagged, the long texts first.
func TestFrameCuts(t *testing.T) {
	p := open(t, "bench.wasm", Config{Instances: 1})
	g := p.slots[0].guest
	r := reader{t, g.view()}
	req := request()
	req.URL = "https://api.example.com/" + strings.Repeat("u", 3*abi.FrameArea)
	many := make([]policy.Upstream, 100)
	for i := range many {
		many[i] = policy.Upstream{Name: "name", Host: "host.example.com"}
	}
	g.encode(policy.HookRoute, req, nil, many)
	if r.u32(abi.FrameLength) != abi.FrameArea || r.u32(abi.FrameMinor)>>16 != abi.FlagIsTruncated|abi.FlagIsUpstreamsTruncated {
		t.Errorf("length %d, flags %#x", r.u32(abi.FrameLength), r.u32(abi.FrameMinor)>>16)
	}
	if r.u32(abi.FrameUpstreamCount) != maxUpstreams || r.text(abi.FramePath) != req.Path || !strings.HasPrefix(req.URL, r.text(abi.FrameURL)) {
		t.Errorf("%d upstreams, path %q", r.u32(abi.FrameUpstreamCount), r.text(abi.FramePath))
	}
	if metrics := r.f[abi.MetricsAt : abi.MetricsAt+16]; string(metrics) != strings.Repeat("\x00", 16) {
		t.Errorf("the frame ran into the metrics: %q", metrics)
	}
	req.Key, req.Action = strings.Repeat("k", abi.FrameArea), strings.Repeat("a", 100)
	g.encode(policy.HookRequest, req, nil, nil)
	if !strings.HasPrefix(req.Key, r.text(abi.FrameKey)) || r.text(abi.FrameURL) != "" || r.text(abi.FrameAction) != req.Action {
		t.Errorf("action %q", r.text(abi.FrameAction))
	}
}

func TestHashCache(t *testing.T) {
	var c hashCache
	for _, s := range []string{"", "a", "a", "b", strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 65), "b", ""} {
		if c.hash(s) != natives.Hash(s) {
			t.Errorf("hash of %q", s)
		}
	}
}
