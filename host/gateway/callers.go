package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Steering is what a caller says about its operation in Gaia-Tenant, Gaia-Priority,
// Gaia-Cost and Gaia-Timeout. The work API reads them too.
type Steering struct {
	Tenant      string
	Priority    int
	HasPriority bool
	Cost        int64         // 0: not said
	Timeout     time.Duration // 0: not said
}

// Read reads one field by its canonical name. It returns what is wrong with it, ""
// for nothing.
func (s *Steering) Read(name, value string) (fault string) {
	in := steering{tenant: s.Tenant, priority: s.Priority, hasPriority: s.HasPriority, cost: s.Cost, timeout: s.Timeout}
	fault = in.read(name, []string{value})
	*s = Steering{in.tenant, in.priority, in.hasPriority, in.cost, in.timeout}
	return fault
}

// Explain sets the fields that say when to come back, at what level the limiter that
// decided is, and how long an operation was held; each only if it is known.
func Explain(h http.Header, retryAfter time.Duration, l *policy.LimitInfo, waited time.Duration) {
	if retryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64(roundUp(retryAfter, time.Second)), 10)}
	}
	if l != nil {
		setRateLimit(h, l)
	}
	if w := waitField(waited); w != "" {
		h["Gaia-Wait"] = []string{w}
	}
}
