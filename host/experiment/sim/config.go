// Package sim runs one replica of one strategy in virtual time: callers arrive, the
// production admission decides, modelled upstreams answer, and what happened is
// counted. One goroutine drives it; nothing in it reads a clock, so the same
// configuration gives the same outcome.
//
// It knows nothing of scripts, of several strategies or of reports.
package sim

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/experiment/arrivals"
	"github.com/gaia-host/gaia/host/experiment/dist"
	"github.com/gaia-host/gaia/host/experiment/upstream"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Config describes a replica.
type Config struct {
	Seed, Replica uint64
	Start         int64 // when virtual time begins, ns since the epoch
	Duration      time.Duration
	Warmup        time.Duration // arrivals before its end are not counted
	Scenarios     []Scenario
	Upstreams     []Upstream
	Group         *route.Group // of Upstreams, in their order
	Core          *admission.Core
	Retry         Retry
	// Tick is called once a virtual second; nil: not.
	Tick func(now int64)
	// Halt ends the run early, soon after it is true, with the error of Cause. What was
	// counted until then stays. nil: never.
	Halt  *atomic.Bool
	Cause func() error
	// Reached is told now and then how far the run is, ns from Start; nil: nobody is.
	Reached *atomic.Int64
	// MaxEvents bounds the run; 0 is a thousand million.
	MaxEvents uint64
}

// Upstream is a modelled server.
type Upstream struct {
	Name string
	upstream.Config
}

// Scenario is one stream of requests. Exactly one of Process, Users and Rows is given.
type Scenario struct {
	Name     string
	Process  arrivals.Process // open: they come whatever happens
	Users    int              // closed: each waits for its answer, then thinks
	Think    dist.Dist        // ms
	Rows     Rows             // recorded
	From     time.Duration
	Until    time.Duration // 0 the end
	Keys     dist.Dist     // index into KeyNames
	KeyNames []string      // at least one
	// Key, where it is not "", is the key of every request, and KeyNames are tenants.
	Key      string
	Cost     dist.Dist // 0 counts as 1
	Tenant   string
	Priority int
	Method   string
	Path     string
	Patience time.Duration // a caller leaves after this; 0 never
}

// Row is one recorded request.
type Row struct {
	At      int64 // ns from the start of the scenario, not falling
	Key     string
	Cost    int64
	Service float64 // the share of service times below its own, -1: drawn
	Tenant  string
}

// Rows gives recorded requests in order; false at the end.
type Rows interface{ Next() (Row, bool) }

// Retry is what callers do by themselves after an answer that failed: a denial, 429,
// or 5xx. The zero Retry gives up at once.
type Retry struct {
	Kind     string // "", fixed, exponential, decorrelated
	Attempts int    // the first included
	Base     time.Duration
	Max      time.Duration
	Full     bool    // exponential: full jitter
	Budget   float64 // retries are at most this share of requests; 0 no bound
	Honor    bool    // wait at least as long as Retry-After says
	// Timeout is how long an attempt may take: then the caller leaves it, the upstream
	// works on, and the attempt has failed. 0: as long as its patience.
	Timeout time.Duration
}

// RetryKinds lists the kinds of retries.
func RetryKinds() []string { return []string{"none", "fixed", "exponential", "decorrelated"} }

// Check returns every fault of r, joined.
func (r *Retry) Check() error {
	var faults []error
	const longest = 1000 * 24 * time.Hour
	if r.Timeout < 0 || max(r.Timeout, r.Base, r.Max) > longest {
		faults = append(faults, fmt.Errorf("retry: timeout, base and max must be 0 to %v", longest))
	}
	switch r.Kind {
	case "", "none":
		return errors.Join(faults...)
	case "fixed", "exponential", "decorrelated":
	default:
		faults = append(faults, fmt.Errorf("retry: unknown kind %q (want one of %v)", r.Kind, RetryKinds()))
	}
	if r.Attempts < 1 || r.Attempts > 1000 {
		faults = append(faults, errors.New("retry: attempts must be 1 to 1000"))
	}
	if r.Base <= 0 || r.Max < 0 || !(r.Budget >= 0) {
		faults = append(faults, errors.New("retry: base must be more than 0, max and budget not below 0"))
	}
	return errors.Join(faults...)
}

// ErrEvents is the error of a run that had more events than it may.
var ErrEvents = errors.New("the run has more events than it may")

const (
	defaultMaxEvents = 1_000_000_000
	maxCalls         = 1 << 20 // under way at once: some 2 KB each
)
