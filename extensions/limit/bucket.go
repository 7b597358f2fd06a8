package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// Bucket is one key's token bucket: GCRA (ITU-T I.371, virtual scheduling) on
// one atomic word, the theoretical arrival time (TAT) of the next unit. The
// zero Bucket is full and ready. Safe for concurrent use; must not be copied.
//
// An allowed take is one compare-and-swap, a denied one only reads.
type Bucket struct {
	// word is the TAT. A set sign bit asks for the TAT, which is in the other
	// bits, to be clamped to an empty bucket when next touched. gone is the
	// word of a bucket that was evicted: its holder looks the key up again.
	word atomic.Int64
}

const (
	gone    = math.MinInt64
	tatMask = math.MaxInt64
)

// Take takes cost units at now, or says how long until it could. It reserves
// when the wait is at most maxWait. See Limiter.Take for the result.
func (b *Bucket) Take(now int64, r *Rate, cost int64, maxWait time.Duration) (res Result) {
	b.takeTo(&res, now, r, cost, maxWait)
	return res
}

// takeTo is Take. A Result has a field too many for registers: returned by a call it
// is written to memory, and copied before its words have arrived there, which costs
// twice the decision. Take is small enough to become part of its caller, and this
// writes where the caller will read.
//
// The usual take, of one whole unit from a bucket that is neither marked nor evicted
// nor in debt, is decided in place, without a call: it costs a third of take, which
// handles the rest.
func (b *Bucket) takeTo(res *Result, now int64, r *Rate, cost int64, maxWait time.Duration) {
	if old := b.word.Load(); cost == 1 && r.period == 0 && old >= 0 && r.burst > 0 {
		t := max(old, now)
		nt := t + r.emission
		if spare := r.full - (nt - now); t-now > r.full {
			// a debt, which may be so far away that sums overflow
		} else if spare >= 0 {
			if b.word.CompareAndSwap(old, nt) {
				res.OK, res.Wait, res.Limit, res.Remaining, res.Reset = true, 0, r.burst, r.wholeUnits(spare), time.Duration(nt-now)
				return
			}
		} else if time.Duration(-spare) > maxWait {
			res.OK, res.Wait, res.Limit, res.Remaining, res.Reset = false, time.Duration(-spare), r.burst, 0, time.Duration(t-now)
			return
		}
	}
	*res, _ = b.take(now, r, cost, maxWait)
}

// Peek returns what Take would, and takes nothing.
func (b *Bucket) Peek(now int64, r *Rate, cost int64, maxWait time.Duration) Result {
	res, _ := r.decide(b.word.Load(), now, cost, maxWait)
	return res
}

// GiveBack undoes a take of cost units made at taken: exact for an immediate
// one, and never more than what time has not already given back.
func (b *Bucket) GiveBack(now int64, r *Rate, cost, taken int64) {
	b.giveBack(r.worth(max(cost, 0)) - max(now-taken, 0))
}

// Settle replaces an estimate taken at taken by the true cost. A debt may go
// beyond the burst, but not without bound.
func (b *Bucket) Settle(now int64, r *Rate, estimate, actual, taken int64) {
	estimate, actual = max(estimate, 0), max(actual, 0)
	if actual <= estimate {
		b.GiveBack(now, r, estimate-actual, taken)
		return
	}
	b.owe(now, r, actual-estimate)
}

// owe takes cost units whatever is left; false where the bucket is gone.
func (b *Bucket) owe(now int64, r *Rate, cost int64) bool {
	for {
		old := b.word.Load()
		if old == gone {
			return false
		}
		t := r.tat(old, now)
		nt := min(addSat(t, r.step(t, cost)), addSat(now, r.debt()))
		if nt <= t || b.word.CompareAndSwap(old, nt) {
			return true
		}
	}
}

func (b *Bucket) take(now int64, r *Rate, cost int64, maxWait time.Duration) (res Result, ok bool) {
	for {
		old := b.word.Load()
		if old == gone {
			return Result{}, false
		}
		if old < 0 {
			b.clamp(now, r)
			continue
		}
		res, nt := r.decide(old, now, cost, maxWait)
		if nt == 0 || b.word.CompareAndSwap(old, nt) {
			return res, true
		}
	}
}

// decide is the decision for a bucket whose word is w, and the word that
// carries it out; 0 when there is nothing to write.
func (r *Rate) decide(w, now, cost int64, maxWait time.Duration) (Result, int64) {
	t := w
	if t < now {
		t = r.tat(w, now)
	}
	if cost <= 0 {
		return Result{OK: true, Limit: r.burst, Remaining: r.units(r.full - (t - now)), Reset: time.Duration(t - now)}, 0
	}
	res := Result{Limit: r.burst, Reset: time.Duration(t - now)}
	if cost > r.burst {
		res.Wait, res.Remaining = Never, r.units(r.full-(t-now))
		return res, 0
	}
	nt := addSat(t, r.step(t, cost))
	spare := r.full - (nt - now)
	if spare >= 0 {
		res.OK, res.Remaining, res.Reset = true, r.units(spare), time.Duration(nt-now)
		return res, nt
	}
	res.Wait = time.Duration(-spare)
	if res.Wait > maxWait {
		res.Remaining = r.units(r.full - (t - now))
		return res, 0
	}
	res.OK, res.Reset = true, time.Duration(nt-now)
	return res, nt
}

// tat is the effective TAT of word w: not before now, and clamped if so marked.
func (r *Rate) tat(w, now int64) int64 {
	if w >= 0 {
		return max(w, now)
	}
	return min(max(w&tatMask, now), addSat(now, r.full))
}

// giveBack moves the TAT back by d; false where the bucket is gone.
func (b *Bucket) giveBack(d int64) bool {
	for d > 0 {
		old := b.word.Load()
		if old == gone {
			return false
		}
		next := max(old&tatMask-d, 0)
		if old < 0 {
			next |= gone // stays marked
			if next == gone {
				next = 0
			}
		}
		if b.word.CompareAndSwap(old, next) {
			return true
		}
	}
	return true
}

// forward moves the TAT to t, never back; false where the bucket is gone.
func (b *Bucket) forward(t int64) bool {
	for {
		old := b.word.Load()
		switch {
		case old == gone:
			return false
		case old&tatMask >= t || b.word.CompareAndSwap(old, t):
			return true
		}
	}
}

// mark asks for the TAT to be clamped when next touched.
func (b *Bucket) mark() {
	for {
		old := b.word.Load()
		if old <= 0 || b.word.CompareAndSwap(old, old|gone) {
			return
		}
	}
}

// clamp carries out a mark. From then on time works the debt off.
func (b *Bucket) clamp(now int64, r *Rate) {
	if old := b.word.Load(); old < 0 && old != gone {
		b.word.CompareAndSwap(old, r.tat(old, now))
	}
}

func (b *Bucket) dead() bool { return b.word.Load() == gone }

func (b *Bucket) retire(now int64) bool {
	old := b.word.Load()
	return old != gone && old&tatMask <= now && b.word.CompareAndSwap(old, gone)
}
