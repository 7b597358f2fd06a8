package policy

import "time"

// Taker is what an entry was taken from. Every limiter of extensions/limit is one.
type Taker interface {
	// GiveBack undoes a take whose action never started.
	GiveBack(now int64, key string, cost, taken int64)
	// Release ends what lasts as long as the action does.
	Release(now int64, key string, cost int64)
	// Settle replaces the estimate by the true cost.
	Settle(now int64, key string, estimate, actual, taken int64)
}

// Entry is one take, or one refusal to take, made during a hook or by a
// configured limit.
type Entry struct {
	From      Taker  // nil for a refusal: there is nothing to give back
	Limiter   string // scoped name
	Policy    string // who took it; "" a configured limit
	Where     string // FILE:LINE:COLUMN of the take, only with Request.Explain
	Key       string
	Cost      int64
	Taken     int64         // the clock at the take
	OK        bool          // false: refused, for explanations only
	Wait      time.Duration // OK: the action must wait so long; refused: when to come back
	Limit     int64
	Remaining int64
	Reset     time.Duration
	// InLine is the place that the take got in the limiter's line, 1 the next to go;
	// 0: it did not have to stand in it.
	InLine int
	// Place is what it waits for there; nil: nothing, or a dry take, which only looked.
	Place Place
}

// PlaceState is what became of a Place.
type PlaceState uint8

// The states. All but the first are final.
const (
	PlaceWaits PlaceState = iota
	PlaceGranted
	PlaceLost // its time was over, or somebody more urgent came to a full line
	PlaceLeft
	PlaceRefused // what it waited for is not to be had for now
)

// Place is a place in the line of a limiter whose units are all taken. It is safe for
// concurrent use.
type Place interface {
	State() PlaceState
	// Until is when its time in line is over, ns since the epoch. Of a place that was
	// refused it is when to come back.
	Until() int64
	// Leave gives it up at now. It reports false where its units were granted already:
	// those are to be given back as any.
	Leave(now int64) bool
}

// Waiter is who stands in a line.
type Waiter interface {
	// LetGo says that a place does not wait any more: its State tells why. It is called
	// once for each, by whoever freed the units, with no lock held, and perhaps before
	// the place is known to its holder. It must not block.
	LetGo()
}

// Ledger collects the entries of one attempt. subsystems/admission implements
// and pools it; natives only add to it. It is used by one goroutine at a time.
type Ledger interface {
	// Add records e. The ledger keeps a copy of the value, not of its strings'
	// memory: a caller with a view into guest memory clones the key first.
	Add(e Entry)
	// Settle replaces the cost of the newest entry of limiter and key by actual and
	// reports whether there was one.
	Settle(now int64, limiter, key string, actual int64) bool
}
