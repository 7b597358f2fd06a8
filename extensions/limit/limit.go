// Package limit holds gaia's rate limiters: token buckets (GCRA), concurrency
// limits, and limiters that follow what an upstream says about its own quota.
//
// Every limiter is a pure function of the clock handed to it. Times are
// nanoseconds since the Unix epoch and must not be negative; nothing in here
// reads a clock, sleeps, starts a goroutine or does I/O. A decision that must
// wait says how long; the caller, or a simulator in virtual time, does the
// waiting. Callers hand in times that do not run backwards by more than the
// usual skew between goroutines.
//
// The package is not a queue (who waits for a slot, in which order, is
// admission's business) and not a shared store.
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
	TokenBucket Kind = iota + 1 // Rate units per Per on average, Burst at once (GCRA)
	Concurrency                 // Max units in flight at once
	Upstream                    // no rate of its own: follows the upstream's answers
)

var kindNames = [...]string{TokenBucket: "tokenBucket", Concurrency: "concurrency", Upstream: "upstream"}

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

// Params declares a limiter. A kind ignores the fields that are not its own.
type Params struct {
	Rate     float64       // tokenBucket: units per Per; > 0
	Per      time.Duration // tokenBucket: 0 is 1s
	Burst    int64         // tokenBucket: 0 is Rate rounded up, at least 1
	MaxWait  time.Duration // longest wait a Take may reserve; 0: never wait, deny
	Max      int64         // concurrency: units in flight at once; >= 1
	MaxKeys  int           // 0 is DefaultMaxKeys
	WhenFull Full          // what a key beyond MaxKeys gets
}

// Check returns every fault of p for a limiter of kind k, joined; nil if there is none.
func (k Kind) Check(p Params) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("limit: "+format, args...))
	}
	switch k {
	case TokenBucket:
		if _, err := NewRate(p.Rate, p.Per, p.Burst); err != nil {
			faults = append(faults, err)
		}
	case Concurrency:
		if p.Max < 1 {
			fault("max %d: must be at least 1", p.Max)
		}
	case Upstream:
	default:
		faults = append(faults, fmt.Errorf("%w %d", ErrKind, uint8(k)))
	}
	if p.MaxWait < 0 {
		fault("maxWait %v: must not be negative", p.MaxWait)
	}
	if p.MaxKeys < 0 {
		fault("maxKeys %d: must not be negative", p.MaxKeys)
	}
	if p.WhenFull > FullAllow {
		fault("whenFull %d: unknown", p.WhenFull)
	}
	return errors.Join(faults...)
}

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
// none allocates for a key it already holds, but Fork, Export and Set.
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
	// Settle replaces the estimate taken at taken by the true cost.
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
}

// New returns a limiter of that kind, or the faults that Check finds.
func New(kind Kind, p Params) (Limiter, error) {
	if err := kind.Check(p); err != nil {
		return nil, err
	}
	p = p.withDefaults(kind)
	switch kind {
	case TokenBucket:
		return newTokenBucket(p, nil)
	case Concurrency:
		return newConcurrency(p, nil), nil
	default:
		return newUpstream(p, nil), nil
	}
}

func (p Params) withDefaults(k Kind) Params {
	if p.MaxKeys == 0 {
		p.MaxKeys = DefaultMaxKeys
	}
	if k == TokenBucket {
		if p.Per == 0 {
			p.Per = time.Second
		}
		if p.Burst == 0 {
			p.Burst = defaultBurst(p.Rate)
		}
	}
	return p
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
