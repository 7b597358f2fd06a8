package upstream

import (
	"errors"
	"fmt"
	"time"
)

// Limit is a limit of the upstream's own, which its callers meet as a 429. It is
// written apart from gaia's limiters on purpose: a model must not share their faults.
type Limit struct {
	Kind   string        // gcra or fixedWindow
	Quota  int64         // units in each Per
	Per    time.Duration // 0 is a second
	Burst  int64         // gcra: units at once, 0 is Quota
	Tokens bool          // counts costs instead of requests
}

// maxUnits bounds a quota: so many are told apart, and sums of them stay in range.
const maxUnits = 1 << 53

// LimitKinds lists the kinds of limits.
func LimitKinds() []string { return []string{"gcra", "fixedWindow"} }

func (l *Limit) check() error {
	switch {
	case l.Kind != "gcra" && l.Kind != "fixedWindow":
		return fmt.Errorf("limit: unknown kind %q (want one of %v)", l.Kind, LimitKinds())
	case l.Quota < 1 || l.Quota > maxUnits || l.Burst > maxUnits:
		return fmt.Errorf("limit: want a quota of 1 to %d, and a burst of at most that", int64(maxUnits))
	case l.Per < 0 || l.Burst < 0:
		return errors.New("limit: per and burst must not be negative")
	}
	return nil
}

// hidden is a Limit at work.
type hidden struct {
	Limit
	used   int64 // fixedWindow: in the window that began at window
	window int64
	tat    int64   // gcra: theoretical arrival time
	passed float64 // units let through in all
}

func newHidden(l Limit) *hidden {
	if l.Per == 0 {
		l.Per = time.Second
	}
	if l.Burst == 0 {
		l.Burst = l.Quota
	}
	return &hidden{Limit: l, window: -1}
}

func (h *hidden) units(cost int64) int64 {
	if h.Tokens {
		return cost
	}
	return 1
}

// emission is the time that n units take.
func (h *hidden) emission(n int64) int64 {
	return int64(min(float64(n)*float64(h.Per)/float64(h.Quota), never/4))
}

// ask returns how long n units have to wait, 0 for not at all.
func (h *hidden) ask(now, n int64) time.Duration {
	if h.Kind == "gcra" {
		at := max(h.tat, now) + h.emission(n) - h.emission(h.Burst)
		return time.Duration(max(at-now, 0))
	}
	if w := now / int64(h.Per); w != h.window {
		h.window, h.used = w, 0
	}
	if h.used+n <= h.Quota {
		return 0
	}
	return h.reset(now)
}

func (h *hidden) take(now, n int64) {
	h.passed += float64(n)
	if h.Kind == "gcra" {
		h.tat = max(h.tat, now) + h.emission(n)
		return
	}
	h.used += n
}

// remaining is what is left, and reset when all is there again.
func (h *hidden) remaining(now int64) int64 {
	if h.Kind == "gcra" {
		behind := max(h.tat-now, 0)
		return max(0, h.Burst-int64(float64(behind)*float64(h.Quota)/float64(h.Per)+0.999999))
	}
	return max(0, h.Quota-h.used)
}

func (h *hidden) reset(now int64) time.Duration {
	if h.Kind == "gcra" {
		return time.Duration(max(h.tat-now, 0))
	}
	return time.Duration((now/int64(h.Per)+1)*int64(h.Per) - now)
}
