package sim

import (
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment/upstream"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// How a request ends.
type ending int

const (
	endGood ending = iota
	endDenied
	endThrottled
	endFailed
	endLeft
)

// answer takes an upstream's answer, also one that nobody waits for any more.
func (r *run) answer(i int32) {
	c := r.calls[i]
	if c.job.Served {
		r.models[c.up].Done(r.now)
		r.refill(c.up)
	}
	if c.left {
		if r.now >= r.counted {
			r.o.Wasted++
		}
		r.release(i)
		return
	}
	if c.job.Status == 429 {
		r.at(r.o.Series.Refused, 1)
		if r.now >= r.counted {
			r.o.Refused++
		}
	}
	r.res = policy.Response{Status: c.job.Status, RetryAfter: c.job.Fields.RetryAfter(), Header: &c.job.Fields}
	r.settle(i)
}

// settle ends the attempt in hand with r.res, and goes on with the next or ends the
// request.
func (r *run) settle(i int32) {
	c, status, after := r.calls[i], r.res.Status, r.res.RetryAfter
	left := r.res.Error != ""
	again := r.c.Core.Answered(r.now, c.op, &r.res)
	r.woken = r.c.Core.Settle(r.now, c.op, &r.res, r.woken[:0])
	c.started = false
	r.wakeAll()
	if again {
		r.follow(i, r.c.Core.Again(r.now, c.op))
		return
	}
	how := endGood
	switch {
	case left:
		how = endLeft
	case status == 429:
		how = endThrottled
	case status >= 400:
		how = endFailed
	}
	c.op.Free()
	c.op = nil
	r.ended(i, how, after)
}

// wakeAll moves on the operations that were let go, once the one in hand is settled.
func (r *run) wakeAll() {
	for _, op := range r.woken {
		r.letGo(op)
	}
}

// letGo moves on an operation that waits for a slot, or in the line of a limiter.
func (r *run) letGo(op *admission.Op) {
	if i, ok := r.queued[op]; ok {
		r.push(event{at: r.now, kind: wake, call: i, epoch: r.calls[i].epoch})
	}
}

// refill gives the servers of an upstream to jobs that wait for them.
func (r *run) refill(up int32) {
	for {
		j, at := r.models[up].Start(r.now)
		if j == nil {
			return
		}
		r.push(event{at: at, kind: answer, call: j.Owner})
	}
}

// leave ends a request whose caller's patience is over, or an attempt whose time is.
// Its job goes on.
func (r *run) leave(i int32) error {
	c := r.calls[i]
	c.left = true
	r.res = policy.Response{Error: policy.ErrorTimeout}
	if c.until > 0 && r.now >= c.until {
		r.settle(i)
		return nil
	}
	j, err := r.move(i)
	if err != nil {
		return err
	}
	r.c.Core.Answered(r.now, c.op, &r.res)
	r.woken = r.c.Core.Settle(r.now, c.op, &r.res, r.woken[:0])
	c.op.Free()
	c.op = nil
	r.wakeAll()
	r.ended(j, endFailed, 0)
	return nil
}

// move takes a request to another call: the job of this one is still at the upstream,
// which keeps it until its answer.
func (r *run) move(i int32) (int32, error) {
	j, err := r.newCall(r.calls[i].source, r.calls[i].user)
	if err != nil {
		return 0, err
	}
	c, n := r.calls[i], r.calls[j]
	epoch := n.epoch
	*n = *c
	n.epoch, n.op, n.job, n.left, n.started = epoch, nil, upstream.Job{}, false, false
	c.live, c.started = false, false
	return j, nil
}

// ended ends an operation: the caller tries again, or the request is over.
func (r *run) ended(i int32, how ending, after time.Duration) {
	c := r.calls[i]
	if c.left {
		how = endLeft
	} else if how != endGood && r.tryAgain(i, after) {
		return
	}
	c.live = false
	r.count(-1)
	k := &r.o.Keys[c.key]
	if c.arrived >= r.counted {
		switch how {
		case endGood:
			r.good(c, k)
		case endDenied:
			r.o.Denied++
		case endThrottled:
			r.o.Throttled++
		case endFailed:
			r.o.Failed++
		case endLeft:
			r.o.Left++
		}
	}
	if from := max(c.arrived, r.counted); r.now > from {
		r.sojourns += float64(r.now - from)
	}
	if how == endGood {
		s, k := &r.o.Series, r.step()
		s.Good[k]++
		if c.waited > 0 {
			s.Wait[k] += c.waited.Seconds()
		}
	}
	if c.user >= 0 {
		r.thinks(c.source, c.user)
	}
	if !c.left {
		r.release(i)
	}
}

func (r *run) good(c *call, k *Key) {
	r.o.Good++
	k.Good++
	if k.since > 0 {
		k.Starved = max(k.Starved, time.Duration(r.now-k.since))
		k.since = 0
	}
	r.wait.record(int64(c.waited))
	r.latency.record(r.now - c.arrived)
}

// tryAgain plans the caller's next operation, if it makes one.
func (r *run) tryAgain(i int32, after time.Duration) bool {
	c, rt := r.calls[i], &r.c.Retry
	if rt.Kind == "" || rt.Kind == "none" || c.tries >= rt.Attempts {
		return false
	}
	if rt.Budget > 0 {
		if r.retries < 1 {
			return false
		}
		r.retries--
	}
	c.backoff = rt.backoff(c.tries, c.backoff, draw(r.c.Seed^0xbac0ff, c.id, uint64(c.tries)))
	wait := c.backoff
	if rt.Honor {
		wait = max(wait, after)
	}
	at := r.now + int64(wait)
	if c.until > 0 && at >= c.until {
		return false
	}
	c.epoch++
	r.push(event{at: at, kind: retry, call: i, epoch: c.epoch})
	return true
}

// step is the number of the series' step that now lies in. Time does not go back, so
// it divides only when a step is over.
func (r *run) step() int {
	if r.now >= r.stepEnd {
		s := int64(r.o.Series.Step)
		r.stepNow = min(int((r.now-r.c.Start)/s), len(r.o.Series.Offered)-1)
		r.stepEnd = r.c.Start + int64(r.stepNow+1)*s
	}
	return r.stepNow
}

func (r *run) at(s []float64, v float64) { s[r.step()] += v }

// count changes the number of requests in the system.
func (r *run) count(by int64) {
	if r.now > r.since {
		r.area += float64(r.inSystem) * float64(r.now-r.since)
		r.since = r.now
	}
	r.inSystem += by
	s := r.o.Series.InSystem
	k := r.step()
	if n := float64(r.inSystem); n > s[k] { // neither is NaN, which max looks for
		s[k] = n
	}
}

// finish closes the books at the end of the run, or where it was stopped.
func (r *run) finish() {
	r.count(0)
	r.o.Measured = time.Duration(max(r.now-r.counted, 0))
	for i := range r.calls {
		c := r.calls[i]
		if !c.live {
			continue
		}
		if c.arrived >= r.counted {
			r.o.Pending++
		}
		if from := max(c.arrived, r.counted); r.now > from {
			r.sojourns += float64(r.now - from)
		}
	}
	if d := float64(r.o.Measured); d > 0 {
		r.o.MeanInSystem, r.o.MeanBySojourn = r.area/d, r.sojourns/d
	}
	for _, m := range r.models {
		r.o.Ups = append(r.o.Ups, m.Stats(r.now))
		r.o.UpQuota = append(r.o.UpQuota, m.QuotaUsed(r.now))
	}
	r.o.MaxIn, r.o.Wait, r.o.Latency = r.window.most, r.wait.histogram(), r.latency.histogram()
	for i := range r.o.Keys {
		if k := &r.o.Keys[i]; k.since > 0 {
			k.Starved = max(k.Starved, time.Duration(r.now-k.since))
		}
	}
	r.drain()
}

// drain gives what is under way back to admission, whose Core may be used again.
func (r *run) drain() {
	for i := range r.calls {
		c := r.calls[i]
		if c.op == nil {
			continue
		}
		if c.started {
			r.res = policy.Response{Error: policy.ErrorCanceled}
			r.woken = r.c.Core.Settle(r.now, c.op, &r.res, r.woken[:0])
		} else {
			r.woken = r.c.Core.Cancel(r.now, c.op, r.woken[:0])
		}
	}
}
