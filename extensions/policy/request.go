package policy

import (
	"net/textproto"
	"time"
)

// Names of the subsystems, as they appear in Request.Subsystem.
const (
	SubsystemAPI     = "api"
	SubsystemFiles   = "files"
	SubsystemBrowser = "browser"
	SubsystemProcess = "process"
	SubsystemNetwork = "network"
)

// Subsystems lists the subsystem names in their fixed order.
func Subsystems() [5]string {
	return [5]string{SubsystemAPI, SubsystemFiles, SubsystemBrowser, SubsystemProcess, SubsystemNetwork}
}

const (
	// DefaultPriority is the priority of a request whose caller named none.
	DefaultPriority = 5
	// MaxPriority is the most urgent priority; 0 is the least urgent.
	MaxPriority = 9
)

// Lookup reads one named value of a message: a header field or a body scalar.
// Names of header fields are matched without regard to case. Several values of
// one field are joined by ", ". It is valid only during the call it is given to.
type Lookup interface {
	Lookup(name string) (value string, ok bool)
}

// Names is a Lookup that can also be asked for its names all at once: one look at the
// few fields that an answer has costs less than looking for many that it might have.
type Names interface {
	Lookup
	// AnyName reports whether match holds for one of the names, which are in the
	// canonical form of net/http.
	AnyName(match func(name string) bool) bool
}

// Fields are header fields that outlive their message, by canonical name. They are safe
// for concurrent reads, and are Names.
type Fields map[string]string

// Lookup implements Lookup.
func (f Fields) Lookup(name string) (string, bool) {
	v, ok := f[name]
	if !ok {
		v, ok = f[textproto.CanonicalMIMEHeaderKey(name)]
	}
	return v, ok
}

// AnyName implements Names.
func (f Fields) AnyName(match func(name string) bool) bool {
	for name := range f {
		if match(name) {
			return true
		}
	}
	return false
}

// Scalars are values of a body that outlive it, by path. They are safe for concurrent
// reads.
type Scalars map[string]string

// Lookup implements Lookup.
func (s Scalars) Lookup(path string) (string, bool) {
	v, ok := s[path]
	return v, ok
}

// Request is one operation asked of a subsystem, once per attempt. The asker
// owns it and may reuse it after the hook returned: a policy copies what it
// keeps. It is not safe for concurrent use.
type Request struct {
	Subsystem string // one of Subsystems
	Action    string // "request", "read", "launch", ...
	Key       string // what limits count on: route, host, root, engine or program
	Method    string
	URL       string // as it will be sent, without credentials
	Host      string // lower case, with a port only where it is not the default
	Path      string
	Tenant    string
	Priority  int   // 0 to MaxPriority
	Attempt   int   // 1 for the first
	Cost      int64 // units of the limits, 1 unless told
	Size      int64 // bytes of the body, -1 unknown
	Now       int64 // when it is asked
	Deadline  int64 // when the caller gives up, 0 never
	// Part says that it is a part of another operation, whose policies were asked: a
	// connection for a request. Only those are asked whose match names the subsystem.
	Part bool

	Header Lookup // nil: no fields
	Body   Lookup // nil: no scalars were asked for
	Stats  Stats  // of this subsystem and key

	// Ledger receives what natives take on behalf of this attempt. nil: nothing is
	// recorded, and nothing can be given back.
	Ledger Ledger
	// Explain asks engines to note where their policy decided and took, which costs
	// time. It changes no decision.
	Explain bool
	// Faults is told of the faults of policies, with Explain; nil: nobody.
	Faults func(*Fault)
	// Dry is nil for a live call. Otherwise it holds the overlay that natives
	// write to instead of the live limiters and state.
	Dry any
}

// HeaderValue returns a header field, or "" and false where it is absent.
func (r *Request) HeaderValue(name string) (string, bool) { return lookup(r.Header, name) }

// BodyValue returns a body scalar asked for by options.body.
func (r *Request) BodyValue(name string) (string, bool) { return lookup(r.Body, name) }

func lookup(l Lookup, name string) (string, bool) {
	if l == nil {
		return "", false
	}
	return l.Lookup(name)
}

// Stats are the live numbers of one subsystem and key.
type Stats struct {
	InFlight  int64   // operations started and not ended
	Queued    int64   // operations waiting to start
	Rate      float64 // ended operations per second, over the last seconds
	ErrorRate float64 // share of them that failed, 0 to 1
	P50, P95  time.Duration
}

// Upstream is one candidate shown to the route hook.
type Upstream struct {
	Name      string
	Host      string
	Weight    int
	Healthy   bool
	InFlight  int64
	ErrorRate float64
	P50, P95  time.Duration
	Remaining int64 // what its limits have left, -1 unknown
}

// Response is how an attempt ended, or, in the response hook, how it answered
// so far. The rules for ownership are those of Request.
type Response struct {
	Status     int           // 0 where there was no answer
	Error      string        // kind of failure, "" where there was an answer: see ErrorKinds
	Duration   time.Duration // since the attempt started
	Bytes      int64         // of the body, -1 while it is not known
	RetryAfter time.Duration // as the upstream asked, 0 where it did not
	Upstream   string        // name of the upstream that answered
	Sent       int64         // when the attempt left

	Header Lookup // nil: no fields
	Body   Lookup // nil: no scalars were asked for
}

// HeaderValue returns a header field, or "" and false where it is absent.
func (r *Response) HeaderValue(name string) (string, bool) { return lookup(r.Header, name) }

// BodyValue returns a body scalar asked for by options.body.
func (r *Response) BodyValue(name string) (string, bool) { return lookup(r.Body, name) }

// Kinds of failure in Response.Error.
const (
	ErrorTimeout  = "timeout"  // a time limit of gaia passed
	ErrorRefused  = "refused"  // no connection could be made
	ErrorReset    = "reset"    // the connection broke
	ErrorCanceled = "canceled" // the caller went away
	ErrorDenied   = "denied"   // gaia did not start it
	ErrorTooLarge = "too_large"
	ErrorOther    = "error"
)

// Tick is what the tick hook is told, once a second.
type Tick struct {
	Now int64
	// Metrics names the numbers of one subsystem; nil where it has none. The map
	// is valid only during the call.
	Metrics func(subsystem string) map[string]float64
	// Block is the same, encoded for guests; valid only during the call.
	Block []byte
	// Dry is as in Request.
	Dry any
}
