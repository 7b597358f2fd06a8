package wasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/extensions/policy"
)

// wazero hands host functions the very context of the call: guests are found by it.
func TestHostFunctionsGetTheGuest(t *testing.T) {
	r := wazero.NewRuntime(bg)
	defer closeQuietly(r)
	var got context.Context
	_, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(ctx context.Context, _ []uint64) { got = ctx }), nil, nil).Export("f").Instantiate(bg)
	if err != nil {
		t.Fatal(err)
	}
	// One export "g" that calls env.f.
	m, err := r.Instantiate(bg, []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x09\x01\x03env\x01f\x00\x00\x03\x02\x01\x00\x07\x05\x01\x01g\x00\x01\x0a\x06\x01\x04\x00\x10\x00\x0b"))
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{}
	if err := m.ExportedFunction("g").CallWithStack(g, nil); err != nil || got != context.Context(g) {
		t.Errorf("%v: the host function got %T, not the context of the call", err, got)
	}
	if _, ok := g.Deadline(); ok || g.Done() != nil || g.Err() != nil || g.Value("x") != nil {
		t.Error("the context of a guest says something")
	}
}

// Module variables belong to one guest: single keeps them, key keeps them for a key.
func TestIsolation(t *testing.T) {
	count := func(p *Policy, key string) int64 {
		t.Helper()
		req, d := request(), policy.Decision{}
		req.Path, req.Key = "/state", key
		if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
		return d.Cost
	}
	single := open(t, "faults.wasm", Config{Override: policy.Options{Isolation: policy.IsolationSingle}, Instances: 8})
	if _, total := single.Guests(); total != 1 {
		t.Errorf("%d guests", total)
	}
	key := open(t, "faults.wasm", Config{Override: policy.Options{Isolation: policy.IsolationKey}, Instances: 4})
	for i := range int64(5) {
		if n := count(single, fmt.Sprint(i)); n != i+1 {
			t.Errorf("single: call %d sees %d", i+1, n)
		}
		if n := count(key, "one key"); n != i+1 {
			t.Errorf("key: call %d sees %d", i+1, n)
		}
	}
}

// A hook that finds no guest within the budget is a fault, and waits no longer.
func TestBusy(t *testing.T) {
	for _, isolation := range []policy.Isolation{policy.IsolationPool, policy.IsolationSingle, policy.IsolationKey} {
		p := open(t, "faults.wasm", Config{Instances: 1, Override: policy.Options{Isolation: isolation, Budget: 10 * time.Millisecond}})
		s, err := p.acquire(policy.HookRequest, "")
		if err != nil {
			t.Fatal(err)
		}
		req, d := request(), policy.Decision{}
		req.Path = "/ok"
		if err := p.OnRequest(req, &d); !isFault(err, policy.FaultBusy) {
			t.Errorf("%s: %v, want a busy fault", isolation, err)
		}
		if err := p.tick(s, &policy.Tick{}); !isFault(err, policy.FaultBusy) {
			t.Errorf("%s: tick: %v, want a busy fault", isolation, err)
		}
		time.AfterFunc(time.Millisecond, func() { p.release(s) })
		p.options.Budget = time.Minute // the release wakes the hook, not the clock
		if err := p.OnRequest(req, &d); err != nil {
			t.Errorf("%s: %v after the guest became free", isolation, err)
		}
	}
}

// A guest whose hook has no processor is not a guest that hangs: its next caller waits on.
func TestAWaitCountsProcessorTime(t *testing.T) {
	p := open(t, "faults.wasm", Config{Instances: 1, Override: policy.Options{Isolation: policy.IsolationPool, Budget: 100 * time.Millisecond}})
	s, err := p.acquire(policy.HookRequest, "")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(350*time.Millisecond, func() { p.release(s) })
	req, d := request(), policy.Decision{}
	req.Path = "/ok"
	if err := p.OnRequest(req, &d); err != nil {
		t.Errorf("%v, while the process had nothing to do", err)
	}
}

// Callers that come at once wait for each other longer than the budget of one, and all are answered.
func TestACrowdIsAnswered(t *testing.T) {
	p := open(t, "faults.wasm", Config{Instances: 1, Override: policy.Options{Isolation: policy.IsolationPool, Budget: 2 * time.Millisecond}})
	s, err := p.acquire(policy.HookRequest, "")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		req, d := request(), policy.Decision{}
		req.Path = "/ok"
		got <- p.OnRequest(req, &d)
	}()
	gate := p.slots[0].pool
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; { // others take their turns meanwhile
		gate.turn()
		runtime.Gosched()
	}
	p.release(s)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// Many callers, guests that trap among them: every call is answered, and Close ends it cleanly.
func TestHammer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	e, err := NewEngine(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for round := range 3 {
		p, err := e.Open(bg, Source{Path: "testdata/faults.wasm"}, Config{Instances: 3, Fuel: 2000, Override: policy.Options{Budget: 5 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for c := range 8 {
			callers.Go(func() {
				paths := []string{"/ok", "/ok", "/trap", "/ok", "/loop", "/leak"}
				for i := range 120 {
					req, d := request(), policy.Decision{}
					req.Path = paths[(c+i)%len(paths)]
					err := p.OnRequest(req, &d)
					switch {
					case errors.Is(err, policy.ErrClosed):
						return
					case req.Path == "/ok" && (err != nil || d.Action != policy.ActionAllow):
						t.Errorf("/ok: %v %+v", err, d)
					case req.Path == "/trap" && !isFault(err, policy.FaultTrap), req.Path == "/loop" && !isFault(err, policy.FaultBudget):
						t.Errorf("%s: %v", req.Path, err)
					}
					if i == 60 && c == 0 && round > 0 {
						callers.Go(func() { p.Close() })
					}
				}
			})
		}
		callers.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		var d policy.Decision
		if err := p.OnRequest(request(), &d); !errors.Is(err, policy.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// Policies that come and go leave nothing behind.
func TestReloadsLeakNothing(t *testing.T) {
	e := newEngine(t)
	cycle := func(n int) uint64 {
		for range n {
			p, err := e.Open(bg, Source{Path: "testdata/bench.wasm"}, Config{Instances: 4})
			if err != nil {
				t.Fatal(err)
			}
			var d policy.Decision
			if err := p.OnRequest(request(), &d); err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		runtime.GC() // the first one runs finalizers
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	warm := cycle(10)
	if after := cycle(60); after > warm+(1<<20) { // a leaked instance alone is 90 KiB
		t.Errorf("the heap grew from %d to %d bytes", warm, after)
	}
}

// An instance that cannot be made again leaves the others at work, and is tried again later.
func TestRefillFails(t *testing.T) {
	p := open(t, "words.wasm", Config{Instances: 2, Override: policy.Options{Budget: time.Second}})
	name := p.declared.limiters[0].name
	p.declared.limiters[0].name = "other" // so that instances differ
	fail, d := request(), policy.Decision{}
	fail.Path = "/fail"
	if err := p.OnRequest(fail, &d); !isFault(err, policy.FaultException) {
		t.Fatalf("%v", err)
	}
	req := request()
	for range 50 {
		if err := p.OnRequest(req, &d); err != nil {
			t.Fatal(err)
		}
	}
	p.refills.Wait()
	if cause := p.refillErr.Load(); cause == nil || !errors.Is(*cause, errDiffers) {
		t.Errorf("the refill did not fail")
	}
	p.declared.limiters[0].name = name
	for deadline := time.Now().Add(5 * time.Second); p.refillErr.Load() != nil; {
		if err := p.OnRequest(req, &d); err != nil || time.Now().After(deadline) {
			t.Fatalf("%v, or no new guest", err)
		}
		p.refills.Wait()
	}
}
