package abi_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

func TestGeneratedFilesAreFresh(t *testing.T) {
	files, err := abi.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		have, err := os.ReadFile(f.Path)
		if err != nil || !bytes.Equal(have, f.Data) {
			t.Errorf("%s is stale: run `go generate ./extensions/wasm/abi` (%v)", f.Path, err)
		}
	}
}

func TestLayoutHasNoGaps(t *testing.T) {
	for _, s := range abi.Table() {
		at := 0
		for _, f := range s.Fields {
			if f.Offset != at || f.Offset%f.Type.Align() != 0 {
				t.Errorf("%s.%s is at %d, want %d aligned to %d", s.Name, f.Name, f.Offset, at, f.Type.Align())
			}
			if f.Meaning == "" {
				t.Errorf("%s.%s has no meaning", s.Name, f.Name)
			}
			at = f.Offset + f.Type.Size()
		}
		if s.Size != at || s.Size%8 != 0 {
			t.Errorf("%s has %d bytes, says %d", s.Name, at, s.Size)
		}
	}
	at := 0
	for _, a := range abi.Areas() {
		if a.Offset != at || a.Offset%16 != 0 {
			t.Errorf("area %s is at %d, want %d", a.Name, a.Offset, at)
		}
		at += a.Size
	}
	if at != abi.ScratchSize {
		t.Errorf("scratch is %d bytes, says %d", at, abi.ScratchSize)
	}
}

// The numbers of the interface are those of the host's own types.
func TestNumbersAgree(t *testing.T) {
	want := map[string]map[string]int64{
		"hook": {"request": int64(policy.HookRequest), "route": int64(policy.HookRoute), "response": int64(policy.HookResponse),
			"done": int64(policy.HookDone), "tick": int64(policy.HookTick)},
		"action": {"none": int64(policy.ActionNone), "allow": int64(policy.ActionAllow), "deny": int64(policy.ActionDeny),
			"delay": int64(policy.ActionDelay), "route": int64(policy.ActionRoute), "retry": int64(policy.ActionRetry)},
		"limiter": {"token_bucket": int64(limit.TokenBucket), "concurrency": int64(limit.Concurrency), "upstream": int64(limit.Upstream),
			"fixed_window": int64(limit.FixedWindow), "sliding_window": int64(limit.SlidingWindow), "sliding_log": int64(limit.SlidingLog),
			"adaptive": int64(limit.Adaptive), "throttle": int64(limit.Throttle), "retry_budget": int64(limit.RetryBudget),
			"fair": int64(limit.Fair), "calendar": int64(limit.Calendar)},
		"metric": {"counter": int64(metrics.Counter), "gauge": int64(metrics.Gauge)},
		"value": {"none": int64(state.KindNone), "number": int64(state.KindNumber), "text": int64(state.KindText),
			"bool": int64(state.KindBool), "bytes": int64(state.KindBytes)},
	}
	for _, s := range abi.Sets() {
		for _, c := range s.Consts {
			if names, ok := want[s.Name]; ok && names[c.Name] != c.Value {
				t.Errorf("%s.%s is %d, the host says %d", s.Name, c.Name, c.Value, names[c.Name])
			}
		}
		if names, ok := want[s.Name]; ok && len(names) != len(s.Consts) {
			t.Errorf("%s has %d numbers, the host %d", s.Name, len(s.Consts), len(names))
		}
	}
	if abi.MetricsSizeOf != metrics.BlockHeader {
		t.Errorf("the metrics header has %d bytes, the host writes %d", abi.MetricsSizeOf, metrics.BlockHeader)
	}
}
