package files

import (
	"context"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Options shape an operation. The zero Options are usable; fields that an operation
// does not name in its comment are ignored by it.
type Options struct {
	Tenant      string
	Priority    int // counts only with HasPriority
	HasPriority bool
	Cost        int64         // 0 is 1
	Timeout     time.Duration // of the operation with all its waits; 0: none
	// Header shows fields to the policies; nil: none.
	Header policy.Lookup

	Offset int64 // of reading, in bytes; it may be past the end
	Length int64 // of reading, in bytes; 0: to the end

	Durability Durability // of writing; the zero value is the root's
	Exclusive  bool       // writing, copying and moving fail where the target exists
	Parents    bool       // writing makes the folders above the target
	Size       int64      // of what is written, where the caller knows; it is only told to policies
	Recursive  bool       // removing takes a folder with all in it; watching and walking go into folders
	Limit      int        // of entries; 0: max_entries

	// Outcome, if not nil, is filled in, also with an error. Its Upstream is the root
	// where it was done: policies may name another.
	Outcome *admission.Outcome
}

// task is one operation to do.
type task struct {
	action string
	ref    Ref
	size   int64 // bytes it will move, -1 unknown
	writes bool  // it changes the root
	// again reports whether it can be done again; nil: always.
	again func() bool
	once  bool // doing it twice is not the same as once
	// stream keeps the op of a success, and settles it later; nil: nobody.
	stream *Reader
	o      *Options
	do     func(ctx context.Context, r *root, name string) (n int64, err error)

	cancel context.CancelFunc // of the time limits; nil none
	res    policy.Response    // of the attempt in hand
}

// run does t when it may go, again where the rules allow. The op is nil unless t
// has a stream, which keeps it.
func (m *Manager) run(ctx context.Context, t *task) (*admission.Op, error) {
	fail := func(err error) error { return &Error{t.action, t.ref.Root, t.ref.Path, err} }
	group := m.groups[t.ref.Root]
	if group == nil {
		return nil, fail(ErrRoot)
	}
	name, err := Clean(t.ref.Path)
	if err != nil {
		return nil, fail(err)
	}
	if !m.enter() {
		return nil, fail(errNotStarted)
	}
	op := m.core.NewOp()
	t.describe(&op.Req, name)
	op.Group, op.Idempotent = group, !t.once
	ctx = t.within(ctx, t.o.Timeout)
	err = m.driver.Admit(ctx, op)
	for err == nil {
		r := m.roots[op.Upstream()]
		t.res = policy.Response{}
		var n int64
		n, err = m.attempt(ctx, op, t, r, name)
		err = mend(err)
		response(&t.res, n, err)
		op.Replayable = err != nil && (t.again == nil || t.again())
		again := m.driver.Answered(op, &t.res)
		if err == nil && t.stream != nil && !again {
			t.fill(op)
			return op, nil
		}
		m.driver.Settle(op, &t.res)
		if !again {
			t.fill(op)
			m.end(op, t)
			if err != nil {
				return nil, &Error{t.action, r.name, t.ref.Path, err}
			}
			return nil, nil
		}
		err = m.driver.Again(ctx, op)
	}
	t.fill(op)
	m.end(op, t)
	return nil, err
}

// within bounds ctx to d, 0 not at all, until t ends.
func (t *task) within(ctx context.Context, d time.Duration) context.Context {
	if d <= 0 {
		return ctx
	}
	before := t.cancel
	ctx, t.cancel = context.WithTimeout(ctx, d)
	if cancel := t.cancel; before != nil {
		t.cancel = func() { cancel(); before() }
	}
	return ctx
}

// attempt does t once at a root, within the time that policies give it.
func (m *Manager) attempt(ctx context.Context, op *admission.Op, t *task, r *root, name string) (int64, error) {
	ctx = t.within(ctx, op.Decision.Timeout)
	if t.writes {
		if err := r.writable(); err != nil {
			return 0, err
		}
	}
	if t.stream != nil {
		return t.stream.open(ctx, r, name)
	}
	return t.do(ctx, r, name)
}

// end ends t and gives its op back, which must have ended.
func (m *Manager) end(op *admission.Op, t *task) {
	if t.cancel != nil {
		t.cancel()
	}
	op.Free()
	m.leave()
}

// describe fills the request that policies see.
func (t *task) describe(r *policy.Request, name string) {
	r.Action, r.Key, r.Host, r.Path, r.Size = t.action, t.ref.Root, t.ref.Root, name, t.size
	r.Tenant, r.Header = t.o.Tenant, t.o.Header
	if t.o.HasPriority {
		r.Priority = min(max(t.o.Priority, 0), policy.MaxPriority)
	}
	if t.o.Cost != 0 {
		r.Cost = t.o.Cost
	}
}

// fill tells the caller how it went.
func (t *task) fill(op *admission.Op) {
	if t.o.Outcome != nil {
		*t.o.Outcome = op.Outcome()
	}
}
