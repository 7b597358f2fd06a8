package limit

import (
	"math"
	"testing"
	"time"
)

func TestPauses(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			p := Params{Rate: 10, Burst: 2, Max: 2, MaxWait: 5 * time.Second}
			if k == RetryBudget {
				p.Min = 10
			}
			l := mustNew(t, k, p)
			l.Pause(t0, "k", 10*time.Second)
			for _, cost := range []int64{0, 1} {
				if r := l.Take(t0, "k", cost, -1); r.OK || r.Wait != 10*time.Second {
					t.Errorf("paused, cost %d: %+v", cost, r)
				}
			}
			if r := l.Peek(t0, "k", 1); r.OK || r.Wait != 10*time.Second {
				t.Errorf("peek: %+v", r)
			}
			if r := l.Take(t0, "other", 1, -1); !r.OK || r.Wait != 0 {
				t.Errorf("another key: %+v", r)
			}
			if r := l.Take(t0+6*sec, "k", 1, -1); !r.OK || r.Wait != 4*time.Second {
				t.Errorf("within the longest wait: %+v", r)
			}
			var left time.Duration
			l.Range(t0+6*sec, func(key string, _ Result, d time.Duration) bool {
				if key == "k" {
					left = d
				}
				return true
			})
			if left != 4*time.Second {
				t.Errorf("Range: paused for %v", left)
			}
			l.Pause(t0, "k", 0)
			if r := l.Take(t0+11*sec, "k", 1, 0); !r.OK {
				t.Errorf("lifted: %+v", r)
			}
			l.Pause(t0, "k", math.MaxInt64)
			if r := l.Take(t0, "k", 1, 0); r.OK || r.Wait > MaxPause+15*time.Second {
				t.Errorf("an endless pause: %+v", r)
			}
			l.Reset("k")
			// What all keys share a reset of one does not give back.
			if r := l.Take(t0+20*sec, "k", 1, 0); !r.OK || r.Wait != 0 {
				t.Errorf("reset: %+v", r)
			}
		})
	}
}

// Those who waited out a pause do not all go at its end.
func TestPausedWaitersKeepTheRate(t *testing.T) {
	l := mustNew(t, TokenBucket, Params{Rate: 10, Burst: 2, MaxWait: time.Minute})
	l.Pause(t0, "k", 10*time.Second)
	for i, want := range []time.Duration{10000, 10000, 10100, 10200} {
		if r := l.Take(t0, "k", 1, -1); !r.OK || r.Wait != want*time.Millisecond {
			t.Errorf("waiter %d: %+v", i, r)
		}
	}
}

func TestLearnHoldsBack(t *testing.T) {
	for _, k := range []Kind{TokenBucket, Concurrency, Upstream} {
		t.Run(k.String(), func(t *testing.T) {
			l := mustNew(t, k, Params{Rate: 1000, Burst: 1000, Max: 1000})
			learn := func(now int64, status int, retry time.Duration, sent int64) {
				f := NoFeedback(status)
				f.RetryAfter, f.Sent = retry, sent
				l.Learn(now, "k", f)
			}
			wait := func(now int64) time.Duration { return l.Peek(now, "k", 1).Wait }
			learn(t0, 301, time.Hour, 0)
			if d := wait(t0); d != 0 {
				t.Errorf("a redirect's Retry-After: %v", d)
			}
			learn(t0, 503, 3*time.Second, 0)
			if d := wait(t0); d != 3*time.Second {
				t.Errorf("Retry-After: %v", d)
			}
			now := t0 + 10*sec
			for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
				learn(now, 429, -1, now)
				learn(now, 429, -1, now-1) // the others of the same burst
				if d := wait(now); d != want*time.Second {
					t.Errorf("refusal %d: %v", i, d)
				}
				now += int64(want) * sec
			}
			learn(now+1, 200, -1, now)
			learn(now+2, 429, -1, now+2)
			if d := wait(now + 2); d != time.Second {
				t.Errorf("after a success: %v", d)
			}
		})
	}
	l := mustNew(t, TokenBucket, Params{Rate: 1, Burst: 100})
	l.Learn(t0, "k", Feedback{Status: 200, RetryAfter: -1, Limit: -1, Remaining: 3, Reset: time.Minute, Window: -1})
	if r := l.Peek(t0, "k", 0); r.Remaining != 3 {
		t.Errorf("remaining learned: %+v", r)
	}
	l.Learn(t0, "k", Feedback{Status: 200, RetryAfter: -1, Limit: -1, Remaining: 50, Reset: time.Minute, Window: -1})
	if r := l.Peek(t0, "k", 0); r.Remaining != 3 {
		t.Errorf("remaining never rises: %+v", r)
	}
}
