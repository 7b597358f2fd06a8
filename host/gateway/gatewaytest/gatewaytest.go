// Package gatewaytest is an acceptance suite for a gateway's data plane: a
// reverse proxy with routes plus a forward proxy.
//
// It knows no engine. A gateway is whatever answers HTTP/1.1 at the address
// that a [StartFunc] returns, so the same behaviours hold net/http, fasthttp or
// an event loop of one's own to one standard. The suite starts its own
// upstreams, speaks raw TCP wherever bytes matter, and needs neither network
// nor files. It is not a test of policies, limits or retries, and it measures no
// speed.
//
// # What is expected where the RFCs leave a choice
//
//   - A gateway acts for its own caller as a client would: it adds no
//     Forwarded, X-Forwarded-For, -Host, -Proto or Via field and passes those
//     that the caller sent ([AddsForwardedFields]).
//   - Host becomes the upstream's; the path is not normalised: "..", "//" and
//     escapes pass byte for byte, and so does the query.
//   - A prefix ends at a segment: "/up" is served as "/", "/upper" is not served.
//   - No route is 404 with a problem+json body that names the routes.
//   - An upstream that cannot be reached, or answers nonsense, is 502; one that
//     is late is 504; a body cut short upstream is cut short for the caller.
//   - Absolute-form https:// is refused with 400 or 501 and a body; CONNECT
//     without a port is 400; a request of the gateway to itself is 508.
//   - Declared request trailers pass; undeclared ones may be dropped. Both kinds
//     of response trailers pass.
//   - Malformed requests meet net/http's verdict; see the table in malformedtable.go.
//
// Upstream failures are provoked with POST, which nobody may retry by himself,
// and no upstream answers 429 or 503: a gateway that waits these out is right.
// Requests to a route carry the gateway's own address as their Host, and none has
// an Origin, so a gateway may refuse others.
package gatewaytest

import (
	"slices"
	"testing"
	"time"
)

// AddsForwardedFields says whether a gateway may add Forwarded,
// X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto or Via to a request. It
// may not: the upstream's counterpart is the caller, who knows of the gateway,
// and whose addresses are nobody else's business.
const AddsForwardedFields = false

// HoldField is the request field with which the suite asks for a request to be
// held; its value is a time.Duration in text. See [Config].
const HoldField = "Gaia-Test-Hold"

// Route is one reverse route that the gateway under test must serve.
type Route struct {
	Name       string // as it must appear in the 404's body
	PathPrefix string // ends with a slash: "/up/"
	Strip      bool   // whether the prefix is taken off before the upstream
	Upstream   string // base URL without a path: "http://127.0.0.1:4000"
}

// Config is what one behaviour needs of the gateway under test. Zero durations
// and sizes mean the gateway's own defaults, which must let a header of 4 KiB,
// a body of 32 MiB and an upstream that answers within 2 s through.
type Config struct {
	Routes       []Route
	ForwardProxy bool // absolute-form and CONNECT are served; else they are 4xx

	MaxHeaderBytes    int           // request head, answered 431 beyond; up to 8 KiB more is tolerated
	MaxRequestBody    int64         // bytes, answered 413 beyond
	ReadHeaderTimeout time.Duration // from the first byte of a connection to the end of a head
	DialTimeout       time.Duration // to an upstream
	HeaderTimeout     time.Duration // from the request's end to the head of the upstream's answer

	// A request with the field HoldField is held before it goes to the
	// upstream until its client is gone or the duration has passed. Held is
	// called when that starts, Cancelled when a held request ended because
	// its client left. Both are nil where nothing is held; safe for
	// concurrent use otherwise.
	Held, Cancelled func()
}

// StartFunc starts a gateway that serves c and returns its address, "host:port"
// on the loopback interface. The gateway must be stopped by tb.Cleanup, without
// waiting for connections that are still open.
type StartFunc func(tb testing.TB, c Config) (addr string)

// Run holds the gateway that start starts to every behaviour, each a subtest
// "group/name". A skip is the name of one behaviour or of a whole group; it is
// reported by t.Skip. A skip that names nothing fails, so that the list cannot
// go stale.
func Run(t *testing.T, start StartFunc, skip ...string) {
	t.Helper()
	all := groups()
	for _, name := range skip {
		if !known(all, name) {
			t.Errorf("skip: no behaviour or group is named %q", name)
		}
	}
	for _, g := range all {
		t.Run(g.name, func(t *testing.T) {
			for _, b := range g.behaviours {
				t.Run(b.name, func(t *testing.T) {
					if slices.Contains(skip, g.name) || slices.Contains(skip, g.name+"/"+b.name) {
						t.Skip("skipped by the caller")
					}
					if !b.alone {
						t.Parallel()
					}
					b.check(newFixture(t, start))
				})
			}
		})
	}
}

// behaviour is one thing that a gateway must do. Its check runs in the test's
// goroutine and stops at the first failure.
type behaviour struct {
	name  string
	check func(f *fixture)
	alone bool // not beside others: it is heavy
}

type group struct {
	name       string
	behaviours []behaviour
}

func groups() []group {
	return []group{
		{"plain", plainBehaviours()},
		{"target", targetBehaviours()},
		{"body", bodyBehaviours()},
		{"continue", continueBehaviours()},
		{"upstream", upstreamBehaviours()},
		{"malformed-answer", answerBehaviours()},
		{"stream", streamBehaviours()},
		{"upgrade", upgradeBehaviours()},
		{"forward", forwardBehaviours()},
		{"tunnel", tunnelBehaviours()},
		{"hop", hopBehaviours()},
		{"vanish", vanishBehaviours()},
		{"connection", connectionBehaviours()},
		{"limit", limitBehaviours()},
		{"malformed", malformedBehaviours()},
		{"pressure", pressureBehaviours()},
	}
}

func known(all []group, name string) bool {
	for _, g := range all {
		if g.name == name {
			return true
		}
		for _, b := range g.behaviours {
			if g.name+"/"+b.name == name {
				return true
			}
		}
	}
	return false
}
