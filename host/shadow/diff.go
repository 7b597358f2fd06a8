// Package shadow decides on live traffic with a policy that is not in force, and says
// where it disagrees with those that are. It enforces nothing, and neither its faults
// nor its time reach the traffic.
package shadow

import (
	"time"

	"github.com/gaia-host/gaia/subsystems/admission"
)

// Diff is how what one set of policies said differs from what another did.
type Diff uint8

// The differences.
const (
	Same      Diff = iota
	Denies         // lets through there, denied here
	Allows         // denied there, let through here
	More           // waits longer here
	Less           // waits less here
	Elsewhere      // goes to another upstream
	Diffs
)

var diffNames = [Diffs]string{"same", "denies", "allows", "delays_more", "delays_less", "elsewhere"}

// String returns the name used in metrics, status and reports.
func (d Diff) String() string {
	if d < Diffs {
		return diffNames[d]
	}
	return "invalid"
}

// tolerance is the difference of two waits that is none.
const tolerance = 5 * time.Millisecond

// Compare says how here differs from there. went is the upstream that the balancer chose
// there, where no policy named one; "": nobody knows. To name that one here is no
// difference.
func Compare(there, here admission.Said, went string) Diff {
	switch {
	case here.Deny != there.Deny && here.Deny:
		return Denies
	case here.Deny != there.Deny:
		return Allows
	case here.Deny:
		return Same
	case here.Upstream != there.Upstream && (here.Upstream == "" || there.Upstream != "" || here.Upstream != went):
		return Elsewhere
	case here.Delay > there.Delay+tolerance:
		return More
	case here.Delay < there.Delay-tolerance:
		return Less
	}
	return Same
}

// Would is what a policy would do with one attempt.
type Would uint8

// What it would do.
const (
	Allow Would = iota
	Deny
	Delay
	Route
	Woulds
)

var wouldNames = [Woulds]string{"allow", "deny", "delay", "route"}

// String returns the name used in metrics and status.
func (w Would) String() string {
	if w < Woulds {
		return wouldNames[w]
	}
	return "invalid"
}

// WouldOf names what was said: of a wait elsewhere, the wait.
func WouldOf(s admission.Said) Would {
	switch {
	case s.Deny:
		return Deny
	case s.Delay > 0:
		return Delay
	case s.Upstream != "":
		return Route
	}
	return Allow
}
