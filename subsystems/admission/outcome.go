package admission

import (
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Outcome is what a caller may want to know of the way of its operation through
// admission. The zero Outcome is that of one that nobody asked about.
type Outcome struct {
	Waited     time.Duration // held before it went, over all attempts
	Attempts   int           // made or denied
	Generation uint64        // of the policies, 0 none
	Upstream   string        // name in the Group, "" without one
	Policy     string        // that decided, "" none
	Reason     string
	Limit      policy.LimitInfo // of the limiter that decided
}

// Outcome tells how it went so far. It must not be asked for after Free.
func (op *Op) Outcome() Outcome {
	o := Outcome{
		Waited: op.Waited(), Attempts: op.Req.Attempt, Generation: op.generation,
		Policy: op.Decision.Policy, Reason: op.Decision.Reason, Limit: op.Decision.Limit,
	}
	if i := op.Upstream(); i >= 0 {
		o.Upstream = op.Group.Upstream(i).Name
	}
	return o
}
