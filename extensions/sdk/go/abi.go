//go:build wasip1

// Code generated from extensions/wasm/abi; DO NOT EDIT.

package gaia

import "unsafe"

const (
	minor          = 1
	scratchSize    = 16384
	frameAt        = 0
	frameArea      = 8192
	metricsAt      = 8192
	metricsArea    = 4096
	answerAt       = 12288
	answerArea     = 4096
	frameUpstreams = 176
)

// Numbers: flags of a frame.
const (
	flagIsTruncated          = 1 // a text did not fit and was cut; request_text gives the whole
	flagIsUpstreamsTruncated = 2 // not all upstreams fit
	flagIsMetricsTruncated   = 4 // not all numbers fit into the metrics area
)

// Numbers: hooks, and their bits in the result of gaia_hooks: 1 << hook.
const (
	hookIsRequest  = 0 // before an attempt
	hookIsRoute    = 1 // which upstream, where the request hook named none
	hookIsResponse = 2 // at the headers of the answer
	hookIsDone     = 3 // at its end
	hookIsTick     = 4 // once a second
)

// Numbers: actions of a packed decision.
const (
	actionIsNone  = 0 // no opinion
	actionIsAllow = 1 // go, with the changes the decision names
	actionIsDeny  = 2 // do not go; the milliseconds say when to come back
	actionIsDelay = 3 // go after the milliseconds
	actionIsRoute = 4 // go to an upstream: the record upstream names it; in the route hook the low 32 bits are its index where there is no such record
	actionIsRetry = 5 // response hook: try again after the milliseconds
)

// Numbers: places in the packed decision.
const (
	wordIsArgShift    = 0  // 32 bits: milliseconds, or an index
	wordIsStatusShift = 32 // 10 bits: status of a denial, 0 is 429
	wordIsHandleShift = 42 // 6 bits: which limiter_admit of this hook it stands for, set by the host; 0 none
	wordIsReasonShift = 48 // 8 bits: index, from 1, into the manifest's reasons; 0 none
	wordIsActionShift = 56 // 4 bits: the action
	wordIsExtBit      = 62 // records follow in the answer area
	wordIsErrorBit    = 63 // the guest failed
)

// Numbers: records of the answer area: u16 tag, u16 length, value.
const (
	recordIsUpstream = 1 // text: name of an upstream
	recordIsTimeout  = 2 // i64: ns that the attempt may take
	recordIsCost     = 3 // i64: units
	recordIsPriority = 4 // i32: 0 to 9
	recordIsKey      = 5 // text: configured limits count on it
	recordIsHeader   = 6 // u16 length of the name, name, value: set on the request to the upstream; may be repeated
	recordIsReason   = 7 // text: why
	recordIsDelay    = 8 // i64: ns, in place of the milliseconds of the packed decision
)

// Numbers: errors of imported functions.
const (
	errorIsAbsent   = -1 // there is no such value
	errorIsArgument = -2 // an unknown identifier or a value out of range
	errorIsPhase    = -3 // declaring in a hook, or using a limiter or writing state while loading
	errorIsGrant    = -4 // not granted by the operator
	errorIsFull     = -5 // too large, or no room
	errorIsContext  = -6 // there is no request or no answer in this hook
	errorIsKind     = -7 // the stored value is of another kind
)

// Numbers: kinds of limiter.
const (
	limiterIsTokenBucket   = 1  // rate, per, burst, maxWait
	limiterIsConcurrency   = 2  // max, maxQueue, maxWait, order
	limiterIsUpstream      = 3  // learns from the upstream's answers: unit, maxWait
	limiterIsFixedWindow   = 4  // max, per, unit, maxWait
	limiterIsSlidingWindow = 5  // max, per, unit, maxWait
	limiterIsSlidingLog    = 6  // max, per, maxWait
	limiterIsAdaptive      = 7  // algorithm, min, max
	limiterIsThrottle      = 8  // ratio, min, per
	limiterIsRetryBudget   = 9  // ratio, min, per
	limiterIsFair          = 10 // rate, per, burst, weights, maxWait
	limiterIsCalendar      = 11 // max, every, zone, maxWait
)

// Numbers: kinds of a policy's own number.
const (
	metricIsCounter = 0 // only grows
	metricIsGauge   = 1 // goes up and down
)

// Numbers: kinds of values in the state.
const (
	valueIsNone   = 0 // absent
	valueIsNumber = 1 // an f64, finite
	valueIsText   = 2 // UTF-8
	valueIsBool   = 3 // true or false
	valueIsBytes  = 4 // anything
)

// Numbers: levels of log.
const (
	levelIsDebug = -4
	levelIsInfo  = 0
	levelIsWarn  = 4
	levelIsError = 8
)

// Numbers: texts of request_text.
const (
	textIsAction = 0
	textIsKey    = 1
	textIsMethod = 2
	textIsHost   = 3
	textIsTenant = 4
	textIsPath   = 5
	textIsURL    = 6
)

// Request: an operation that somebody asks for; valid until the hook returns.
type Request [240]byte

// Minor: minor version of the host.
func (v *Request) Minor() uint16 {
	return *(*uint16)(unsafe.Pointer(&v[4]))
}

// Flags: see the flags of a frame.
func (v *Request) Flags() uint16 {
	return *(*uint16)(unsafe.Pointer(&v[6]))
}

// Hook: which hook this is.
func (v *Request) Hook() uint32 {
	return *(*uint32)(unsafe.Pointer(&v[8]))
}

// Subsystem: who asks: 0 api, 1 files, 2 browser, 3 process, 4 network.
func (v *Request) Subsystem() uint32 {
	return *(*uint32)(unsafe.Pointer(&v[12]))
}

// Attempt: 1 for the first.
func (v *Request) Attempt() uint32 {
	return *(*uint32)(unsafe.Pointer(&v[16]))
}

// Priority: 0 to 9, 5 is normal.
func (v *Request) Priority() int32 {
	return *(*int32)(unsafe.Pointer(&v[20]))
}

// Now: the clock, in ns since 1970.
func (v *Request) Now() int64 {
	return *(*int64)(unsafe.Pointer(&v[24]))
}

// Deadline: when the caller gives up, in ns since 1970; 0 never.
func (v *Request) Deadline() int64 {
	return *(*int64)(unsafe.Pointer(&v[32]))
}

// Cost: units of the limits, 1 unless told.
func (v *Request) Cost() int64 {
	return *(*int64)(unsafe.Pointer(&v[40]))
}

// Size: bytes of the body, -1 unknown.
func (v *Request) Size() int64 {
	return *(*int64)(unsafe.Pointer(&v[48]))
}

// KeyHash: hash of key, as the import hash gives it.
func (v *Request) KeyHash() uint64 {
	return *(*uint64)(unsafe.Pointer(&v[56]))
}

// TenantHash: hash of tenant.
func (v *Request) TenantHash() uint64 {
	return *(*uint64)(unsafe.Pointer(&v[64]))
}

// Action: request, read, launch, ....
func (v *Request) Action() string {
	return text(*(*uint32)(unsafe.Pointer(&v[72])), *(*uint32)(unsafe.Pointer(&v[76])))
}

// Key: what limits count on.
func (v *Request) Key() string {
	return text(*(*uint32)(unsafe.Pointer(&v[80])), *(*uint32)(unsafe.Pointer(&v[84])))
}

// Method: as in HTTP.
func (v *Request) Method() string {
	return text(*(*uint32)(unsafe.Pointer(&v[88])), *(*uint32)(unsafe.Pointer(&v[92])))
}

// Host: lower case, with a port only where it is not the default.
func (v *Request) Host() string {
	return text(*(*uint32)(unsafe.Pointer(&v[96])), *(*uint32)(unsafe.Pointer(&v[100])))
}

// Tenant: whom the operation is for.
func (v *Request) Tenant() string {
	return text(*(*uint32)(unsafe.Pointer(&v[104])), *(*uint32)(unsafe.Pointer(&v[108])))
}

// Path: of the URL or file.
func (v *Request) Path() string {
	return text(*(*uint32)(unsafe.Pointer(&v[112])), *(*uint32)(unsafe.Pointer(&v[116])))
}

// URL: as it will be sent, without credentials.
func (v *Request) URL() string {
	return text(*(*uint32)(unsafe.Pointer(&v[120])), *(*uint32)(unsafe.Pointer(&v[124])))
}

// InFlight: operations of this subsystem and key that are under way.
func (v *Request) InFlight() int64 {
	return *(*int64)(unsafe.Pointer(&v[128]))
}

// Queued: operations that wait to start.
func (v *Request) Queued() int64 {
	return *(*int64)(unsafe.Pointer(&v[136]))
}

// Rate: ended operations per second.
func (v *Request) Rate() float64 {
	return *(*float64)(unsafe.Pointer(&v[144]))
}

// ErrorRate: share of them that failed, 0 to 1.
func (v *Request) ErrorRate() float64 {
	return *(*float64)(unsafe.Pointer(&v[152]))
}

// P50: median duration in ns.
func (v *Request) P50() int64 {
	return *(*int64)(unsafe.Pointer(&v[160]))
}

// P95: 95th percentile of the durations in ns.
func (v *Request) P95() int64 {
	return *(*int64)(unsafe.Pointer(&v[168]))
}

// UpstreamCount: route hook: how many are in the frame.
func (v *Request) UpstreamCount() uint32 {
	return *(*uint32)(unsafe.Pointer(&v[180]))
}

// Response: how an attempt ended; valid until the hook returns.
type Response [240]byte

// Status: response and done hooks: the status, 0 where there was no answer.
func (v *Response) Status() uint32 {
	return *(*uint32)(unsafe.Pointer(&v[184]))
}

// Duration: since the attempt started, in ns.
func (v *Response) Duration() int64 {
	return *(*int64)(unsafe.Pointer(&v[192]))
}

// Bytes: of the answer's body, -1 while it is not known.
func (v *Response) Bytes() int64 {
	return *(*int64)(unsafe.Pointer(&v[200]))
}

// RetryAfter: as the upstream asked, in ns; 0 where it did not.
func (v *Response) RetryAfter() int64 {
	return *(*int64)(unsafe.Pointer(&v[208]))
}

// Sent: when the attempt left, in ns since 1970.
func (v *Response) Sent() int64 {
	return *(*int64)(unsafe.Pointer(&v[216]))
}

// Error: kind of failure, empty where there was an answer.
func (v *Response) Error() string {
	return text(*(*uint32)(unsafe.Pointer(&v[224])), *(*uint32)(unsafe.Pointer(&v[228])))
}

// Upstream: name of the upstream that answered.
func (v *Response) Upstream() string {
	return text(*(*uint32)(unsafe.Pointer(&v[232])), *(*uint32)(unsafe.Pointer(&v[236])))
}

// Tick: a second has passed.
type Tick [240]byte

// Now: the clock, in ns since 1970.
func (v *Tick) Now() int64 {
	return *(*int64)(unsafe.Pointer(&v[24]))
}

// Upstream: one candidate of the route hook.
type Upstream [64]byte

// Name: what a decision names.
func (v *Upstream) Name() string {
	return text(*(*uint32)(unsafe.Pointer(&v[0])), *(*uint32)(unsafe.Pointer(&v[4])))
}

// Host: its host.
func (v *Upstream) Host() string {
	return text(*(*uint32)(unsafe.Pointer(&v[8])), *(*uint32)(unsafe.Pointer(&v[12])))
}

// Weight: its configured weight.
func (v *Upstream) Weight() int32 {
	return *(*int32)(unsafe.Pointer(&v[16]))
}

// Healthy: 1 healthy, 0 not.
func (v *Upstream) Healthy() uint32 {
	return *(*uint32)(unsafe.Pointer(&v[20]))
}

// InFlight: operations under way.
func (v *Upstream) InFlight() int64 {
	return *(*int64)(unsafe.Pointer(&v[24]))
}

// ErrorRate: share of operations that failed, 0 to 1.
func (v *Upstream) ErrorRate() float64 {
	return *(*float64)(unsafe.Pointer(&v[32]))
}

// P50: median duration in ns.
func (v *Upstream) P50() int64 {
	return *(*int64)(unsafe.Pointer(&v[40]))
}

// P95: 95th percentile of the durations in ns.
func (v *Upstream) P95() int64 {
	return *(*int64)(unsafe.Pointer(&v[48]))
}

// Remaining: what its limits have left, -1 unknown.
func (v *Upstream) Remaining() int64 {
	return *(*int64)(unsafe.Pointer(&v[56]))
}

// Peek: what limiter_peek writes.
type Peek struct {
	Wait      int64 // ns to wait: before acting where there is enough, until there is where not
	Limit     int64 // burst, maximum or learned quota; 0 unknown
	Remaining int64 // whole units left, -1 unknown
	Reset     int64 // ns until it is full again
}

var _ [unsafe.Sizeof(Peek{})]byte = [32]byte{}

// Value: what state_get writes.
type Value struct {
	Number float64 // a number; a bool as 0 or 1
	Length uint32  // full bytes of a text or of bytes, whatever the buffer took
	Kind   uint32  // see the kinds of values
}

var _ [unsafe.Sizeof(Value{})]byte = [16]byte{}

// Span: a text in the guest's own memory: an entry of the list given to pick.
type Span struct {
	Pointer uint32 // where it starts
	Length  uint32 // its bytes
}

var _ [unsafe.Sizeof(Span{})]byte = [8]byte{}

// TokenBucket declares a limiter while loading; params is a JSON object: rate, per, burst, maxWait.
func TokenBucket(name, params string) Limiter { return open(limiterIsTokenBucket, name, params) }

// Concurrency declares a limiter while loading; params is a JSON object: max, maxQueue, maxWait, order.
func Concurrency(name, params string) Limiter { return open(limiterIsConcurrency, name, params) }

// UpstreamLimiter declares a limiter while loading; params is a JSON object: learns from the upstream's answers: unit, maxWait.
func UpstreamLimiter(name, params string) Limiter { return open(limiterIsUpstream, name, params) }

// FixedWindow declares a limiter while loading; params is a JSON object: max, per, unit, maxWait.
func FixedWindow(name, params string) Limiter { return open(limiterIsFixedWindow, name, params) }

// SlidingWindow declares a limiter while loading; params is a JSON object: max, per, unit, maxWait.
func SlidingWindow(name, params string) Limiter { return open(limiterIsSlidingWindow, name, params) }

// SlidingLog declares a limiter while loading; params is a JSON object: max, per, maxWait.
func SlidingLog(name, params string) Limiter { return open(limiterIsSlidingLog, name, params) }

// Adaptive declares a limiter while loading; params is a JSON object: algorithm, min, max.
func Adaptive(name, params string) Limiter { return open(limiterIsAdaptive, name, params) }

// Throttle declares a limiter while loading; params is a JSON object: ratio, min, per.
func Throttle(name, params string) Limiter { return open(limiterIsThrottle, name, params) }

// RetryBudget declares a limiter while loading; params is a JSON object: ratio, min, per.
func RetryBudget(name, params string) Limiter { return open(limiterIsRetryBudget, name, params) }

// Fair declares a limiter while loading; params is a JSON object: rate, per, burst, weights, maxWait.
func Fair(name, params string) Limiter { return open(limiterIsFair, name, params) }

// Calendar declares a limiter while loading; params is a JSON object: max, every, zone, maxWait.
func Calendar(name, params string) Limiter { return open(limiterIsCalendar, name, params) }

// Functions of the host.

// declare a limiter while loading; params is a JSON object: its identifier.
//
//go:wasmimport gaia_v1 limiter_open
//go:noescape
func hostLimiterOpen(kind int32, name unsafe.Pointer, nameLen int32, params unsafe.Pointer, paramsLen int32) int32

// take: a packed decision to return as it is, or a negative number.
//
//go:wasmimport gaia_v1 limiter_admit
//go:noescape
func hostLimiterAdmit(id int32, key unsafe.Pointer, keyLen int32, cost int64, maxWait int64) int64

// take if it is there now: 1 taken, 0 not.
//
//go:wasmimport gaia_v1 limiter_take
//go:noescape
func hostLimiterTake(id int32, key unsafe.Pointer, keyLen int32, cost int64) int32

// look: 1 there is enough, 0 not; writes a peek structure.
//
//go:wasmimport gaia_v1 limiter_peek
//go:noescape
func hostLimiterPeek(id int32, key unsafe.Pointer, keyLen int32, cost int64, out unsafe.Pointer) int32

// read what the answer says about limits: 0.
//
//go:wasmimport gaia_v1 limiter_learn
//go:noescape
func hostLimiterLearn(id int32, key unsafe.Pointer, keyLen int32) int32

// close a key for a while, 0 opens it: 0.
//
//go:wasmimport gaia_v1 limiter_pause
//go:noescape
func hostLimiterPause(id int32, key unsafe.Pointer, keyLen int32, duration int64) int32

// replace the estimate by the true cost: 1, or 0 where nothing was taken.
//
//go:wasmimport gaia_v1 limiter_settle
//go:noescape
func hostLimiterSettle(id int32, key unsafe.Pointer, keyLen int32, cost int64) int32

// change parameters, a JSON object, and keep the counts: 0.
//
//go:wasmimport gaia_v1 limiter_set
//go:noescape
func hostLimiterSet(id int32, params unsafe.Pointer, paramsLen int32) int32

// read: the kind of the value; writes a value structure, and a text or bytes into buf.
//
//go:wasmimport gaia_v1 state_get
//go:noescape
func hostStateGet(key unsafe.Pointer, keyLen int32, out unsafe.Pointer, buf unsafe.Pointer, cap int32) int32

// write, with a time to live, 0 for ever: 0.
//
//go:wasmimport gaia_v1 state_set
//go:noescape
func hostStateSet(key unsafe.Pointer, keyLen int32, kind int32, num float64, text unsafe.Pointer, textLen int32, ttl int64) int32

// remove: 1 it was there, 0 not.
//
//go:wasmimport gaia_v1 state_delete
//go:noescape
func hostStateDelete(key unsafe.Pointer, keyLen int32) int32

// add to a number, absent counts as 0: the sum, NaN on failure.
//
//go:wasmimport gaia_v1 state_incr
//go:noescape
func hostStateIncr(key unsafe.Pointer, keyLen int32, by float64, ttl int64) float64

// write if the value is as expected (none: absent; writing none removes): 1 written, 0 not.
//
//go:wasmimport gaia_v1 state_compare_and_set
//go:noescape
func hostStateCompareAndSet(key unsafe.Pointer, keyLen int32, oldKind int32, oldNum float64, old_text unsafe.Pointer, oldTextLen int32, kind int32, num float64, text unsafe.Pointer, textLen int32, ttl int64) int32

// write if there is no value: 1 written, 0 not.
//
//go:wasmimport gaia_v1 state_set_if_absent
//go:noescape
func hostStateSetIfAbsent(key unsafe.Pointer, keyLen int32, kind int32, num float64, text unsafe.Pointer, textLen int32, ttl int64) int32

// declare a number of the policy's own while loading: its identifier.
//
//go:wasmimport gaia_v1 metric_open
//go:noescape
func hostMetricOpen(kind int32, name unsafe.Pointer, nameLen int32) int32

// add to it: 0.
//
//go:wasmimport gaia_v1 metric_add
//go:noescape
func hostMetricAdd(id int32, by float64) int32

// set a gauge: 0.
//
//go:wasmimport gaia_v1 metric_set
//go:noescape
func hostMetricSet(id int32, to float64) int32

// one of the host's numbers now; NaN where there is none.
//
//go:wasmimport gaia_v1 metric_get
//go:noescape
func hostMetricGet(subsystem int32, name unsafe.Pointer, nameLen int32) float64

// stable hash of 53 bits, the same as in JavaScript.
//
//go:wasmimport gaia_v1 hash
//go:noescape
func hostHash(text unsafe.Pointer, textLen int32) int64

// rendezvous hashing over count spans: the index, -1 for an empty list.
//
//go:wasmimport gaia_v1 pick
//go:noescape
func hostPick(key unsafe.Pointer, keyLen int32, list unsafe.Pointer, count int32) int32

// one of the operator's parameters as JSON: its length, or absent.
//
//go:wasmimport gaia_v1 param
//go:noescape
func hostParam(name unsafe.Pointer, nameLen int32, buf unsafe.Pointer, cap int32) int32

// a granted environment variable: its length, or absent.
//
//go:wasmimport gaia_v1 env
//go:noescape
func hostEnv(name unsafe.Pointer, nameLen int32, buf unsafe.Pointer, cap int32) int32

// write a log line, rate-limited.
//
//go:wasmimport gaia_v1 log
//go:noescape
func hostLog(level int32, text unsafe.Pointer, textLen int32)

// give up with a message: the hook ends here.
//
//go:wasmimport gaia_v1 fail
//go:noescape
func hostFail(text unsafe.Pointer, textLen int32)

// a field of the request: its length, or absent.
//
//go:wasmimport gaia_v1 request_header
//go:noescape
func hostRequestHeader(name unsafe.Pointer, nameLen int32, buf unsafe.Pointer, cap int32) int32

// a body scalar of the request: its length, or absent.
//
//go:wasmimport gaia_v1 request_body
//go:noescape
func hostRequestBody(name unsafe.Pointer, nameLen int32, buf unsafe.Pointer, cap int32) int32

// a field of the answer: its length, or absent.
//
//go:wasmimport gaia_v1 response_header
//go:noescape
func hostResponseHeader(name unsafe.Pointer, nameLen int32, buf unsafe.Pointer, cap int32) int32

// a body scalar of the answer: its length, or absent.
//
//go:wasmimport gaia_v1 response_body
//go:noescape
func hostResponseBody(name unsafe.Pointer, nameLen int32, buf unsafe.Pointer, cap int32) int32

// a text of the frame, whole: its length.
//
//go:wasmimport gaia_v1 request_text
//go:noescape
func hostRequestText(which int32, buf unsafe.Pointer, cap int32) int32

// while loading: make one limiter of at most 8, named by i32 identifiers; its own.
//
//go:wasmimport gaia_v1 limiter_all
//go:noescape
func hostLimiterAll(ids unsafe.Pointer, count int32) int32

// limiter_admit of such a limiter with an i64 cost for each.
//
//go:wasmimport gaia_v1 limiter_admit_costs
//go:noescape
func hostLimiterAdmitCosts(id int32, key unsafe.Pointer, keyLen int32, costs unsafe.Pointer, count int32, maxWait int64) int64
