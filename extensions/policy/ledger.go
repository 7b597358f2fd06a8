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
