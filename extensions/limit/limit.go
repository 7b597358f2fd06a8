// Package limit holds gaia's rate limiters: token buckets (GCRA), windows,
// concurrency limits fixed and adaptive, throttles and budgets, fair shares, and
// limiters that follow what an upstream says about its own quota.
//
// Every limiter is a pure function of the clock handed to it. Times are
// nanoseconds since the Unix epoch and must not be negative; nothing in here
// reads a clock, sleeps, starts a goroutine or does I/O. A decision that must
// wait says how long; the caller, or a simulator in virtual time, does the
// waiting. Callers hand in times that do not run backwards by more than the
// usual skew between goroutines.
//
// The package is not a scheduler: a line of a concurrency limiter (Line) says who is
// next, and whoever stands in it waits, and gives up, elsewhere. It is not a shared
// store either.
package limit

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Bounds and defaults.
const (
	// Never is a wait that never ends.
	Never time.Duration = math.MaxInt64
	// DefaultMaxKeys is how many keys a limiter holds when Params says 0.
	DefaultMaxKeys = 100_000
	// MaxPause bounds every pause, whoever asks for it.
	MaxPause = 24 * time.Hour
	// RetryHint is the Wait of a denial whose end nobody can know: a full
	// concurrency limit, a key that found no place.
	RetryHint = time.Second
)

// ErrKind is the error of an unknown kind of limiter.
var ErrKind = errors.New("limit: unknown kind")

// Kind is the algorithm of a limiter. The zero Kind is invalid.
type Kind uint8

// The kinds.
const (
	TokenBucket   Kind = iota + 1 // Rate units per Per on average, Burst at once (GCRA)
	Concurrency                   // Max units in flight at once
	Upstream                      // no rate of its own: follows the upstream's answers
	FixedWindow                   // Max units in each Per of the clock: twice that across a boundary
	SlidingWindow                 // Max units in the last Per, counted by two windows
	SlidingLog                    // Max units in any Per, exactly; remembers every take
	Adaptive                      // units in flight, between Min and Max, as the answers bear
	Throttle                      // refuses the share that the upstream would (Google SRE)
	RetryBudget                   // retries as a share of the answers
	Fair                          // one rate, shared among the keys that ask (deficit round robin)
	Calendar                      // Max units an hour, a day, a week or a month of a time zone
)

var kindNames = [...]string{
	TokenBucket: "tokenBucket", Concurrency: "concurrency", Upstream: "upstream",
	FixedWindow: "fixedWindow", SlidingWindow: "slidingWindow", SlidingLog: "slidingLog",
	Adaptive: "adaptive", Throttle: "throttle", RetryBudget: "retryBudget", Fair: "fair", Calendar: "calendar",
}

// Kinds lists all kinds, in their order.
func Kinds() []Kind {
	var all []Kind
	for k := TokenBucket; int(k) < len(kindNames); k++ {
		all = append(all, k)
	}
	return all
}

// String returns the name that ParseKind reads.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// ParseKind returns the kind of that name, or ErrKind.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name && n != "" {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("%w %q", ErrKind, name)
}

// Full is what a key gets that finds no place because MaxKeys live keys are held.
type Full uint8

// The answers to a full limiter.
const (
	FullShare Full = iota // all such keys share one overflow level
	FullDeny              // such a key is denied, with RetryHint
	FullAllow             // such a key is let through uncounted
)

// Result is the answer to a Take or a Peek.
type Result struct {
	OK bool
	// Wait, when OK, is how long the caller must wait before it acts (0: now).
	// When not OK it is how long until the same take could pass, or Never.
	Wait      time.Duration
	Limit     int64         // burst, max, or the quota last learned (0 unknown)
	Remaining int64         // whole units left after this decision (-1 unknown)
	Reset     time.Duration // from now until full again (0: full, or unknown)
}

// Limiter counts units for keys. All methods are safe for concurrent use, and
// none allocates for a key it already holds, but Fork, Export, Range and Set,
// those of a sliding log, which grows and is copied to be looked at, and takes that
// wait for their turn among fair shares.
// A negative cost counts as 0; a take of 0 takes nothing and only a pause holds it.
// Key strings are copied where they are kept.
type Limiter interface {
	Kind() Kind
	// Params returns the parameters in force, defaults filled in.
	Params() Params
	// Set changes the parameters and keeps the counts. Wrong parameters change
	// nothing. A token bucket further behind than the new burst allows is
	// brought to an empty one when its key is next touched.
	Set(p Params) error
	// Take takes cost units. maxWait is the longest wait to accept, below 0 the
	// declared one; an OK result is a reservation, also when it must wait.
	Take(now int64, key string, cost int64, maxWait time.Duration) Result
	// Peek returns what Take with the declared MaxWait would, and takes nothing.
	Peek(now int64, key string, cost int64) Result
	// GiveBack undoes a Take made at taken whose action never started.
	GiveBack(now int64, key string, cost, taken int64)
	// Release says that a started action ended: it is no longer in flight.
	Release(now int64, key string, cost int64)
	// Settle replaces the estimate taken at taken by the true cost. Of kinds that
	// Reserve, taken is here and in GiveBack when the wait of that take ended.
	Settle(now int64, key string, estimate, actual, taken int64)
	// Learn takes in what an upstream's answer said. It only ever holds back.
	Learn(now int64, key string, f Feedback)
	// Pause closes the key until now+d, at most MaxPause; d <= 0 lifts a pause.
	Pause(now int64, key string, d time.Duration)
	// Reset forgets a key. The empty key is a key like any other.
	Reset(key string)
	// Len is how many keys are held, those not yet evicted included.
	Len() int
	// Range calls fn for each live key with its level (as a Peek of one unit
	// tells it) and what is left of its pause, until fn returns false.
	Range(now int64, fn func(key string, r Result, pausedFor time.Duration) bool)
	// Fork returns an overlay: the same parameters, no keys, and on the first
	// touch of a key a copy of that key's level here. It never writes to l.
	Fork() Limiter
	// Export calls fn for each live key, until fn returns false.
	Export(now int64, fn func(Record) bool)
	// Import takes in one exported key. Values are clamped, what has expired is
	// ignored, and a key never becomes more permissive than it was.
	Import(now int64, r Record)
}

// Record is one key's level, in plain values to be stored. Times are
// nanoseconds since the epoch; zero means absent. A limiter reads the fields of
// its own kind and ignores the others.
type Record struct {
	Key       string `json:"key,omitempty"`
	TAT       int64  `json:"tat,omitempty"`
	Paused    int64  `json:"paused,omitempty"`
	Limit     int64  `json:"limit,omitempty"`
	Remaining int64  `json:"remaining,omitempty"`
	ResetAt   int64  `json:"reset_at,omitempty"`
	Used      int64  `json:"used,omitempty"`   // in the window that ends at ResetAt
	Before    int64  `json:"before,omitempty"` // in the window before that
}

// New returns a limiter of that kind, or the faults that Check finds.
func New(kind Kind, p Params) (Limiter, error) {
	c, err := newSettings(kind, p)
	if err != nil {
		return nil, err
	}
	switch kind {
	case TokenBucket:
		return newTokenBucket(c.p, nil)
	case Concurrency:
		return newConcurrency(c.p, nil), nil
	case Upstream:
		return newUpstream(c.p, nil), nil
	case FixedWindow, Calendar:
		return newKeyed[window](kind, c, nil), nil
	case SlidingWindow:
		return newKeyed[slidingWindow](kind, c, nil), nil
	case SlidingLog:
		return newKeyed[slidingLog](kind, c, nil), nil
	case Adaptive:
		return newKeyed[adaptive](kind, c, nil), nil
	case Throttle:
		return newKeyed[throttle](kind, c, nil), nil
	case RetryBudget:
		return newKeyed[retryBudget](kind, c, nil), nil
	default:
		return newFair(c.p, nil)
	}
}

// crowded is the result of a key that found no place and shares none.
func crowded(w Full, limit int64) Result {
	if w == FullAllow {
		return Result{OK: true, Limit: limit, Remaining: -1}
	}
	return Result{Wait: RetryHint, Limit: limit}
}

// boundPause returns when a pause of d from now ends; 0 for d <= 0.
func boundPause(now int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return addSat(now, int64(min(d, MaxPause)))
}

// addSat is a+b for b >= 0, held at the largest int64.
func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
