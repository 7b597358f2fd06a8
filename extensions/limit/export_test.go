package limit

import (
	"math"
	"testing"
	"time"
)

func TestExportImport(t *testing.T) {
	for _, k := range []Kind{TokenBucket, Upstream} {
		p := Params{Rate: 1, Per: time.Minute, Burst: 5}
		l, into := mustNew(t, k, p), mustNew(t, k, p)
		l.Take(t0, "", 1, 0)
		l.Take(t0, "a", 3, 0)
		l.Learn(t0, "a", Feedback{Status: 200, RetryAfter: -1, Limit: 5, Remaining: 2, Reset: time.Hour, Window: -1})
		l.Pause(t0, "p", time.Hour)
		l.Take(t0-1000*sec, "old", 1, 0)
		n := 0
		l.Export(t0, func(r Record) bool {
			if r.Key == "old" {
				t.Errorf("exported what has expired: %+v", r)
			}
			into.Import(t0, r)
			n++
			return true
		})
		if n < 2 {
			t.Errorf("%v: %d records", k, n)
		}
		for _, key := range []string{"", "a", "p"} {
			if a, b := l.Peek(t0, key, 1), into.Peek(t0, key, 1); a.OK != b.OK || a.Wait != b.Wait || a.Remaining != b.Remaining && k == TokenBucket {
				t.Errorf("%v %q: %+v, imported %+v", k, key, a, b)
			}
		}
	}
	l := mustNew(t, Concurrency, Params{Max: 1})
	l.Import(t0, Record{Key: "k", Paused: t0 + sec, TAT: math.MaxInt64})
	if r := l.Peek(t0, "k", 1); r.OK || r.Wait != time.Second {
		t.Errorf("a pause of a concurrency limit: %+v", r)
	}
}

func FuzzImport(f *testing.F) {
	f.Add("k", t0, t0+sec, int64(5), int64(3), t0+sec, int64(1))
	f.Add("", int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(9))
	f.Add("k", int64(math.MinInt64), int64(-1), int64(-1), int64(math.MinInt64), int64(-1), int64(-3))
	f.Fuzz(func(t *testing.T, key string, tat, paused, limit, remaining, resetAt, cost int64) {
		r := Record{Key: key, TAT: tat, Paused: paused, Limit: limit, Remaining: remaining, ResetAt: resetAt}
		for _, k := range Kinds() {
			l := mustNew(t, k, Params{Rate: 10, Burst: 10, Max: 10, Min: 1})
			l.Take(t0, key, 4, 0)
			before := l.Peek(t0, key, cost)
			l.Import(t0, r)
			after := l.Peek(t0, key, cost)
			if after.OK && (!before.OK || after.Wait < before.Wait || before.Remaining >= 0 && after.Remaining > before.Remaining) {
				t.Errorf("%v: %+v made %+v more permissive: %+v", k, r, before, after)
			}
			l.Release(t0, key, 4)
			if got := l.Take(t0+3*int64(MaxPause), key, 1, 0); !got.OK {
				t.Errorf("%v: %+v still closes it three days later: %+v", k, r, got)
			}
			l.Export(t0, func(Record) bool { return true })
		}
	})
}
