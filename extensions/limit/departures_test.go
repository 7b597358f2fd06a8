package limit

import (
	"testing"
	"time"
)

// A key that waits as often as it may leaves the others places to wait at, and there is an
// end to all of them: a take looks at each.
func TestOneKeyDoesNotTakeAllPlaces(t *testing.T) {
	l := mustNew(t, Fair, Params{Rate: 1000, Burst: 10, MaxWait: 10 * time.Hour})
	waits := func(now int64, key string, most int) (n int) {
		for ; n < most; n++ {
			if r := l.Take(now, key, 1, -1); !r.OK {
				break
			}
		}
		return n
	}
	heavy := waits(t0, "heavy", 2*maxComing)
	if least := maxComing / 2; heavy < least || heavy > least+20 {
		t.Errorf("the heavy key waits %d times alone, want %d", heavy, least)
	}
	// It falls silent, which makes it new, and asks for as much again.
	now := t0 + 3*sec/2
	light := waits(now, "light", 100)
	again := waits(now, "heavy", 2*maxComing)
	if light != 100 || waits(now, "light", 100) != 100 {
		t.Errorf("the light one waits %d times, the heavy one %d times more", light, again)
	}
	f := l.(*fair)
	fork := l.Fork().(*fair)
	fork.Peek(now, "light", 1)
	if n := len(fork.leaving.coming); n > maxComing || fork.leaving.places["heavy"] != f.leaving.places["heavy"] {
		t.Errorf("%d wait, in a fork %v, here %v", n, fork.leaving.places, f.leaving.places)
	}
	for i := range 3 * maxComing {
		waits(now, "t"+string(rune('a'+i%26)), 1)
	}
	if n := len(f.leaving.coming) - f.leaving.gone; n > maxComing {
		t.Errorf("%d wait", n)
	}
	l.Take(now+10*3600*sec, "light", 1, 0)
	if len(f.leaving.places) != 0 || len(f.leaving.coming) != f.leaving.gone {
		t.Errorf("all have left but %v", f.leaving.places)
	}
}

// A take finds its way through as many as may wait behind it.
func BenchmarkTakeBeforeAllWhoWait(b *testing.B) {
	l := mustNew(b, Fair, Params{Rate: 1000, Burst: 10, MaxWait: 10 * time.Hour})
	l.Pause(t0, "heavy", 1000*time.Second)
	for l.Take(t0, "heavy", 1, -1).OK {
	}
	b.ReportMetric(float64(len(l.(*fair).leaving.coming)), "waiting")
	for b.Loop() { // cheap ones find no gap before the last of them
		l.Take(t0+1000*sec-sec/1000, "light", 8, 0)
	}
}
