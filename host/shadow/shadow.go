package shadow

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Bounds of what a shadow may cost.
const (
	queueLen = 4096
	share    = 10                    // one part in so many of one core
	burst    = 20 * time.Millisecond // of work at once
)

// Config describes a Shadow. Chain is required.
type Config struct {
	Name    string
	Chain   *policy.Chain
	Overlay *natives.Overlay // nil: a new one
	// Tick runs the tick hook with the numbers of the moment; nil: nobody does.
	Tick func(chain *policy.Chain, dry any)
	Log  *slog.Logger // nil: discarded
}

// Shadow asks one policy about live traffic, on a goroutine of its own. Decided,
// Answered, Ended and Tick never block and are safe for concurrent use; Start and Stop
// are called once.
type Shadow struct {
	c     Config
	queue chan event
	stop  chan struct{}
	wg    sync.WaitGroup

	would   [Woulds]atomic.Uint64
	diffs   [Diffs]atomic.Uint64
	dropped atomic.Uint64
	latest  atomic.Pointer[Disagreement]

	mu   sync.Mutex
	late []*Note // ended when the queue was full: what they took still ends; guarded by mu
}

// Disagreement is one attempt that would have gone another way.
type Disagreement struct {
	At           int64 // ns since the Unix epoch
	Diff         Diff
	Subsystem    string
	Key          string
	Method, Path string
	Live, Shadow admission.Said
	Reason       string // of the shadow
}

// Stats are the numbers of a Shadow.
type Stats struct {
	Name    string
	Would   [Woulds]uint64
	Diffs   [Diffs]uint64 // Same is those that agree
	Dropped uint64        // hooks that were not run, as it was behind
	Calls   uint64
	Faults  uint64
	Latest  *Disagreement // nil: none
}

type kind uint8

const (
	asked kind = iota
	answered
	ended
	ticked
)

// event is one hook to run. What it holds is the worker's alone.
type event struct {
	kind    kind
	note    *Note
	res     *policy.Response
	now     int64
	maxWait time.Duration
}

// Note is an attempt that the shadow was asked about. The asker keeps it until Ended.
type Note struct {
	c     Case
	live  admission.Said
	went  string   // the upstream that the attempt goes to; "" none
	names []string // of the scalars that the policy reads
	asked bool     // the worker's
}

// New returns a shadow that does not run yet.
func New(c Config) *Shadow {
	if c.Overlay == nil {
		c.Overlay = natives.NewOverlay()
		c.Overlay.Quiet = true
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Shadow{c: c, queue: make(chan event, queueLen), stop: make(chan struct{})}
}

// Start begins the work.
func (s *Shadow) Start() { s.wg.Go(s.loop) }

// Stop ends it and waits for the hook in hand; then the policy may be closed. Events
// that come later are dropped.
func (s *Shadow) Stop() {
	close(s.stop)
	s.wg.Wait()
}

// Stats reads the numbers.
func (s *Shadow) Stats() Stats {
	st := Stats{Name: s.c.Name, Dropped: s.dropped.Load(), Latest: s.latest.Load()}
	for i := range st.Would {
		st.Would[i] = s.would[i].Load()
	}
	for i := range st.Diffs {
		st.Diffs[i] = s.diffs[i].Load()
	}
	for _, m := range s.c.Chain.Members() {
		st.Calls += m.Calls()
		st.Faults += m.AllFaults()
	}
	return st
}

// Decided hands over an attempt that the policies in force decided. It returns nil
// where the shadow is not asked about it, or is behind.
func (s *Shadow) Decided(op *admission.Op, now int64, maxWait time.Duration) *Note {
	if !s.matches(&op.Req) {
		return nil
	}
	if len(s.queue) == cap(s.queue) { // before anything is copied
		s.dropped.Add(1)
		return nil
	}
	n := &Note{live: admission.SaidBy(&op.Decision, op.Entries(), maxWait)}
	n.c.Req = op.Req
	r := &n.c.Req
	r.Key, r.Cost, r.Priority = op.Asked()
	n.names = s.c.Chain.Scalars(r)
	r.Ledger, r.Header, r.Body = nil, copyFields(r.Header), copyScalars(r.Body, n.names)
	if op.Group != nil && s.c.Chain.Hooks().Has(policy.HookRoute) {
		n.c.View = op.View(now, nil)
	}
	if i := op.Upstream(); op.Group != nil && i >= 0 {
		n.went = op.Group.Upstream(i).Name
	}
	if !s.push(event{kind: asked, note: n, now: now, maxWait: maxWait}) {
		return nil
	}
	return n
}

// Answered hands over the headers of the real answer.
func (s *Shadow) Answered(n *Note, now int64, res *policy.Response) {
	if s.c.Chain.Hooks().Has(policy.HookResponse) {
		s.push(event{kind: answered, note: n, now: now, res: copyOf(n, res)})
	}
}

// Ended hands over the real end; res is nil where the action never started.
func (s *Shadow) Ended(n *Note, now int64, res *policy.Response) {
	if res != nil {
		res = copyOf(n, res)
	}
	if !s.push(event{kind: ended, note: n, now: now, res: res}) {
		s.mu.Lock()
		s.late = append(s.late, n)
		s.mu.Unlock()
	}
}

// Tick has the tick hook run.
func (s *Shadow) Tick(now int64) {
	if s.c.Tick != nil && s.c.Chain.Hooks().Has(policy.HookTick) {
		s.push(event{kind: ticked, now: now})
	}
}

func (s *Shadow) matches(r *policy.Request) bool {
	for _, m := range s.c.Chain.Members() {
		if m.Match().Matches(r) {
			return true
		}
	}
	return false
}

func (s *Shadow) push(e event) bool {
	select {
	case s.queue <- e:
		return true
	default:
		s.dropped.Add(1)
		return false
	}
}

// loop runs one hook after the other and rests in between: it never has more than its
// share of one core, whatever the policy does.
func (s *Shadow) loop() {
	rest := time.NewTimer(0)
	defer rest.Stop()
	<-rest.C
	credit, last := burst, time.Now()
	for {
		select {
		case <-s.stop:
			return
		case e := <-s.queue:
			began := time.Now()
			s.handle(e)
			s.endLate(e.now)
			now := time.Now()
			credit = min(credit+now.Sub(last)/share, burst) - now.Sub(began)
			last = now
			if credit >= 0 {
				continue
			}
			rest.Reset(-credit * share)
			select {
			case <-s.stop:
				return
			case <-rest.C:
			}
		}
	}
}

func (s *Shadow) handle(e event) {
	chain := s.c.Chain
	switch e.kind {
	case ticked:
		s.c.Tick(chain, s.c.Overlay)
	case asked:
		c := &e.note.c
		e.note.asked = true
		said := c.Ask(chain, s.c.Overlay, e.maxWait)
		s.would[WouldOf(said)].Add(1)
		d := Compare(e.note.live, said, e.note.went)
		s.diffs[d].Add(1)
		if d != Same {
			s.latest.Store(&Disagreement{At: e.now, Diff: d, Subsystem: c.Req.Subsystem, Key: c.Req.Key, Method: c.Req.Method, Path: c.Req.Path,
				Live: e.note.live, Shadow: said, Reason: c.Why()})
		}
	case answered:
		e.note.c.Answer(chain, e.now, e.res)
	case ended:
		e.note.c.Done(chain, e.now, e.res)
	}
}

// endLate ends what attempts took whose end found the queue full.
func (s *Shadow) endLate(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.late[:0]
	for _, n := range s.late {
		if !n.asked { // its question is still in the queue
			kept = append(kept, n)
			continue
		}
		n.c.Done(s.c.Chain, now, nil)
	}
	clear(s.late[len(kept):])
	s.late = kept
}
