package limit

import (
	"math"
	"time"
)

// sliceCount is how many parts a window of counts has: it forgets a tenth at a time.
const sliceCount = 10

// counts are sums over a window that slides in steps of a tenth.
type counts struct {
	start int64 // of the newest slice
	at    int   // its index
	a, b  [sliceCount]float64
}

func (w *counts) advance(per time.Duration, now int64) {
	step := max(int64(per)/sliceCount, 1)
	start := now - now%step
	n := (start - w.start) / step
	if n <= 0 {
		return
	}
	for range min(n, sliceCount) {
		w.at = (w.at + 1) % sliceCount
		w.a[w.at], w.b[w.at] = 0, 0
	}
	w.start = start
}

func (w *counts) sums() (a, b float64) {
	for i := range sliceCount {
		a, b = a+w.a[i], b+w.b[i]
	}
	return a, b
}

// throttle is the client-side throttle of Google's SRE book: of the requests of
// the last Per, as many are let through as Ratio times those that the upstream
// accepted; the others are refused here. It counts a request before it leaves.
// Which ones are refused is no chance: the shares are added up, and each whole
// one is a refusal.
type throttle struct {
	unmoved
	counts // a: requests, b: accepted
	owed   float64
}

func (t *throttle) take(c *settings, now, cost int64, _ time.Duration) Result {
	t.advance(c.p.Per, now)
	r := Result{OK: true, Remaining: -1}
	if cost == 0 {
		return r
	}
	requests, accepted := t.sums()
	t.a[t.at] += float64(cost)
	share := max((requests-c.p.Ratio*accepted)/(requests+1), 0)
	if requests < float64(c.p.Min) {
		share = 0 // too few to tell
	}
	if t.owed += share; t.owed < 1 {
		return r
	}
	t.owed--
	return Result{Wait: RetryHint, Remaining: -1}
}

func (t *throttle) giveBack(c *settings, now, cost, _ int64) {
	t.advance(c.p.Per, now)
	t.a[t.at] = max(t.a[t.at]-float64(cost), 0)
}

func (t *throttle) learn(c *settings, now int64, f Feedback) {
	t.advance(c.p.Per, now)
	if !f.dropped() && f.Status < statusServerError {
		t.b[t.at]++
	}
}

func (t *throttle) idle(c *settings, now int64) bool {
	t.advance(c.p.Per, now)
	a, b := t.sums()
	return a == 0 && b == 0
}

func (t *throttle) clone() throttle { return *t }

// retryBudget lets retries be a share of the answers: each answer learned adds
// Ratio of a unit, each take is one retry. Min a second are always there. What
// is not used within Per is forgotten.
type retryBudget struct {
	unmoved
	counts // a: earned, b: spent
}

// balance is what may be spent now.
func (b *retryBudget) balance(c *settings, now int64) float64 {
	b.advance(c.p.Per, now)
	earned, spent := b.sums()
	return earned + float64(c.p.Min)*c.p.Per.Seconds() - spent
}

func (b *retryBudget) take(c *settings, now, cost int64, _ time.Duration) Result {
	left := b.balance(c, now)
	r := Result{Remaining: int64(max(math.Floor(left), 0))}
	if float64(cost) > left+1e-9 && cost > 0 {
		r.Wait = RetryHint
		return r
	}
	b.b[b.at] += float64(cost)
	r.OK, r.Remaining = true, max(r.Remaining-cost, 0)
	return r
}

func (b *retryBudget) giveBack(c *settings, now, cost, _ int64) {
	b.advance(c.p.Per, now)
	for i := range sliceCount { // the newest that has it
		at := (b.at + sliceCount - i) % sliceCount
		n := min(b.b[at], float64(cost))
		b.b[at] -= n
		if cost -= int64(n); cost <= 0 {
			return
		}
	}
}

func (b *retryBudget) learn(c *settings, now int64, _ Feedback) {
	b.advance(c.p.Per, now)
	b.a[b.at] += c.p.Ratio
}

func (b *retryBudget) idle(c *settings, now int64) bool {
	b.advance(c.p.Per, now)
	earned, spent := b.sums()
	return earned == 0 && spent == 0
}

func (b *retryBudget) clone() retryBudget { return *b }
