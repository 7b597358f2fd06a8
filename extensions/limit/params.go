package limit

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Params declares a limiter. A kind ignores the fields that are not its own, and
// Fields tells which are. Params can be compared.
type Params struct {
	Rate    float64       // tokenBucket, fair: units per Per; > 0
	Per     time.Duration // the span of Rate or Max; 0 is 1s, of throttle 2m, of retryBudget 10s
	Burst   int64         // tokenBucket, fair: 0 is Rate rounded up, at least 1
	MaxWait time.Duration // longest wait a Take may reserve; 0: never wait, deny
	// Max is, of concurrency, the units in flight at once; of windows and calendar,
	// the units of each; of adaptive, what the limit never exceeds (0: 1000).
	Max   int64
	Min   int64   // adaptive: least limit (0: 1); throttle: requests below which it refuses none; retryBudget: retries a second always allowed
	Ratio float64 // throttle: requests sent for each accepted (0: 2); retryBudget: retries for each answer (0: 0.2)
	// MaxQueue and MaxWait make a concurrency limiter one whose takes may wait in line
	// (Line): how many for each key, 0 with a MaxWait: DefaultMaxQueue; and how long,
	// 0 with a MaxQueue: DefaultQueueWait. Both 0: there is no line.
	MaxQueue  int64
	Order     string // concurrency: who is next, "fifo" (the default) or "priority", and first come first served among equals
	Algorithm string // adaptive: "aimd" (the default) or "gradient"
	Every     string // calendar: "hour", "day" (the default), "week" or "month"
	Zone      string // calendar: IANA name of the time zone; "": UTC
	Weights   string // fair: "gold=3,free=1"; a key not named has 1
	Unit      string // "requests" (the default) or "tokens": which fields of an answer it learns from
	MaxKeys   int    // 0 is DefaultMaxKeys
	WhenFull  Full   // what a key beyond MaxKeys gets
}

// maxLog bounds what a sliding log remembers of a key.
const maxLog = 100_000

// Check returns every fault of p for a limiter of kind k, joined; nil if there is none.
func (k Kind) Check(p Params) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("limit: "+format, args...))
	}
	if k == 0 || int(k) >= len(kindNames) {
		faults = append(faults, fmt.Errorf("%w %d", ErrKind, uint8(k)))
	} else if err := k.checkOwn(p, fault); err != nil {
		faults = append(faults, err)
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

// checkOwn checks the fields of the kind's own.
func (k Kind) checkOwn(p Params, fault func(string, ...any)) error {
	switch k {
	case Concurrency, FixedWindow, SlidingWindow, SlidingLog, Calendar:
		if p.Max < 1 || p.Max > math.MaxInt64/4 {
			fault("max %d: must be at least 1", p.Max)
		}
	case Adaptive:
		if p.Min < 0 || p.Max < 0 || p.Max > 0 && p.Min > p.Max {
			fault("min %d, max %d: want 0 < min <= max", p.Min, p.Max)
		}
	case Throttle, RetryBudget:
		if !(p.Ratio >= 0) || math.IsInf(p.Ratio, 0) || k == Throttle && p.Ratio != 0 && p.Ratio < 1 {
			fault("ratio %v: must be a number from 0 on, of a throttle from 1 on", p.Ratio)
		}
		if p.Min < 0 {
			fault("min %d: must not be negative", p.Min)
		}
	case TokenBucket, Fair, Upstream:
	}
	if k != TokenBucket && k != Fair && (p.Per < 0 || p.Per > time.Duration(fullSpan)) {
		fault("per %v: must be above 0 and below 100 years", p.Per)
	}
	if k == Concurrency && (p.MaxQueue < 0 || p.MaxQueue > maxQueue) {
		fault("maxQueue %d: must be from 0 to %d", p.MaxQueue, maxQueue)
	}
	if k == SlidingLog && p.Max > maxLog {
		fault("max %d: a log remembers %d at most; use slidingWindow", p.Max, maxLog)
	}
	if err := k.checkTexts(p); err != nil {
		return err
	}
	if k == TokenBucket || k == Fair {
		_, err := NewRate(p.Rate, p.Per, p.Burst)
		return err
	}
	return nil
}

func (k Kind) checkTexts(p Params) error {
	switch k {
	case Concurrency:
		return oneOf("order", p.Order, "fifo", "priority")
	case Adaptive:
		return oneOf("algorithm", p.Algorithm, "aimd", "gradient")
	case TokenBucket, Upstream, FixedWindow, SlidingWindow:
		return oneOf("unit", p.Unit, "requests", "tokens")
	case Fair:
		if _, ok := parseWeights(p.Weights); !ok {
			return fmt.Errorf("limit: weights %q: want key=weight,.. with weights from %v to %v", p.Weights, minWeight, maxWeight)
		}
	case Calendar:
		if _, err := time.LoadLocation(p.Zone); err != nil {
			return fmt.Errorf("limit: zone %q: %w", p.Zone, err)
		}
		return oneOf("every", p.Every, "hour", "day", "week", "month")
	}
	return nil
}

func oneOf(name, value string, known ...string) error {
	if value == "" {
		return nil
	}
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return fmt.Errorf("limit: %s %q: want one of %q", name, value, known)
}

// Fields are the names of the parameters that a kind has, as policies write them.
func (k Kind) Fields() []string {
	switch k {
	case TokenBucket:
		return []string{"rate", "per", "burst", "unit", "maxWait", "maxKeys"}
	case Concurrency:
		return []string{"max", "maxQueue", "maxWait", "order", "maxKeys"}
	case Upstream:
		return []string{"unit", "maxWait", "maxKeys"}
	case FixedWindow, SlidingWindow:
		return []string{"max", "per", "unit", "maxWait", "maxKeys"}
	case SlidingLog:
		return []string{"max", "per", "maxWait", "maxKeys"}
	case Adaptive:
		return []string{"algorithm", "min", "max", "maxKeys"}
	case Throttle, RetryBudget:
		return []string{"ratio", "min", "per", "maxKeys"}
	case Fair:
		return []string{"rate", "per", "burst", "weights", "maxWait", "maxKeys"}
	case Calendar:
		return []string{"max", "every", "zone", "maxWait", "maxKeys"}
	}
	return nil
}

// Needs is the parameter without which a limiter of the kind cannot be declared,
// and an example of it; "" where all have defaults.
func (k Kind) Needs() (field, example string) {
	switch k {
	case TokenBucket, Fair:
		return "rate", "{rate: 10} is ten a second"
	case Concurrency:
		return "max", "{max: 10} is ten at once"
	case FixedWindow, SlidingWindow, SlidingLog:
		return "max", "{max: 100, per: \"1m\"} is a hundred a minute"
	case Calendar:
		return "max", "{max: 1000, every: \"day\"} is a thousand a day"
	}
	return "", ""
}

func (p Params) withDefaults(k Kind) Params {
	if p.MaxKeys == 0 {
		p.MaxKeys = DefaultMaxKeys
	}
	per := time.Duration(0)
	switch k {
	case TokenBucket, Fair:
		per = time.Second
		if p.Burst == 0 {
			p.Burst = defaultBurst(p.Rate)
		}
	case FixedWindow, SlidingWindow, SlidingLog:
		per = time.Second
	case Adaptive:
		p.Min = max(p.Min, 1)
		if p.Max == 0 {
			p.Max = max(1000, p.Min)
		}
		if p.Algorithm == "" {
			p.Algorithm = "aimd"
		}
	case Calendar:
		if p.Every == "" {
			p.Every = "day"
		}
	case Throttle:
		per = 2 * time.Minute
		if p.Ratio == 0 {
			p.Ratio = 2
		}
	case RetryBudget:
		per = 10 * time.Second
		if p.Ratio == 0 {
			p.Ratio = 0.2
		}
	case Concurrency:
		p = p.withLine()
	case Upstream:
	}
	if p.Per == 0 {
		p.Per = per
	}
	if k != Calendar {
		p.Every = ""
	}
	return p
}

// withLine fills in what a line needs, where there is to be one.
func (p Params) withLine() Params {
	if p.MaxQueue == 0 && p.MaxWait == 0 {
		return p
	}
	if p.MaxQueue == 0 {
		p.MaxQueue = DefaultMaxQueue
	}
	if p.MaxWait == 0 {
		p.MaxWait = DefaultQueueWait
	}
	if p.Order == "" {
		p.Order = "fifo"
	}
	return p
}
