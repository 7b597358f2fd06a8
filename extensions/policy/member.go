package policy

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The breaker of a member: enough faults over enough of its calls stop it from
// being asked for a while, then one probe decides.
const (
	breakerFaults = 20
	breakerWindow = int64(10 * time.Second)
	breakerOpen   = int64(5 * time.Second)
)

// closedRetryAfter is what a caller is told when a policy that fails closed denies.
const closedRetryAfter = time.Second

// Member is a policy in a chain together with what surrounds it: which requests
// it is asked about, who answers for it when it fails, and its breaker. It is
// safe for concurrent use.
type Member struct {
	policy    Policy
	hooks     Hooks
	match     Match
	body      []string
	onFailure Failure
	previous  Policy
	onFault   func(*Fault)

	faults  [faultKinds]atomic.Uint64
	calls   atomic.Uint64
	breaker breaker
}

// MemberConfig describes a Member. Zero fields: asked about everything, fails
// open, reports faults to nobody.
type MemberConfig struct {
	Match     Match
	Body      []string // the JSON scalars of bodies that the policy reads
	OnFailure Failure
	// Previous answers after a fault under FailPrevious; nil: no opinion. It must
	// stay open as long as the member is used.
	Previous Policy
	// OnFault is told of every fault, on the goroutine of the caller.
	OnFault func(*Fault)
}

// NewMember wraps p.
func NewMember(p Policy, c MemberConfig) *Member {
	if c.OnFailure == "" {
		c.OnFailure = FailOpen
	}
	return &Member{policy: p, hooks: p.Hooks(), match: c.Match, body: c.Body, onFailure: c.OnFailure, previous: c.Previous, onFault: c.OnFault}
}

// Name returns the policy's name.
func (m *Member) Name() string { return m.policy.Name() }

// Policy returns the policy itself.
func (m *Member) Policy() Policy { return m.policy }

// OnFailure says what answers for the policy when it fails.
func (m *Member) OnFailure() Failure { return m.onFailure }

// Match says which requests the policy is asked about.
func (m *Member) Match() *Match { return &m.match }

// Calls counts the hooks called.
func (m *Member) Calls() uint64 { return m.calls.Load() }

// Faults counts the faults of one kind.
func (m *Member) Faults(k FaultKind) uint64 { return m.faults[k].Load() }

// AllFaults counts the faults of every kind.
func (m *Member) AllFaults() uint64 {
	var n uint64
	for i := range m.faults {
		n += m.faults[i].Load()
	}
	return n
}

// BreakerOpen reports whether the policy is not being asked at now.
func (m *Member) BreakerOpen(now int64) bool { return m.breaker.openUntil.Load() > now }

// ask runs one hook under the breaker and answers for it when it fails. For hooks
// that decide nothing d is nil; for ticks r is.
func (m *Member) ask(h Hook, r *Request, now int64, d *Decision, call func(Policy, *Decision) error) {
	if r != nil && r.Explain && r.Dry != nil {
		m.askApart(h, r, d, call)
		return
	}
	m.calls.Add(1)
	if !m.breaker.allow(now) {
		m.answerFor(h, d, call)
		return
	}
	err := m.run(h, d, call)
	if err == nil {
		m.breaker.well(now, m.calls.Load())
		return
	}
	m.Report(h, err)
	if r != nil {
		m.explain(h, r, err)
	}
	m.breaker.ill(now, m.calls.Load())
	m.answerFor(h, d, call)
}

// askApart runs one hook for a dry explanation: nothing is counted, and its faults
// open no breaker.
func (m *Member) askApart(h Hook, r *Request, d *Decision, call func(Policy, *Decision) error) {
	var err error
	if m.BreakerOpen(r.Now) {
		err = errNotAsked
	} else {
		err = m.run(h, d, call)
	}
	if err != nil {
		m.explain(h, r, err)
		m.answerFor(h, d, call)
	}
}

var errNotAsked = errors.New("it keeps failing and is not asked")

// explain tells whoever explains r of a fault.
func (m *Member) explain(h Hook, r *Request, err error) {
	if !r.Explain || r.Faults == nil {
		return
	}
	var f *Fault
	if !errors.As(err, &f) {
		f = &Fault{Policy: m.Name(), Hook: h, Kind: FaultException, Err: err}
	}
	r.Faults(f)
}

// Report counts and tells a fault of the policy, also one that was found by the
// asker: a decision for an upstream that does not exist.
func (m *Member) Report(h Hook, err error) {
	var f *Fault
	if !errors.As(err, &f) {
		f = &Fault{Policy: m.Name(), Hook: h, Kind: FaultException, Err: err}
	}
	m.faults[f.Kind].Add(1)
	if m.onFault != nil {
		m.onFault(f)
	}
}

// run calls the policy and turns a panic of an engine into a fault.
func (m *Member) run(h Hook, d *Decision, call func(Policy, *Decision) error) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = &Fault{Policy: m.Name(), Hook: h, Kind: FaultPanic, Err: fmt.Errorf("%v", x)}
		}
	}()
	return call(m.policy, d)
}

func (m *Member) answerFor(h Hook, d *Decision, call func(Policy, *Decision) error) {
	if d == nil {
		return
	}
	d.Reset()
	switch m.onFailure {
	case FailClosed:
		if h == HookRequest {
			d.Action, d.Status, d.RetryAfter, d.Reason = ActionDeny, 503, closedRetryAfter, "the policy failed"
		}
	case FailPrevious:
		if m.previous == nil || !m.previous.Hooks().Has(h) {
			return
		}
		if err := (&Member{policy: m.previous}).run(h, d, call); err != nil {
			d.Reset()
		}
	}
}

// breaker counts calls and faults in a window and closes the way for a while. It
// has no timer: every question brings the clock.
type breaker struct {
	openUntil atomic.Int64 // 0: closed
	probing   atomic.Bool

	mu     sync.Mutex // guards what follows
	start  int64
	before uint64 // calls before this window; exact enough for a ratio
	faults uint64
}

func (b *breaker) allow(now int64) bool {
	until := b.openUntil.Load()
	if until == 0 {
		return true
	}
	return now >= until && b.probing.CompareAndSwap(false, true)
}

// well is told of a call that ended well, the last of so many in all.
func (b *breaker) well(now int64, calls uint64) {
	if b.openUntil.Load() != 0 && b.probing.Load() {
		b.mu.Lock()
		b.closeLocked(now, calls)
		b.mu.Unlock()
	}
}

// ill is told of a fault in the last of so many calls.
func (b *breaker) ill(now int64, calls uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openUntil.Load() != 0 { // the probe failed
		b.openUntil.Store(now + breakerOpen)
		b.probing.Store(false)
		return
	}
	if now-b.start > breakerWindow {
		b.start, b.before, b.faults = now, calls-1, 0
	}
	b.faults++
	if b.faults >= breakerFaults && 2*b.faults >= calls-b.before {
		b.openUntil.Store(now + breakerOpen)
	}
}

func (b *breaker) closeLocked(now int64, calls uint64) {
	b.start, b.before, b.faults = now, calls, 0
	b.openUntil.Store(0)
	b.probing.Store(false)
}
