package limit

import (
	"math"
	"time"
)

// learn takes in an answer.
func (q *quotaState) learn(now int64, f Feedback) {
	q.advance(now)
	if f.Sent > 0 && f.Sent <= now {
		q.took(now, now-f.Sent)
	} else {
		f.Sent = 0
	}
	q.learnPause(now, f)
	fresh := f.Sent == 0 || f.Sent >= q.sent || q.newWindow(now, f)
	if fresh {
		if f.Limit > 0 {
			q.limit = f.Limit
		}
		if f.Window > 0 {
			q.window = int64(min(f.Window, MaxPause))
		}
		q.sent = max(q.sent, f.Sent)
	}
	if f.Remaining >= 0 {
		q.learnRemaining(now, f, fresh)
	}
	q.answered(now, 1)
}

// newWindow says that an answer tells of a window that no answer told of yet,
// whenever its request was taken: one that waited was taken long before it left.
func (q *quotaState) newWindow(now int64, f Feedback) bool {
	return f.Reset > 0 && boundReset(now, f.Reset) > addSat(max(q.resetAt, q.rolled), q.slack())
}

func (q *quotaState) learnRemaining(now int64, f Feedback, fresh bool) {
	if f.Reset == 0 && q.rolled > 0 && f.Sent >= q.rolled {
		q.floors = true // sent after the reset that was told of, which has not been yet
	}
	if q.floors && f.Reset%time.Second == 0 && f.Reset >= 0 {
		f.Reset += time.Second
	}
	resetAt := q.resetAt
	if f.Reset >= 0 {
		resetAt = boundReset(now, f.Reset)
	}
	if resetAt <= now && f.Reset < 0 {
		return // how much is left, but not until when
	}
	slack := q.slack()
	same := q.known && q.resetAt != 0 && max(resetAt-q.resetAt, q.resetAt-resetAt) <= slack
	if !fresh {
		if same {
			q.left, q.ceil = min(q.left, f.Remaining), min(q.ceil, f.Remaining)
		}
		return
	}
	uncounted := q.pending - 1
	if f.Sent != 0 {
		uncounted = q.taken - q.history.by(f.Sent) - 1
	}
	if f.Remaining < math.MaxInt64 {
		q.peak = max(q.peak, f.Remaining+1)
	}
	floor := f.Remaining - max(uncounted, 0)
	if !q.known {
		q.left = floor
	}
	q.left = min(max(q.left, floor), f.Remaining)
	q.ceil = f.Remaining
	if f.Reset >= 0 {
		q.told = max(q.told, resetAt-now)
	}
	low := resetAt
	if f.Reset >= 0 {
		low = q.lowest(now, f)
	}
	switch {
	case q.guess && f.Reset >= 0 && f.Sent >= q.rolled:
		q.apart(resetAt)
	case same:
		resetAt, low = max(resetAt, q.resetAt), max(low, q.low)
	default:
		q.apart(resetAt)
		if !q.known || resetAt > q.resetAt+slack {
			q.rolled = max(f.Sent, q.rolled)
		}
	}
	q.known, q.resetAt, q.lastReset, q.low, q.guess = true, resetAt, resetAt, low, false
}

// lowest is the earliest that a reset may be which an answer told of: counted from when
// its request left, and told in whole seconds, a part of one before.
func (q *quotaState) lowest(now int64, f Feedback) int64 {
	from := now - q.rtt
	if f.Sent > 0 {
		from = f.Sent
	}
	low := from + int64(min(f.Reset, MaxPause))
	if f.Reset%time.Second == 0 || (now+int64(f.Reset))%int64(time.Second) == 0 {
		low -= int64(time.Second)
	}
	return low
}

// apart measures a window by the reset of the one before. Windows that nobody saw
// may lie between, so the shortest counts.
func (q *quotaState) apart(resetAt int64) {
	if d := resetAt - q.lastReset; q.lastReset > 0 && d > q.slack() && (q.seen == 0 || d < q.seen) {
		q.seen = d
	}
}

// boundReset is now+d, at most MaxPause ahead and never 0.
func boundReset(now int64, d time.Duration) int64 {
	return max(addSat(now, int64(min(max(d, 0), MaxPause))), 1)
}

func (q *quotaState) learnPause(now int64, f Feedback) {
	switch {
	case f.RetryAfter > 0 && f.refused():
		q.pausedUntil = max(q.pausedUntil, boundPause(now, f.RetryAfter))
	case f.Status == statusTooMany && f.Reset > 0:
		q.pausedUntil = max(q.pausedUntil, boundPause(now, f.Reset))
	case f.Status == statusTooMany:
		if d := q.backoff.next(now, f.Sent, q.pausedUntil); d > 0 {
			q.pausedUntil = boundPause(now, d)
		}
	case f.succeeded():
		q.backoff.success(f.Sent)
	}
}

// restore takes in an exported level, as far as it holds back.
func (q *quotaState) restore(now int64, r Record) {
	q.advance(now)
	if r.Limit > 0 && (q.limit == 0 || r.Limit < q.limit) {
		q.limit = r.Limit
	}
	left := max(r.Remaining, 0)
	if q.limit > 0 {
		left = min(left, q.limit)
	}
	if !q.known {
		q.known, q.left, q.ceil = true, left, left
		q.peak = max(q.peak, min(left, math.MaxInt64-1))
	}
	q.left, q.ceil = min(q.left, left), min(q.ceil, left)
	q.resetAt = max(q.resetAt, min(r.ResetAt, boundReset(now, MaxPause)))
}
