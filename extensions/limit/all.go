package limit

import "time"

// Reserves says that GiveBack of this kind wants to know for when units were
// reserved: the time of the take and its wait, and not that of the take alone.
func (k Kind) Reserves() bool {
	switch k {
	case TokenBucket, FixedWindow, SlidingWindow, SlidingLog, Fair, Calendar:
		return true
	case Concurrency, Upstream, Adaptive, Throttle, RetryBudget:
	}
	return false
}

// Part is what a take of several limiters takes from one.
type Part struct {
	Limiter Limiter
	Key     string
	Cost    int64
	Result  Result // of the take, or of the look that refused it
}

// TakeAll takes of all parts or of none. It looks at all before it takes of any;
// where one of them is gone meanwhile, what was taken is given back exactly. OK:
// the wait is the longest. Not OK: failed is the part that refused, of several
// the one that refuses for longest. maxWait below 0 is each limiter's own.
func TakeAll(now int64, parts []Part, maxWait time.Duration) (r Result, failed int) {
	failed = -1
	for i := range parts {
		p := &parts[i]
		p.Result = p.Limiter.Peek(now, p.Key, p.Cost)
		if refused := !p.Result.OK && (maxWait < 0 || p.Result.Wait > maxWait); refused && (failed < 0 || p.Result.Wait > parts[failed].Result.Wait) {
			failed = i
		}
	}
	if failed >= 0 {
		return parts[failed].Result, failed
	}
	tightest := 0
	for i := range parts {
		p := &parts[i]
		if p.Result = p.Limiter.Take(now, p.Key, p.Cost, maxWait); !p.Result.OK {
			for j := range i {
				parts[j].Undo(now, now)
			}
			return p.Result, i
		}
		if t := &parts[tightest].Result; p.Result.Wait > t.Wait || p.Result.Wait == t.Wait && tighter(p.Result.Remaining, t.Remaining) {
			tightest = i
		}
	}
	if len(parts) == 0 {
		return Result{OK: true, Remaining: -1}, -1
	}
	return parts[tightest].Result, -1
}

// tighter says that a leaves less than b; -1 is unknown.
func tighter(a, b int64) bool { return a >= 0 && (b < 0 || a < b) }

// Undo gives back what the part took at taken.
func (p *Part) Undo(now, taken int64) {
	if p.Limiter.Kind().Reserves() {
		taken = addSat(taken, int64(p.Result.Wait))
	}
	p.Limiter.GiveBack(now, p.Key, p.Cost, taken)
}
