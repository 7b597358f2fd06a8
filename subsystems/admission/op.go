package admission

import (
	"math"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

type state uint8

const (
	stateNew      state = iota
	stateWaiting        // reserved, until op.until
	stateQueued         // for a slot; other operations may let it go
	stateInLine         // of a policy's limiter; whoever frees its units lets it go
	stateRefused        // taken from the queue to be denied
	stateAdmitted       // holds its slots
	stateStarted        // the action runs
	stateBetween        // settled, and to be tried again
	stateBackoff        // waits for the next attempt, until op.until
	stateDenied
	stateEnded
)

// VerdictKind is what becomes of an operation now.
type VerdictKind uint8

// The verdicts.
const (
	Go     VerdictKind = iota // perform the action: Started, then Settle
	Wait                      // call Wake at Verdict.At
	Queued                    // call Wake when let go, at Verdict.At at the latest
	Denied                    // op.Denial says why
)

// Verdict is the answer to Begin, Wake and Again.
type Verdict struct {
	Kind VerdictKind
	At   int64 // Wait and Queued: when to call Wake, ns since the epoch
}

// Candidate is an upstream that was considered, for explanations.
type Candidate struct{ Name, Why string }

// Reasons in Candidate.Why.
const (
	WhyChosen  = "chosen"
	WhyNamed   = "named by a policy"
	WhyFull    = "full"
	WhyTried   = "failed before"
	WhySick    = "passed over: " // and its state
	WhyUnknown = "unknown"
)

// Op is one operation on its way, over all its attempts. The exported fields
// before Decision are the asker's to fill before Begin; the others are read-only.
// An Op belongs to one goroutine at a time and is pooled: NewOp, and Free once
// it is denied, cancelled or settled for good.
type Op struct {
	// Req is what the policies see. Subsystem, Attempt, Now, Stats and Ledger are
	// filled in by Begin. With Req.Dry set nothing live is taken and nothing waits.
	Req policy.Request
	// Group holds the upstreams to choose among; nil: the operation has one target.
	Group *route.Group
	// Replayable says that the operation could be sent again. It may change until Answered.
	Replayable bool
	// Idempotent says that doing it twice does no harm.
	Idempotent bool
	// Nested says that it runs within another operation of this core, whose global
	// slot it shares: with one of its own the two could wait for each other.
	Nested bool

	// Decision is what the policies said about the attempt in hand.
	Decision policy.Decision
	// Denial is valid after the verdict Denied.
	Denial Denial

	// These stay for the life of the Op, so that a signal for an earlier use of it
	// may come late.
	core  *Core
	ready chan struct{} // the driver's
	timer *time.Timer   // the driver's

	memory
	progress
}

// memory is what an Op works in and keeps for its next use.
type memory struct {
	scratch    policy.Scratch
	answer     policy.Decision // of onRoute and onResponse
	entries    Ledger
	candidates []Candidate
	view       []policy.Upstream
}

// progress is how far an Op has come.
type progress struct {
	key        *keyState // nil once it is settled for good
	state      state
	generation uint64
	base       struct {
		key      string
		cost     int64
		priority int
	}
	faults []string // of policies, where they are explained
	inLine int      // entries that got a place in a limiter's line

	upstream int       // index in Group, -1 none
	tried    route.Set // failed in earlier attempts
	full     route.Set // passed over in this one

	until  int64         // end of the wait or of the time in the queue
	since  int64         // when the wait began
	waited time.Duration // all waits so far
	dryFor time.Duration // dry: the wait it would have
	// dryBehind is, of a dry one, the limit whose slots are all taken.
	dryBehind string
	sent      int64

	again      bool
	againAfter time.Duration
	againTo    string
	againBy    string // the policy that asked for it

	seen       any  // the observer's, of the attempt in hand
	holds      bool // a slot of any level
	held       [levels]*gate
	probe      uint64 // epoch of the breaker it is a probe of, 0 none
	seq        uint64
	queue      *gate
	prev, next *Op
}

// maxKept is how many ledger entries an Op keeps room for in the pool.
const maxKept = 64

func (c *Core) makeOp() *Op {
	return &Op{core: c, ready: make(chan struct{}, 1), progress: progress{upstream: -1}}
}

// NewOp returns an Op with a priority of 5, a cost of 1 and a size of -1.
func (c *Core) NewOp() *Op {
	var op *Op
	if last := len(c.spare) - 1; !c.mu.alone {
		op = c.ops.Get().(*Op)
	} else if last < 0 {
		op = c.makeOp()
	} else {
		op, c.spare = c.spare[last], c.spare[:last]
	}
	op.Req.Subsystem, op.Req.Priority, op.Req.Cost, op.Req.Size = c.subsystem, policy.DefaultPriority, 1, -1
	return op
}

// Free ends the use of an operation that is denied, cancelled, settled for good
// or was never begun. It must not be called twice.
func (op *Op) Free() {
	c := op.core
	switch op.state {
	case stateNew, stateDenied, stateEnded, stateBetween:
	default:
		panic("admission: Free of an operation under way")
	}
	if op.key != nil {
		c.mu.Lock()
		c.keys.unref(op.key)
		c.mu.Unlock()
	}
	if op.state == stateDenied {
		op.Denial = Denial{}
	}
	if cap(op.entries) <= maxKept {
		op.entries.reset()
	} else {
		op.entries = nil
	}
	op.view, op.candidates = op.view[:0], op.candidates[:0]
	op.progress = progress{upstream: -1}
	op.Req, op.Group, op.Replayable, op.Idempotent, op.Nested = policy.Request{}, nil, false, false, false
	op.Decision.Reset()
	if c.mu.alone {
		c.spare = append(c.spare, op)
	} else {
		c.ops.Put(op)
	}
}

// Entries are the ledger of the attempt in hand: what policies and configured
// limits took, and what was refused to them. Valid until the next attempt or Free.
func (op *Op) Entries() []policy.Entry { return op.entries }

// Candidates are the upstreams considered for the attempt in hand, of an operation that
// is dry or explained; else none.
func (op *Op) Candidates() []Candidate { return op.candidates }

// Generation is the number of the generation that decided last, 0 none.
func (op *Op) Generation() uint64 { return op.generation }

// Waited is how long the operation waited so far, over all attempts. For a dry
// one it is how long it would have waited.
func (op *Op) Waited() time.Duration { return op.waited + op.dryFor }

// Upstream is the index in Group of the upstream chosen, -1 without a group.
func (op *Op) Upstream() int { return op.upstream }

// Add records what a native or a configured limit took.
func (op *Op) Add(e policy.Entry) {
	if e.InLine > 0 {
		op.inLine++
	}
	op.entries = append(op.entries, e)
}

// Settle corrects the newest entry of limiter and key to the true cost. It is
// policy.Ledger's; the end of an attempt is Core.Settle.
func (op *Op) Settle(now int64, limiter, key string, actual int64) bool {
	return op.entries.Settle(now, limiter, key, actual)
}

// giveBack undoes every take of an attempt that does not start.
func (op *Op) giveBack(now int64) { op.entries.GiveBack(now) }

// release ends the takes of an attempt that started.
func (op *Op) release(now int64) { op.entries.Release(now) }

// refusal is the newest take that was refused, nil for none.
func (op *Op) refusal() *policy.Entry {
	for i := len(op.entries) - 1; i >= 0; i-- {
		if !op.entries[i].OK {
			return &op.entries[i]
		}
	}
	return nil
}

func (op *Op) dry() bool { return op.Req.Dry != nil }

func (op *Op) deadlineLeft(now int64) time.Duration {
	if op.Req.Deadline == 0 {
		return math.MaxInt64
	}
	return time.Duration(max(op.Req.Deadline-now, 0))
}

// patience is how long the operation may still wait, with or without regard to
// its deadline.
func (op *Op) patience(now int64, maxWait time.Duration, deadline bool) time.Duration {
	left := max(maxWait-op.waited, 0)
	if deadline {
		left = min(left, op.deadlineLeft(now))
	}
	return left
}

// explained reports whether somebody is going to ask why.
func (op *Op) explained() bool { return op.dry() || op.Req.Explain }

// consider notes an upstream for explanations.
func (op *Op) consider(name, why string) {
	if !op.explained() {
		return
	}
	op.candidates = append(op.candidates, Candidate{name, why})
}
