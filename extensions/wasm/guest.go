package wasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// Bounds of what a guest may do in one hook, or while it loads.
const (
	maxHostCalls     = 64
	maxLoadHostCalls = 4096
	maxLogBytes      = 4096
	maxDepth         = 1000 // nested calls
)

// guest is one instance of a module. It is used by one goroutine at a time: whoever holds its slot.
//
// It is also the context of its own calls: wazero hands that very value to host functions, which is how they know their guest
// without a lookup. Value returns nil, because wazero asks for several keys on each call.
type guest struct {
	policy  *Policy
	module  api.Module
	memory  api.Memory
	on      api.Function
	fuel    api.MutableGlobal // nil until the module is instantiated: its start function may not call the host
	depth   api.MutableGlobal
	scratch uint32
	stack   [2]uint64
	call    *natives.Call

	// Of the hook that runs.
	calls     int // host calls left
	logLeft   int // bytes
	handles   []admitted
	upstreams []policy.Upstream
	trapped   error // what a host function stopped the guest for
	trapKind  policy.FaultKind
	lastErr   error // what the last failed host call failed for

	// While it loads.
	loadErr          error
	limiters, values int // declared so far

	block       *[]byte // the metrics in its scratch area
	key, tenant hashCache
	texts       map[string]string
	random      uint64
}

// Deadline is never: fuel bounds a call.
func (g *guest) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done never fires.
func (g *guest) Done() <-chan struct{} { return nil }

// Err is always nil.
func (g *guest) Err() error { return nil }

// Value knows no key.
func (g *guest) Value(any) any { return nil }

// run calls gaia_on with a frame of n bytes and returns the packed decision, or the *policy.Fault that stopped the guest.
func (g *guest) run(hook policy.Hook, n uint32) (uint64, error) {
	g.refill(g.policy.fuel, maxHostCalls)
	g.stack[0], g.stack[1] = uint64(hook), uint64(n)
	if err := g.on.CallWithStack(g, g.stack[:]); err != nil {
		return 0, g.classify(hook, err)
	}
	return g.stack[0], nil
}

// refill sets the budgets of one call. Depth need not be set again: a call that returns has given back what it took.
func (g *guest) refill(fuel int64, calls int) {
	g.fuel.Set(uint64(fuel))
	g.calls, g.logLeft = calls, maxLogBytes
	g.trapped, g.lastErr = nil, nil
}

// end forgets the hook.
func (g *guest) end() {
	g.call.End()
	clear(g.handles)
	g.handles, g.upstreams = g.handles[:0], nil
}

// classify turns the error of a call into a fault.
func (g *guest) classify(hook policy.Hook, err error) *policy.Fault {
	message, stack := splitTrace(err)
	f := &policy.Fault{Policy: g.policy.name, Hook: hook, Stack: stack}
	f.Kind, f.Err = g.cause(err, message)
	return f
}

func (g *guest) cause(err error, message string) (policy.FaultKind, error) {
	var bug runtime.Error
	switch {
	case g.trapped != nil:
		return g.trapKind, g.trapped
	case int64(g.fuel.Get()) < 0:
		return policy.FaultBudget, errors.New("fuel: the budget is spent")
	case int32(g.depth.Get()) < 0:
		return policy.FaultBudget, fmt.Errorf("call depth: more than %d nested calls", maxDepth)
	case strings.Contains(message, "stack overflow"):
		return policy.FaultBudget, errors.New("call depth: the stack is full")
	case errors.As(err, &bug):
		return policy.FaultPanic, errors.New(message)
	}
	return policy.FaultTrap, errors.New(message)
}

// splitTrace takes the first line of an error of wazero, and its frames, one a line.
func splitTrace(err error) (message, stack string) {
	message, rest, _ := strings.Cut(err.Error(), "\n")
	message = strings.Replace(message, "wasm error: ", "", 1)
	message = strings.TrimSuffix(message, " (recovered by wazero)")
	_, frames, found := strings.Cut("\n"+rest, "wasm stack trace:\n")
	if !found {
		return message, ""
	}
	lines := strings.Split(frames, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimSpace(lines[i]), ".")
	}
	return message, strings.Join(lines, "\n")
}

// trap stops the guest from within a host function; the hook fails with a fault of that kind.
func (g *guest) trap(kind policy.FaultKind, format string, args ...any) {
	g.trapKind, g.trapped = kind, fmt.Errorf(format, args...)
	panic(g.trapped)
}

// charge takes fuel for work that the host does by length.
func (g *guest) charge(units uint64) {
	left := int64(g.fuel.Get()) - int64(units)
	g.fuel.Set(uint64(left))
	if left < 0 {
		g.trap(policy.FaultBudget, "fuel: the budget is spent")
	}
}

// view returns the scratch area. It is valid until the guest runs again: its memory may move when it grows.
func (g *guest) view() *[abi.ScratchSize]byte {
	b, _ := g.memory.Read(g.scratch, abi.ScratchSize)
	return (*[abi.ScratchSize]byte)(b)
}

func (g *guest) close() {
	// Closing an instance without files or a close notifier cannot fail.
	_ = g.module.Close(context.Background())
}
