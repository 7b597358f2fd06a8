package wasm

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

func TestFaults(t *testing.T) {
	cases := []struct {
		path string
		kind policy.FaultKind
		want string
	}{
		{"/loop", policy.FaultBudget, "fuel"},
		{"/fill", policy.FaultBudget, "fuel"},
		{"/hash", policy.FaultBudget, "fuel"},
		{"/recurse", policy.FaultBudget, "call depth"},
		{"/calls", policy.FaultBudget, "host calls: more than 64"},
		{"/trap", policy.FaultTrap, "unreachable"},
		{"/divide", policy.FaultTrap, "integer divide by zero"},
		{"/read", policy.FaultTrap, "out of bounds memory access"},
		{"/grow", policy.FaultTrap, "unreachable"},
		{"/pointer", policy.FaultTrap, "outside of the memory"},
		{"/length", policy.FaultTrap, "outside of the memory"},
		{"/answer/long", policy.FaultBadDecision, "records of 4294967295 bytes"},
	}
	p := open(t, "faults.wasm", Config{MemoryPages: 32})
	req, d := request(), policy.Decision{}
	for _, c := range cases {
		fastest := time.Hour
		for range 3 { // the guest that replaces it answers again
			req.Path = c.path
			start := time.Now()
			d.Reset()
			err := p.OnRequest(req, &d)
			if !isFault(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v; want a fault %s with %q", c.path, err, c.kind, c.want)
			}
			fastest = min(fastest, time.Since(start))
			req.Path = "/ok"
			d.Reset()
			if err := p.OnRequest(req, &d); err != nil || d.Action != policy.ActionAllow {
				t.Errorf("after %s: %v %+v", c.path, err, d)
			}
		}
		if fastest > 500*time.Millisecond { // a busy machine and the race detector included
			t.Errorf("%s took %v", c.path, fastest)
		}
	}
	var f *policy.Fault
	req.Path = "/trap"
	if err := p.OnRequest(req, &d); !errors.As(err, &f) || f.Policy != "p" || f.Hook != policy.HookRequest || !strings.Contains(f.Stack, "gaia_") {
		t.Errorf("the fault is %+v", f)
	}
	for _, path := range []string{"/list", "/logs"} { // refused or cut, not a fault
		req.Path = path
		if err := p.OnRequest(req, &d); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The same module and input spend the same fuel: the smallest budget that suffices once always suffices, and one unit less
// never does.
func TestFuelIsDeterministic(t *testing.T) {
	spent := func() int64 {
		p := open(t, "bench.wasm", Config{Instances: 1})
		var d policy.Decision
		if err := p.OnRequest(request(), &d); err != nil {
			t.Fatal(err)
		}
		return p.fuel - int64(p.slots[0].guest.fuel.Get())
	}
	need := spent()
	if need <= 0 || spent() != need {
		t.Fatalf("spent %d, then something else", need)
	}
	var d policy.Decision
	if err := open(t, "bench.wasm", Config{Fuel: need}).OnRequest(request(), &d); err != nil {
		t.Error(err)
	}
	if err := open(t, "bench.wasm", Config{Fuel: need - 1}).OnRequest(request(), &d); !isFault(err, policy.FaultBudget) {
		t.Errorf("with one unit less: %v", err)
	}
}

func TestBadDecisions(t *testing.T) {
	p := open(t, "faults.wasm", Config{Instances: 2})
	word := func(action, status, reason, handle, arg uint64) uint64 {
		return action<<abi.WordIsActionShift | status<<abi.WordIsStatusShift | reason<<abi.WordIsReasonShift | handle<<abi.WordIsHandleShift | arg
	}
	record := func(tag, size int, value string) string {
		b := binary.LittleEndian.AppendUint16(nil, uint16(tag))
		return string(binary.LittleEndian.AppendUint16(b, uint16(size))) + value
	}
	cases := []struct {
		name string
		word uint64
		raw  string
		kind policy.FaultKind
	}{
		{"error", errorBit | 5, "", policy.FaultException},
		{"unknown action", word(6, 0, 0, 0, 0), "", policy.FaultBadDecision},
		{"reserved bits", 1<<60 | word(1, 0, 0, 0, 0), "", policy.FaultBadDecision},
		{"status under 400", word(2, 200, 0, 0, 0), "", policy.FaultBadDecision},
		{"status over 599", word(2, 600, 0, 0, 0), "", policy.FaultBadDecision},
		{"status of an allow", word(1, 429, 0, 0, 0), "", policy.FaultBadDecision},
		{"time of an allow", word(1, 0, 0, 0, 9), "", policy.FaultBadDecision},
		{"unknown reason", word(1, 0, 2, 0, 0), "", policy.FaultBadDecision},
		{"handle never given", word(1, 0, 0, 1, 0), "", policy.FaultBadDecision},
		{"retry of a request", word(5, 0, 0, 0, 0), "", policy.FaultBadDecision},
		{"route to nowhere", word(4, 0, 0, 0, 0), "", policy.FaultBadDecision},
		{"cut record", 0, "\x01", policy.FaultBadDecision},
		{"record beyond the end", 0, record(abi.RecordIsKey, 9, "key"), policy.FaultBadDecision},
		{"unknown record", 0, record(99, 0, ""), policy.FaultBadDecision},
		{"key that is no text", 0, record(abi.RecordIsKey, 1, "\xff"), policy.FaultBadDecision},
		{"key twice", 0, record(abi.RecordIsKey, 1, "a") + record(abi.RecordIsKey, 1, "b"), policy.FaultBadDecision},
		{"priority 10", 0, record(abi.RecordIsPriority, 4, "\x0a\x00\x00\x00"), policy.FaultBadDecision},
		{"short cost", 0, record(abi.RecordIsCost, 4, "\x0a\x00\x00\x00"), policy.FaultBadDecision},
		{"negative cost", 0, record(abi.RecordIsCost, 8, "\xff\xff\xff\xff\xff\xff\xff\xff"), policy.FaultBadDecision},
		{"no timeout", 0, record(abi.RecordIsTimeout, 8, "\x00\x00\x00\x00\x00\x00\x00\x00"), policy.FaultBadDecision},
		{"delay of an allow", 0, record(abi.RecordIsDelay, 8, "\x01\x00\x00\x00\x00\x00\x00\x00"), policy.FaultBadDecision},
		{"header without name", 0, record(abi.RecordIsHeader, 2, "\x00\x00"), policy.FaultBadDecision},
		{"header with a bad name", 0, record(abi.RecordIsHeader, 5, "\x02\x00a:b"), policy.FaultBadDecision},
		{"header that splits", 0, record(abi.RecordIsHeader, 6, "\x01\x00a\r\nb"), policy.FaultBadDecision},
	}
	for _, c := range cases {
		req, d := request(), policy.Decision{}
		req.Cost, req.Path = int64(c.word), "/word"
		if c.raw != "" {
			req.Path, req.Header = "/answer", headers{"raw": c.raw}
		}
		if err := p.OnRequest(req, &d); !isFault(err, c.kind) {
			t.Errorf("%s: %v %+v", c.name, err, d)
		}
	}
	if idle, total := p.Guests(); idle != total || total != 2 {
		t.Errorf("%d of %d guests idle after bad decisions: none of them trapped", idle, total)
	}
	req, d := request(), policy.Decision{}
	req.Path, req.Cost = "/word", int64(word(2, 503, 0, 0, math.MaxUint32))
	if err := p.OnRequest(req, &d); err != nil || d.RetryAfter != policy.MaxDelay {
		t.Errorf("too long a time: %v %+v, want it held to %v", err, d, policy.MaxDelay)
	}
	req.Cost = 3
	if err := p.OnRoute(req, upstreams(), &d); !isFault(err, policy.FaultUpstream) {
		t.Errorf("an index that does not exist: %v", err)
	}
	if err := p.OnResponse(req, &policy.Response{}, &d); !isFault(err, policy.FaultBadDecision) {
		t.Errorf("a denial of an answer: %v", err)
	}
}

// A guest that loops does not hold up the garbage collector: fuel ends it, where wazero could not preempt it.
func TestGuestsDoNotHoldUpTheCollector(t *testing.T) {
	p := open(t, "faults.wasm", Config{})
	stop := make(chan struct{})
	var loops sync.WaitGroup
	for range 2 {
		loops.Go(func() {
			req, d := request(), policy.Decision{}
			for req.Path = "/loop"; ; {
				select {
				case <-stop:
					return
				default:
					if p.OnRequest(req, &d) == nil {
						t.Error("a loop without end ended")
					}
				}
			}
		})
	}
	took := make([]time.Duration, 9)
	for i := range took {
		start := time.Now()
		runtime.GC()
		took[i] = time.Since(start)
	}
	close(stop)
	loops.Wait()
	slices.Sort(took)
	if took[len(took)/3] > 50*time.Millisecond { // others on the machine make them longer, never shorter
		t.Errorf("collections took %v", took)
	}
}

// A guest whose memory grew is replaced, where guests have no memory to lose.
func TestMemoryIsRecycled(t *testing.T) {
	p := open(t, "faults.wasm", Config{Instances: 1, MemoryPages: 16})
	req, d := request(), policy.Decision{}
	req.Path, req.Cost = "/leak", 12
	for range 5 {
		d.Reset()
		if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
	}
	req.Path = "/ok"
	if err := p.OnRequest(req, &d); err != nil {
		t.Fatal(err)
	}
	if size := p.slots[0].guest.memory.Size(); size > 2<<16 {
		t.Errorf("the guest that answers has %d bytes", size)
	}
	keep := open(t, "faults.wasm", Config{MemoryPages: 16, Override: policy.Options{Isolation: policy.IsolationSingle}})
	req.Path = "/leak"
	if err := keep.OnRequest(req, &d); err != nil {
		t.Fatal(err)
	}
	if size := keep.slots[0].guest.memory.Size(); size <= 12<<16 {
		t.Errorf("a single guest lost its memory: %d bytes", size)
	}
}
