package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/generation"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Rehearsal is a host that opens nothing: calls of APIs go the way of production through its policies, limits,
// waits and retries, in a time that the caller moves, and are answered by the caller. It is for one goroutine;
// who made it closes it. It implements policytest.Whole.
type Rehearsal struct {
	h       *Host
	core    *admission.Core
	now     atomic.Int64 // the host's clock
	ticked  uint64
	nextDue int64 // of the ticks
	seq     uint64
	due     dues
	calls   []*rehearsed
	byOp    map[*admission.Op]int
}

// RehearsalOptions are what a Rehearsal is given besides its configuration.
type RehearsalOptions struct {
	Start    int64                            // where its clock stands, ns since the epoch
	CacheDir string                           // of compiled Wasm; "": none
	Getenv   func(name string) (string, bool) // nil: an empty environment
	Budget   time.Duration                    // of a hook in JavaScript, in wall time; 0: as configured
	Cover    *js.Coverage                     // nil: nothing is counted
}

// rehearsing is what makes a host one that only rehearses.
type rehearsing struct {
	clock  func() int64
	random func() float64
	budget time.Duration
	cover  *js.Coverage
}

// maxRehearsed bounds the calls of one rehearsal.
const maxRehearsed = 100_000

// rehearsed is one call on its way.
type rehearsed struct {
	sent    policytest.Sent
	op      *admission.Op // nil once it has ended
	epoch   int           // an event for an earlier state is stale
	began   int64
	sending bool // an attempt is at the upstream
	ended   policytest.Ended
}

// NewRehearsal makes the host of cfg. What a rehearsal has no use for is left out: signatures, the shadow, the
// record, the state file. Nothing is fetched.
func NewRehearsal(cfg *config.Config, o RehearsalOptions) (*Rehearsal, error) {
	own := *cfg
	own.RequireSigned, own.Shadow, own.StateFile, own.Record.File = nil, "", "", ""
	r := &Rehearsal{byOp: map[*admission.Op]int{}, nextDue: o.Start - o.Start%int64(time.Second) + int64(time.Second)}
	r.now.Store(o.Start)
	if o.Getenv == nil {
		o.Getenv = func(string) (string, bool) { return "", false }
	}
	rng := rand.New(rand.NewPCG(uint64(o.Start), 0x9aaa))
	var err error
	r.h, err = New(&own, Options{CacheDir: o.CacheDir, Getenv: o.Getenv, rehearse: &rehearsing{clock: r.now.Load, random: rng.Float64, budget: o.Budget, cover: o.Cover}})
	if err != nil {
		return nil, err
	}
	r.core = r.h.api.Core()
	return r, nil
}

// Close ends what is under way and closes the policies.
func (r *Rehearsal) Close() error {
	for _, c := range r.calls {
		switch {
		case c.op == nil:
		case c.sending:
			r.core.Settle(r.now.Load(), c.op, &policy.Response{Error: policy.ErrorCanceled, Bytes: -1}, nil)
		default:
			r.core.Cancel(r.now.Load(), c.op, nil)
		}
	}
	return r.h.Stop(context.Background())
}

// Natives are the limiters and the state of the policies.
func (r *Rehearsal) Natives() *natives.Host { return r.h.natives }

// Send begins a call now and goes on with whatever else is due now.
func (r *Rehearsal) Send(s policytest.Sent) (int, error) {
	if len(r.calls) >= maxRehearsed {
		return 0, fmt.Errorf("more than %d calls in one case", maxRehearsed)
	}
	op := r.core.NewOp()
	if err := r.fill(op, &s); err != nil {
		op.Free()
		return 0, err
	}
	now := r.now.Load()
	id := len(r.calls)
	r.calls = append(r.calls, &rehearsed{sent: s, op: op, began: now})
	r.byOp[op] = id
	r.follow(id, r.core.Begin(now, op))
	return id, r.Advance(context.Background(), now)
}

// fill describes a call as the gateway and the pool do.
func (r *Rehearsal) fill(op *admission.Op, s *policytest.Sent) error {
	in := &s.Input.Request
	op.Replayable, op.Idempotent = true, idempotent(in)
	if s.Route != "" {
		g := r.h.routeGroup(s.Route)
		if g == nil {
			return fmt.Errorf("there is no route %q in the configuration", s.Route)
		}
		up := g.Upstream(0)
		op.Group, in.Key, in.Host = g, s.Route, up.Host
		target := *up.Public
		target = *target.JoinPath(in.Path)
		in.Path, in.URL = target.Path, target.String()
	} else if in.Host == "" {
		return errors.New("want a route or a host")
	}
	if _, err := url.Parse(in.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if in.Subsystem != policy.SubsystemAPI {
		return fmt.Errorf("subsystem %q: only calls of APIs are sent here", in.Subsystem)
	}
	q := &op.Req
	subsystem := q.Subsystem
	*q = *in
	q.Subsystem, q.Explain = subsystem, true
	return nil
}

// idempotent is what the pool thinks of a request.
func idempotent(r *policy.Request) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, ok := r.HeaderValue(name); ok {
			return true
		}
	}
	return false
}

// follow does what admission said about call id.
func (r *Rehearsal) follow(id int, v admission.Verdict) {
	c, now := r.calls[id], r.now.Load()
	c.epoch++
	switch v.Kind {
	case admission.Go:
		r.core.Started(now, c.op)
		r.attempt(id)
	case admission.Wait, admission.Queued:
		r.push(due{at: v.At, call: id, epoch: c.epoch})
	case admission.Denied:
		d := &c.op.Denial
		c.ended.Action, c.ended.Status, c.ended.Reason, c.ended.By, c.ended.RetryAfter = "deny", d.Status, d.Reason, d.Kind.String(), d.RetryAfter
		r.end(id)
	}
}

// attempt is made at the upstream that was chosen; its answer comes later.
func (r *Rehearsal) attempt(id int) {
	c, now := r.calls[id], r.now.Load()
	res := c.sent.Answers[min(c.ended.Attempts, len(c.sent.Answers)-1)]
	c.ended.Attempts++
	c.sending = true
	if i := c.op.Upstream(); i >= 0 {
		c.ended.Upstreams = append(c.ended.Upstreams, c.op.Group.Upstream(i).Name)
	}
	latest := r.h.cfg.Load().API.HeaderTimeout.Std()
	if t := c.op.Decision.Timeout; t > 0 && (latest == 0 || t < latest) {
		latest = t
	}
	if d := c.op.Req.Deadline; d > 0 && (latest == 0 || time.Duration(d-now) < latest) {
		latest = time.Duration(d - now)
	}
	if latest > 0 && res.Duration > latest {
		res = policy.Response{Error: policy.ErrorTimeout, Bytes: -1, Duration: latest}
	}
	r.push(due{at: now + int64(res.Duration), call: id, epoch: c.epoch, res: &res})
}

// answered ends the attempt in hand.
func (r *Rehearsal) answered(id int, res *policy.Response) {
	c, now := r.calls[id], r.now.Load()
	if res.Error != "" {
		res.Status = 0
	}
	if res.RetryAfter == 0 {
		f := limit.ParseFeedback(now, res.Status, func(name string) (string, bool) {
			if name != "Retry-After" {
				return "", false
			}
			return res.HeaderValue(name)
		})
		res.RetryAfter = max(f.RetryAfter, 0)
	}
	again := r.core.Answered(now, c.op, res)
	explained := c.op.Explain(now)
	woken := r.core.Settle(now, c.op, res, nil)
	c.sending = false
	for _, op := range woken {
		if other, ok := r.byOp[op]; ok {
			r.calls[other].epoch++
			r.push(due{at: now, call: other, epoch: r.calls[other].epoch})
		}
	}
	if again {
		r.follow(id, r.core.Again(now, c.op))
		return
	}
	c.ended.Action, c.ended.Status, c.ended.Error = "allow", res.Status, res.Error
	c.ended.Explain = &explained
	r.end(id)
}

// end tells how a call went and frees it.
func (r *Rehearsal) end(id int) {
	c, now := r.calls[id], r.now.Load()
	e := &c.ended
	e.Wait, e.Took = c.op.Waited(), time.Duration(now-c.began)
	if e.Explain == nil {
		explained := c.op.Explain(now)
		e.Explain = &explained
	}
	out := c.op.Outcome()
	e.Policy = out.Policy
	if e.Reason == "" {
		e.Reason = out.Reason
	}
	delete(r.byOp, c.op)
	c.op.Free()
	c.op = nil
}

// Ended tells how call id ended, false while it has not.
func (r *Rehearsal) Ended(id int) (*policytest.Ended, bool) {
	if id < 0 || id >= len(r.calls) || r.calls[id].op != nil {
		return nil, false
	}
	return &r.calls[id].ended, true
}

// Next is when something is due next, other than a tick; false: nothing is.
func (r *Rehearsal) Next() (int64, bool) {
	for len(r.due) > 0 && r.stale(&r.due[0]) {
		r.due.pop()
	}
	if len(r.due) == 0 {
		return 0, false
	}
	return max(r.due[0].at, r.now.Load()), true
}

// stale reports an event of a call that has moved on.
func (r *Rehearsal) stale(d *due) bool {
	return r.calls[d.call].epoch != d.epoch || r.calls[d.call].op == nil
}

// Advance moves the clock, lets happen what is due until then, and ticks at every second it passes.
func (r *Rehearsal) Advance(ctx context.Context, until int64) error {
	ticks := r.ticks()
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, ok := r.Next()
		if ticks && r.nextDue <= until && (!ok || r.nextDue <= at) {
			r.tick()
			continue
		}
		if !ok || at > until {
			break
		}
		d := r.due.pop()
		r.now.Store(at)
		if d.res != nil {
			r.answered(d.call, d.res)
		} else {
			r.follow(d.call, r.core.Wake(at, r.calls[d.call].op))
		}
	}
	r.now.Store(max(until, r.now.Load()))
	if !ticks {
		r.nextDue = until - until%int64(time.Second) + int64(time.Second)
	}
	return nil
}

// ticks reports whether a policy listens to them.
func (r *Rehearsal) ticks() bool {
	g := r.h.slot.Current()
	return g != nil && g.Chain().Hooks().Has(policy.HookTick)
}

func (r *Rehearsal) tick() {
	r.now.Store(r.nextDue)
	r.nextDue += int64(time.Second)
	r.ticked++
	r.h.takeTallies()
	r.h.tickOnce(r.ticked)
}

// rehearse settles what a rehearsal opens its policies with.
func (s *specs) rehearse(r *rehearsing) {
	s.each(func(spec *generation.Spec) {
		if r.budget > 0 && !strings.HasSuffix(strings.ToLower(spec.Use), ".wasm") { // a module has its fuel, which is the same everywhere
			spec.Settings.Options.Budget = r.budget
		}
	})
}
