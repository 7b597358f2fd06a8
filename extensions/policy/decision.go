package policy

import "time"

// Action is what a policy wants to happen.
type Action uint8

// The actions, in the numbering of the Wasm ABI.
const (
	ActionNone  Action = iota // no opinion
	ActionAllow               // go, with the changes the decision names
	ActionDeny                // do not go
	ActionDelay               // go after Delay
	ActionRoute               // go to Upstream
	ActionRetry               // response hook only: try again after Delay
)

var actionNames = [...]string{"none", "allow", "deny", "delay", "route", "retry"}

// String returns the name of the action as JSON and JavaScript spell it.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "invalid"
}

// ParseAction is the inverse of String.
func ParseAction(name string) (Action, bool) {
	for i, n := range actionNames {
		if n == name {
			return Action(i), true
		}
	}
	return ActionNone, false
}

// Bounds that a Decision is held to, whoever made it.
const (
	MinStatus     = 400
	MaxStatus     = 599
	MaxDelay      = 24 * time.Hour
	MaxReason     = 256 // bytes
	MaxHeaders    = 16
	MaxHeaderText = 4096 // bytes of a name and value together
	MaxCost       = 1 << 40
)

// Header is one field that a decision sets on the request to the upstream.
type Header struct{ Name, Value string }

// Decision is a policy's answer. The zero Decision means "no opinion".
type Decision struct {
	Action     Action
	Status     int           // deny: 0 means 429
	RetryAfter time.Duration // deny: when to come back, 0 unknown
	Delay      time.Duration // delay and retry: how long to wait first
	Reason     string

	Key      string        // "" unchanged; otherwise configured limits count on it
	Upstream string        // "" unchanged
	Timeout  time.Duration // 0 unchanged: bounds the attempt
	Cost     int64         // counts only with HasCost
	Priority int           // counts only with HasPriority
	Headers  []Header      // set on the request to the upstream

	HasCost, HasPriority bool

	// Limit describes the ledger entry that decided; filled by natives and the
	// host, never by a policy.
	Limit LimitInfo
	// Where is the FILE:LINE:COLUMN that decided, where the engine can tell; filled
	// only with Request.Explain.
	Where string
	// Policy names the policy that decided; filled by Chain.
	Policy string
}

// LimitInfo is the level of the limiter that decided.
type LimitInfo struct {
	Name      string        // scoped name; "" where no limiter decided
	Key       string        // the key it counted on
	Limit     int64         // its burst, its maximum or the quota learned
	Remaining int64         // whole units left, -1 unknown
	Reset     time.Duration // until it is full again
}

// Reset makes d the zero Decision and keeps the memory of its headers.
func (d *Decision) Reset() {
	h := d.Headers[:0]
	*d = Decision{Headers: h}
}

// IsZero reports whether d holds no opinion at all.
func (d *Decision) IsZero() bool {
	return d.Action == ActionNone && d.Key == "" && d.Upstream == "" && d.Timeout == 0 && !d.HasCost && !d.HasPriority && len(d.Headers) == 0
}
