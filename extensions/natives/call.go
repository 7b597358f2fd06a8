package natives

import (
	"log/slog"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
)

// Call is one guest's window on the host. The engine keeps one for each guest,
// begins it before a hook and ends it after. It is used by one goroutine at a time.
type Call struct {
	scope   *Scope
	now     int64
	req     *policy.Request
	res     *policy.Response
	tick    *policy.Tick
	overlay *Overlay
	loading bool
	running bool
	parts   []limit.Part // of a take of several limiters; kept for the next

	// Place tells the FILE:LINE:COLUMN that the guest is at, "" where it is not known,
	// for explanations; set by the engine before the first hook, nil: it cannot tell.
	Place func() string
}

// Explained is the place that the guest is at, where the hook that runs is to be
// explained; else "".
func (c *Call) Explained() string {
	if c.req == nil || !c.req.Explain || c.Place == nil {
		return ""
	}
	return c.Place()
}

// NewCall returns a call of s in its loading phase: module scope, where names may
// be declared and state may be read.
func (s *Scope) NewCall() *Call { return &Call{scope: s, now: s.tx.now, loading: true} }

// Loaded ends the loading phase.
func (c *Call) Loaded() { c.loading = false }

// Scope returns the policy's scope.
func (c *Call) Scope() *Scope { return c.scope }

// Request returns the request of the hook that runs, nil where there is none.
func (c *Call) Request() *policy.Request { return c.req }

// Response returns the response of the hook that runs, nil where there is none.
func (c *Call) Response() *policy.Response { return c.res }

// Tick returns the tick of the hook that runs, nil where there is none.
func (c *Call) Tick() *policy.Tick { return c.tick }

// Begin starts a hook about an operation; res is nil before there is an answer.
func (c *Call) Begin(req *policy.Request, res *policy.Response) {
	c.req, c.res, c.now, c.running = req, res, req.Now, true
	if req.Dry != nil {
		c.overlay, _ = req.Dry.(*Overlay)
	}
}

// BeginTick starts a tick.
func (c *Call) BeginTick(t *policy.Tick) {
	c.tick, c.now, c.running = t, t.Now, true
	if t.Dry != nil {
		c.overlay, _ = t.Dry.(*Overlay)
	}
}

// End forgets the hook, so that a view kept by a guest reads nothing.
func (c *Call) End() {
	c.req, c.res, c.tick, c.overlay, c.running = nil, nil, nil, nil, false
}

// Running reports whether a hook runs.
func (c *Call) Running() bool { return c.running }

// Now returns the clock of the hook in nanoseconds.
func (c *Call) Now() int64 { return c.now }

// Arg is the argument of a limiter function. The zero Arg means the request's key,
// the request's cost and the declared longest wait.
type Arg struct {
	Costs   []int64 // of limiter.all: one for each limiter; nil: Cost
	Key     string
	HasKey  bool
	Cost    int64
	HasCost bool
	MaxWait time.Duration
	HasWait bool
}

// resolveOf is resolve for a take of l.
func (c *Call) resolveOf(l *Limiter, a *Arg) (key string, cost int64, err error) {
	if a.Costs != nil && len(a.Costs) != len(l.parts) {
		return "", 0, ErrCosts
	}
	return c.resolve(*a)
}

// resolve fills what the guest left out.
func (c *Call) resolve(a Arg) (key string, cost int64, err error) {
	key, cost = a.Key, a.Cost
	if !a.HasKey {
		if c.req == nil {
			return "", 0, ErrNoKey
		}
		key = c.req.Key
	}
	if !a.HasCost {
		cost = 1
		if c.req != nil {
			cost = c.req.Cost
		}
	}
	return key, min(max(cost, 0), policy.MaxCost), nil
}

func (c *Call) limiter(l *Limiter) limit.Limiter {
	if c.overlay != nil {
		return c.overlay.limiter(l)
	}
	return l.lim
}

// Admit takes from l and writes into d what to return: allow, a wait, or a denial
// with the time to come back. What was taken stands in the ledger, whether or not
// the guest returns d; a denial takes nothing.
func (c *Call) Admit(l *Limiter, a Arg, d *policy.Decision) error {
	key, cost, err := c.resolveOf(l, &a)
	if err != nil {
		return err
	}
	maxWait := time.Duration(-1)
	if a.HasWait {
		maxWait = a.MaxWait
	}
	var r limit.Result
	if l.parts != nil {
		l, r, key = c.takeAll(l, &a, key, cost, maxWait)
	} else if line, ok := c.limiter(l).(limit.Line); ok && c.req != nil {
		r, key = c.join(l, line, key, cost, maxWait)
	} else {
		r = c.limiter(l).Take(c.now, key, cost, maxWait)
		key = c.record(l, key, cost, r, nil)
	}
	d.Reset()
	d.Limit = policy.LimitInfo{Name: l.name, Key: key, Limit: r.Limit, Remaining: r.Remaining, Reset: r.Reset}
	d.Where = c.Explained()
	switch {
	case !r.OK:
		d.Action, d.RetryAfter = policy.ActionDeny, r.Wait
		if r.Wait == limit.Never {
			d.RetryAfter, d.Reason = 0, "the cost is more than the limiter can ever give"
		}
	case r.Wait > 0:
		d.Action, d.Delay = policy.ActionDelay, r.Wait
	default:
		d.Action = policy.ActionAllow
	}
	return nil
}

// Take consumes cost from l if it is there now and reports whether it was.
func (c *Call) Take(l *Limiter, a Arg) (bool, error) {
	key, cost, err := c.resolveOf(l, &a)
	if err != nil {
		return false, err
	}
	if l.parts != nil {
		_, r, _ := c.takeAll(l, &a, key, cost, 0)
		return r.OK, nil
	}
	r := c.limiter(l).Take(c.now, key, cost, 0)
	c.record(l, key, cost, r, nil)
	return r.OK, nil
}

// join is a take of a limiter that has a line. Only an attempt that somebody drives can
// stand in it: there the ledger is told when it may go. A dry one looks.
func (c *Call) join(l *Limiter, line limit.Line, key string, cost int64, maxWait time.Duration) (limit.Result, string) {
	w, drives := c.req.Ledger.(policy.Waiter)
	if dry := c.overlay != nil; dry {
		w = nil
	} else if !drives {
		r := line.Take(c.now, key, cost, maxWait)
		return r, c.record(l, key, cost, r, nil)
	}
	r, place := line.Join(c.now, key, cost, c.req.Priority, maxWait, w)
	return r, c.record(l, key, cost, r, place)
}

// record enters a take into the attempt's ledger and returns the key as it may be
// kept: the guest's memory is not.
func (c *Call) record(l *Limiter, key string, cost int64, r limit.Result, place *limit.Place) string {
	if c.req == nil {
		return key
	}
	if key != c.req.Key {
		key = strings.Clone(key)
	} else {
		key = c.req.Key
	}
	if c.req.Ledger == nil {
		return key
	}
	e := policy.Entry{Limiter: l.name, Policy: c.scope.c.Policy, Key: key, Cost: cost, Taken: c.now, OK: r.OK,
		Wait: r.Wait, Limit: r.Limit, Remaining: r.Remaining, Reset: r.Reset, Where: c.Explained()}
	if r.OK {
		e.From = c.limiter(l)
	}
	if place != nil {
		e.InLine = place.Ahead() + 1
		if c.overlay == nil {
			e.Place = place
		} else {
			e.From = nil // only looked at
		}
	}
	c.req.Ledger.Add(e)
	return key
}

// Peek looks at l and consumes nothing.
func (c *Call) Peek(l *Limiter, a Arg) (limit.Result, error) {
	key, cost, err := c.resolveOf(l, &a)
	if err != nil {
		return limit.Result{}, err
	}
	if l.parts != nil {
		return c.peekAll(l, &a, key, cost), nil
	}
	return c.limiter(l).Peek(c.now, key, cost), nil
}

// Learn reads what the answer of the hook that runs says about limits.
func (c *Call) Learn(l *Limiter, a Arg) error {
	key, _, err := c.resolve(a)
	if err != nil {
		return err
	}
	if c.res == nil {
		return ErrNoResponse
	}
	silent := false
	if names, ok := c.res.Header.(policy.Names); ok {
		silent = !names.AnyName(limit.Announces)
	}
	if l.parts == nil {
		c.learn(l, key, silent)
	}
	for _, p := range l.parts {
		c.learn(p, key, silent)
	}
	return nil
}

// learn lets one limiter read the answer: the fields of its unit.
func (c *Call) learn(l *Limiter, key string, silent bool) {
	lim := c.limiter(l)
	f := limit.NoFeedback(c.res.Status)
	switch {
	case silent:
	case l.declared.Unit == "tokens":
		f = limit.ParseTokens(c.now, c.res.Status, c.res.HeaderValue)
	default:
		f = limit.ParseFeedback(c.now, c.res.Status, c.res.HeaderValue)
	}
	f.Sent = c.res.Sent
	lim.Learn(c.now, key, f)
}

// Pause closes a key of l for d; d of 0 opens it again.
func (c *Call) Pause(l *Limiter, a Arg, d time.Duration) error {
	key, _, err := c.resolve(a)
	if err != nil {
		return err
	}
	l.each(func(_ int, p *Limiter) { c.limiter(p).Pause(c.now, key, d) })
	return nil
}

// Settle replaces what this attempt took from l by the true cost.
func (c *Call) Settle(l *Limiter, a Arg) error {
	key, cost, err := c.resolveOf(l, &a)
	if err != nil {
		return err
	}
	if c.req == nil || c.req.Ledger == nil {
		return ErrNotTaken
	}
	l.each(func(i int, p *Limiter) {
		if !c.req.Ledger.Settle(c.now, p.name, key, a.costOf(i, cost)) {
			err = ErrNotTaken
		}
	})
	return err
}

// Set changes the parameters of l at run time; fields that p leaves zero stay as
// they are. The counts are kept.
func (c *Call) Set(l *Limiter, p limit.Params) error {
	if l.parts != nil {
		return ErrParts
	}
	lim := c.limiter(l)
	return lim.Set(overlayParams(lim.Params(), p))
}

func overlayParams(base, p limit.Params) limit.Params {
	if p.Rate != 0 {
		base.Rate = p.Rate
	}
	if p.Per != 0 {
		base.Per = p.Per
	}
	if p.Burst != 0 {
		base.Burst = p.Burst
	}
	if p.MaxWait != 0 {
		base.MaxWait = p.MaxWait
	}
	if p.Max != 0 {
		base.Max = p.Max
	}
	if p.Min != 0 {
		base.Min = p.Min
	}
	if p.Ratio != 0 {
		base.Ratio = p.Ratio
	}
	if p.Weights != "" {
		base.Weights = p.Weights
	}
	return base
}

// StateFor returns the store to use for key and the key within it. Writing is
// refused at module scope.
func (c *Call) StateFor(key string, write bool) (*state.Store, string, error) {
	if write && c.loading {
		return nil, "", ErrLoading
	}
	s, key, err := c.scope.storeFor(key)
	if err != nil {
		return nil, "", err
	}
	if c.overlay != nil {
		s = c.overlay.store(s)
	}
	return s, key, nil
}

// Limiter declares a limiter; only at module scope.
func (c *Call) Limiter(kind limit.Kind, name string, p limit.Params) (*Limiter, error) {
	if !c.loading {
		return nil, ErrHook
	}
	return c.scope.Limiter(kind, name, p)
}

// Metric declares a number of the policy's own; only at module scope.
func (c *Call) Metric(kind metrics.FieldKind, name string) (*metrics.Value, error) {
	if !c.loading {
		return nil, ErrHook
	}
	return c.scope.Metric(kind, name)
}

// Add adds to a number of the policy's own. A dry call changes nothing.
func (c *Call) Add(v *metrics.Value, n float64) {
	if c.overlay == nil {
		v.Add(n)
	}
}

// SetGauge sets a number of the policy's own. A dry call changes nothing.
func (c *Call) SetGauge(v *metrics.Value, n float64) {
	if c.overlay == nil {
		v.Set(n)
	}
}

// Numbers returns the live numbers of one subsystem in a pooled map, nil where there
// are none. The caller releases it before the hook ends.
func (c *Call) Numbers(subsystem string) *metrics.View { return c.scope.tx.host.Numbers(subsystem) }

// Log writes one line for the guest, rate-limited by policy.
func (c *Call) Log(level slog.Level, text string) {
	if c.overlay != nil && c.overlay.Quiet {
		return
	}
	c.scope.log(c.now, level, text)
}
