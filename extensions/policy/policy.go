package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Hook names one question that a policy can be asked.
type Hook uint8

// The hooks, in the numbering of the Wasm ABI.
const (
	HookRequest  Hook = iota // before an attempt
	HookRoute                // which upstream, where HookRequest named none
	HookResponse             // at the headers of the answer
	HookDone                 // at its end
	HookTick                 // once a second
	hookCount
)

var hookNames = [hookCount]string{"onRequest", "onRoute", "onResponse", "onDone", "onTick"}

// String returns the JavaScript name of the hook.
func (h Hook) String() string {
	if h < hookCount {
		return hookNames[h]
	}
	return "invalid"
}

// ParseHook is the inverse of String; it also takes the snake_case form.
func ParseHook(name string) (Hook, bool) {
	plain := strings.ToLower(strings.ReplaceAll(name, "_", ""))
	for i, n := range hookNames {
		if strings.ToLower(n) == plain {
			return Hook(i), true
		}
	}
	return 0, false
}

// Hooks is a set of hooks.
type Hooks uint8

// HooksOf returns the set of hs.
func HooksOf(hs ...Hook) Hooks {
	var s Hooks
	for _, h := range hs {
		s |= 1 << h
	}
	return s
}

// Has reports whether h is in the set.
func (s Hooks) Has(h Hook) bool { return s&(1<<h) != 0 }

// List returns the hooks in the set, in order.
func (s Hooks) List() []Hook {
	var hs []Hook
	for h := range hookCount {
		if s.Has(h) {
			hs = append(hs, h)
		}
	}
	return hs
}

// Names lists the JavaScript names of the hooks in the set, in order.
func (s Hooks) Names() []string {
	var names []string
	for _, h := range s.List() {
		names = append(names, h.String())
	}
	return names
}

// Policy answers hooks. All methods are safe for concurrent use until Close.
// A hook that the policy does not have answers nothing and returns nil.
//
// A hook writes its answer into d, which arrives zero, and returns an error only
// for a fault: *Fault says of what kind. After a fault d is ignored. Policies
// never wait.
type Policy interface {
	// Name is unique within a chain.
	Name() string
	// Hooks says which hooks are worth calling.
	Hooks() Hooks
	OnRequest(req *Request, d *Decision) error
	// OnRoute chooses among upstreams by setting d.Upstream, or denies.
	OnRoute(req *Request, upstreams []Upstream, d *Decision) error
	// OnResponse sees an answer at its headers and may set ActionRetry.
	OnResponse(req *Request, res *Response, d *Decision) error
	// OnDone sees the end of every attempt that started.
	OnDone(req *Request, res *Response) error
	OnTick(t *Tick) error
	// Close waits for running hooks and frees the guests. The owner of the
	// generation calls it once, after the last lease on it ended.
	Close() error
}

// Base has every hook and answers none of them. Go policies embed it and
// override what they need.
type Base struct{}

// Hooks returns the request hook alone.
func (Base) Hooks() Hooks { return HooksOf(HookRequest) }

// OnRequest has no opinion.
func (Base) OnRequest(*Request, *Decision) error { return nil }

// OnRoute names no upstream.
func (Base) OnRoute(*Request, []Upstream, *Decision) error { return nil }

// OnResponse has no opinion.
func (Base) OnResponse(*Request, *Response, *Decision) error { return nil }

// OnDone does nothing.
func (Base) OnDone(*Request, *Response) error { return nil }

// OnTick does nothing.
func (Base) OnTick(*Tick) error { return nil }

// Close does nothing.
func (Base) Close() error { return nil }

// FaultKind is the sort of thing that went wrong in a policy.
type FaultKind uint8

// The kinds of fault.
const (
	FaultException   FaultKind = iota // a thrown error
	FaultTrap                         // a Wasm trap
	FaultBudget                       // the budget of time or fuel was spent
	FaultBusy                         // no guest became free within the budget
	FaultBadDecision                  // the answer is not a decision
	FaultUpstream                     // the answer names an upstream that does not exist
	FaultPanic                        // a bug of the host, caught
	faultKinds
)

var faultNames = [faultKinds]string{"exception", "trap", "budget", "busy", "bad_decision", "unknown_upstream", "panic"}

// String returns the name used in metrics and status.
func (k FaultKind) String() string {
	if k < faultKinds {
		return faultNames[k]
	}
	return "invalid"
}

// FaultKinds lists all kinds in order.
func FaultKinds() []FaultKind {
	ks := make([]FaultKind, faultKinds)
	for i := range ks {
		ks[i] = FaultKind(i)
	}
	return ks
}

// Fault is a hook that failed.
type Fault struct {
	Policy string
	Hook   Hook
	Kind   FaultKind
	Err    error  // what the guest or the engine said
	Where  string // "file:line:col" where known
	Stack  string // guest frames, one a line, where known
}

// Error says policy, hook, kind, place and cause on one line.
func (f *Fault) Error() string {
	where := f.Where
	if where != "" {
		where += ": "
	}
	return fmt.Sprintf("%s: %s: %s: %s%v", f.Policy, f.Hook, f.Kind, where, f.Err)
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// ErrClosed is returned by a hook of a policy that was closed.
var ErrClosed = errors.New("policy: closed")
