package sim

import (
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment/upstream"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// call is one request on its way, from its arrival until the caller and the upstream
// are done with it.
type call struct {
	op      *admission.Op // nil: the caller is done with it
	job     upstream.Job
	id      uint64
	epoch   uint32
	next    int32 // in the list of free ones
	source  int32 // scenario
	key     int32
	user    int32 // of a closed loop, -1 none
	up      int32
	tries   int // operations begun
	sends   int // attempts
	cost    int64
	service float64 // the draw of the first attempt
	arrived int64
	until   int64 // the caller's patience, 0 for ever
	backoff time.Duration
	waited  time.Duration
	tenant  string
	live    bool // its caller is not done
	started bool // an attempt of it is at an upstream
	left    bool // its caller has left, its job has not ended
}

// run is a replica under way.
type run struct {
	c       *Config
	now     int64
	end     int64
	counted int64 // the warm-up's end
	seq     uint64
	heap    heap
	sources []source
	models  []*upstream.Model
	calls   []*call // the model keeps pointers to their jobs
	free    int32   // head of the list, -1 empty
	queued  map[*admission.Op]int32
	woken   []*admission.Op
	res     policy.Response
	names   []string // of keys
	byName  map[string]int32
	retries float64 // budget
	window  window

	o        Outcome
	wait     tally // Outcome.Wait
	latency  tally
	stepNow  int   // of the series
	stepEnd  int64 // when it is over
	inSystem int64
	since    int64   // of the integral
	area     float64 // ns x requests
	sojourns float64 // ns
}

// Run runs the replica. With an error of Cause, or ErrEvents, the outcome is what
// was counted until then.
func Run(c Config) (*Outcome, error) {
	r := &run{c: &c, now: c.Start, end: c.Start + int64(c.Duration), counted: c.Start + int64(c.Warmup), free: -1,
		queued: map[*admission.Op]int32{}, byName: map[string]int32{}, wait: newTally(), latency: newTally()}
	if c.MaxEvents == 0 {
		c.MaxEvents = defaultMaxEvents
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	r.c.Core.OnLetGo(r.letGo)
	err := r.loop()
	if err == nil {
		r.now = r.end
	}
	r.finish()
	return &r.o, err
}

func (r *run) prepare() error {
	c := r.c
	r.o = Outcome{Series: newSeries(c.Duration, len(c.Upstreams)), Window: time.Second}
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		m, err := upstream.New(u.Config, c.Start)
		if err != nil {
			return fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		r.models = append(r.models, m)
		for _, at := range m.Changes() {
			r.push(event{at: at, kind: room, call: int32(i)})
		}
		if i == 0 && len(u.Limits) > 0 && u.Limits[0].Per > 0 {
			r.o.Window = u.Limits[0].Per
		}
	}
	r.window.length = int64(r.o.Window)
	r.since = r.counted
	for i := range c.Scenarios {
		if err := r.addSource(int32(i)); err != nil {
			return err
		}
	}
	if c.Tick != nil {
		r.push(event{at: r.now + int64(time.Second), kind: tick})
	}
	return nil
}

func (r *run) push(e event) {
	r.seq++
	e.seq = r.seq
	r.heap.push(e)
}

// loop takes what comes next, an arrival or an event, until the time is over.
func (r *run) loop() error {
	for r.o.Events = 0; ; r.o.Events++ {
		if r.over() {
			return r.why()
		}
		if r.o.Events%tellEvery == 0 && r.c.Reached != nil {
			r.c.Reached.Store(r.now - r.c.Start)
		}
		src, at := r.nextSource()
		if len(r.heap.events) > 0 && (src < 0 || r.heap.events[0].at <= at) {
			if r.heap.events[0].at >= r.end {
				return nil
			}
			if err := r.happen(r.heap.pop()); err != nil {
				return err
			}
			continue
		}
		if src < 0 || at >= r.end {
			return nil
		}
		r.now = at
		if err := r.offer(src); err != nil {
			return err
		}
	}
}

// tellEvery is after how many events a run tells how far it is.
const tellEvery = 4096

// over reports whether the run has to end early.
func (r *run) over() bool {
	return r.o.Events > r.c.MaxEvents || r.c.Halt != nil && r.c.Halt.Load()
}

// why says why it has to.
func (r *run) why() error {
	if r.o.Events > r.c.MaxEvents {
		return fmt.Errorf("%w: %d", ErrEvents, r.c.MaxEvents)
	}
	return r.c.Cause()
}

func (r *run) happen(e event) error {
	r.now = e.at
	switch e.kind {
	case tick:
		r.c.Tick(r.now)
		r.push(event{at: r.now + int64(time.Second), kind: tick})
		return nil
	case room:
		r.refill(e.call)
		return nil
	case think:
		return r.userArrives(e.call, int32(e.epoch))
	case answer:
		r.answer(e.call)
		return nil
	}
	c := r.calls[e.call]
	if c.epoch != e.epoch {
		return nil // the call has moved on
	}
	switch e.kind {
	case wake:
		delete(r.queued, c.op)
		r.follow(e.call, r.c.Core.Wake(r.now, c.op))
	case leave:
		return r.leave(e.call)
	case retry:
		r.begin(e.call)
	}
	return nil
}

func (r *run) newCall(src, user int32) (int32, error) {
	i := r.free
	if i >= 0 {
		r.free = r.calls[i].next
	} else {
		if len(r.calls) >= maxCalls {
			return 0, fmt.Errorf("more than %d requests under way: callers with a patience, a limit with a longest wait, or an upstream that answers sooner, would bound them", maxCalls)
		}
		i = int32(len(r.calls))
		r.calls = append(r.calls, &call{})
	}
	c := r.calls[i]
	*c = call{epoch: c.epoch + 1, source: src, user: user, live: true}
	return i, nil
}

func (r *run) release(i int32) {
	c := r.calls[i]
	c.epoch++
	c.next, r.free = r.free, i
}

// arrive counts a request and begins its first operation.
func (r *run) arrive(i int32) {
	c := r.calls[i]
	s := &r.c.Scenarios[c.source]
	c.arrived = r.now
	if s.Patience > 0 {
		c.until = r.now + int64(s.Patience)
	}
	r.count(1)
	if r.now >= r.counted {
		r.o.Offered++
		r.retries += r.c.Retry.Budget
		k := &r.o.Keys[c.key]
		k.Offered++
		if k.since == 0 {
			k.since = r.now
		}
	}
	r.at(r.o.Series.Offered, 1)
	r.begin(i)
}

// begin asks admission for one more operation of the caller.
func (r *run) begin(i int32) {
	c := r.calls[i]
	s := &r.c.Scenarios[c.source]
	op := r.c.Core.NewOp()
	q := &op.Req
	q.Action, q.Method, q.Host, q.Path, q.URL = "request", s.Method, "experiment.invalid", s.Path, r.sources[c.source].url
	q.Key, q.Tenant = r.names[c.key], c.tenant
	if s.Key != "" {
		q.Key, q.Tenant = s.Key, q.Key
	}
	q.Priority, q.Cost, q.Deadline = s.Priority, c.cost, c.until
	op.Group, op.Replayable, op.Idempotent = r.c.Group, true, true
	c.op = op
	c.tries++
	if r.now >= r.counted {
		r.o.CallerTries++
	}
	r.follow(i, r.c.Core.Begin(r.now, op))
}

// follow does what admission said.
func (r *run) follow(i int32, v admission.Verdict) {
	c := r.calls[i]
	c.epoch++
	switch v.Kind {
	case admission.Go:
		r.send(i)
	case admission.Queued:
		r.queued[c.op] = i
		fallthrough
	case admission.Wait:
		r.push(event{at: v.At, kind: wake, call: i, epoch: c.epoch})
	case admission.Denied:
		r.at(r.o.Series.Denied, 1)
		if r.now >= r.counted {
			r.o.Denials++
		}
		after := c.op.Denial.RetryAfter
		c.op.Free()
		c.op = nil
		r.ended(i, endDenied, after)
	}
}

// send makes one attempt at the upstream that admission chose.
func (r *run) send(i int32) {
	c := r.calls[i]
	r.c.Core.Started(r.now, c.op)
	c.up, c.waited = int32(max(c.op.Upstream(), 0)), c.op.Waited()
	c.job = upstream.Job{Cost: c.cost, Owner: i, Service: c.service, Fault: draw(r.c.Seed^0xfa017, c.id, uint64(c.sends))}
	if c.sends > 0 {
		c.job.Service = draw(r.c.Seed, c.id, uint64(c.sends))
	}
	c.sends++
	c.started = true
	r.at(r.o.Series.Admitted, 1)
	if r.now >= r.counted {
		r.o.Attempts++
		r.window.add(r.now)
	}
	at, ok := r.models[c.up].Arrive(r.now, &c.job)
	if ok {
		r.push(event{at: at, kind: answer, call: i})
	} else {
		r.queues(c.up)
	}
	until := c.until
	if t := int64(r.c.Retry.Timeout); t > 0 && (until == 0 || r.now+t < until) {
		until = r.now + t
	}
	if until > 0 && (!ok || at > until) {
		r.push(event{at: until, kind: leave, call: i, epoch: c.epoch})
	}
}

// queues notes how many jobs wait at an upstream.
func (r *run) queues(up int32) {
	q, k := r.o.Series.Queue[up], r.step()
	q[k] = max(q[k], float64(r.models[up].Stats(r.now).Queued))
}
