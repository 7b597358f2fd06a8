//go:build wasip1

// Package gaia is the kit for policies in Go, built with the standard toolchain as a WASI reactor: GOOS=wasip1 GOARCH=wasm
// go build -buildmode=c-shared. It allocates nothing in a hook.
//
// A policy declares what it needs in package variables and names its hooks in init:
//
//	var perHost = gaia.TokenBucket("per-host", `{"rate": 10, "burst": 20, "maxWait": "2s"}`)
//
//	func init() { gaia.Policy(gaia.Hooks{OnRequest: onRequest}) }
//
//	func onRequest(req *gaia.Request) gaia.Decision { return perHost.Admit() }
//
//	func main() {}
//
// Times in a request are nanoseconds, in builders milliseconds. Texts of a request are valid until the hook returns: copy
// (strings.Clone) what is kept. Package variables belong to one instance of several, unless the policy's isolation is "single": what
// is shared goes into a limiter or the state. Start no goroutines: nothing runs between hooks.
package gaia

import "unsafe"

// The scratch area, aligned to 16.
var (
	memory [scratchSize + 16]byte
	base   = unsafe.Pointer(&memory[-uintptr(unsafe.Pointer(&memory[0]))&15])
	hooks  Hooks
)

func area() *[scratchSize]byte { return (*[scratchSize]byte)(base) }

func text(offset, length uint32) string {
	b := area()[offset : offset+length]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func pointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func ns(ms uint32) int64 { return int64(ms) * 1_000_000 }

// Hooks are the functions of a policy; nil ones are not asked. Setup runs once for each instance, before them: it reads
// parameters; an error refuses to load.
type Hooks struct {
	Setup      func() error
	OnRequest  func(req *Request) Decision
	OnRoute    func(req *Request) Decision
	OnResponse func(req *Request, res *Response) Decision
	OnDone     func(req *Request, res *Response)
	OnTick     func(t *Tick)
}

// Policy names the hooks, in init.
func Policy(h Hooks) { hooks = h }

// Decision is what a hook answers.
type Decision uint64

// None is no opinion.
const None Decision = 0

func word(action, status, arg uint32) Decision {
	return Decision(action)<<wordIsActionShift | Decision(status)<<wordIsStatusShift | Decision(arg)
}

// Allow lets the operation go.
func Allow() Decision { return word(actionIsAllow, 0, 0) }

// Deny refuses it with a status, 0 is 429, and a time to come back.
func Deny(status, retryAfterMs uint32) Decision { return word(actionIsDeny, status, retryAfterMs) }

// Delay lets it go after a while.
func Delay(ms uint32) Decision { return word(actionIsDelay, 0, ms) }

// Route sends it to the upstream of that name.
func Route(name string) Decision { return word(actionIsRoute, 0, 0).Upstream(name) }

// RouteIndex is the route hook's: the upstream with that index.
func RouteIndex(index uint32) Decision { return word(actionIsRoute, 0, index) }

// Retry is the response hook's: try again.
func Retry(afterMs uint32) Decision { return word(actionIsRetry, 0, afterMs) }

// Because names the reason with that index, from 1, in the manifest's "reasons".
func (d Decision) Because(reason uint8) Decision { return d | Decision(reason)<<wordIsReasonShift }

// The changes of a decision are written to the answer area: build one decision at a time, last before the hook returns.

// Upstream names the upstream to go to.
func (d Decision) Upstream(name string) Decision { return d.text(recordIsUpstream, name) }

// Key makes the configured limits count on another key.
func (d Decision) Key(key string) Decision { return d.text(recordIsKey, key) }

// Reason says why.
func (d Decision) Reason(why string) Decision { return d.text(recordIsReason, why) }

// Timeout bounds the attempt.
func (d Decision) Timeout(ms uint32) Decision { return d.number(recordIsTimeout, ns(ms)) }

// Cost says how many units the limits count.
func (d Decision) Cost(cost int64) Decision { return d.number(recordIsCost, cost) }

// Priority is 0 to 9.
func (d Decision) Priority(priority int32) Decision {
	b := d.record(recordIsPriority, 4)
	*(*int32)(unsafe.Pointer(&b[0])) = priority
	return d | 1<<wordIsExtBit
}

// Header sets a field of the request to the upstream.
func (d Decision) Header(name, value string) Decision {
	b := d.record(recordIsHeader, 2+len(name)+len(value))
	b[0], b[1] = byte(len(name)), byte(len(name)>>8)
	copy(b[2+copy(b[2:], name):], value)
	return d | 1<<wordIsExtBit
}

func (d Decision) text(tag int, s string) Decision {
	copy(d.record(tag, len(s)), s)
	return d | 1<<wordIsExtBit
}

func (d Decision) number(tag int, n int64) Decision {
	b := d.record(tag, 8)
	for i := range 8 {
		b[i] = byte(n >> (8 * i))
	}
	return d | 1<<wordIsExtBit
}

// record adds a record to the answer area and returns the place of its value.
func (d Decision) record(tag, size int) []byte {
	answer := area()[answerAt : answerAt+answerArea]
	length := (*uint32)(unsafe.Pointer(&answer[0]))
	if d>>wordIsExtBit&1 == 0 {
		*length = 0
	}
	b := answer[4+*length:][:4+size]
	b[0], b[1], b[2], b[3] = byte(tag), byte(tag>>8), byte(size), byte(size>>8)
	*length += uint32(len(b))
	return b[4:]
}

// Upstreams returns how many candidates the route hook has.
func (v *Request) Upstreams() int { return int(*(*uint32)(unsafe.Pointer(&v[frameUpstreams+4]))) }

// UpstreamAt returns one of them.
func (v *Request) UpstreamAt(i int) *Upstream {
	if uint(i) >= uint(v.Upstreams()) {
		panic("no such upstream")
	}
	return (*Upstream)(unsafe.Pointer(&area()[*(*uint32)(unsafe.Pointer(&v[frameUpstreams]))+uint32(i)*uint32(unsafe.Sizeof(Upstream{}))]))
}

// copied cuts what a host call says it copied to what the buffer took.
func copied(buf []byte, n int32) ([]byte, bool) {
	if n < 0 {
		return nil, false
	}
	return buf[:min(int(n), len(buf))], true
}

func start(buf []byte) (unsafe.Pointer, int32) {
	return unsafe.Pointer(unsafe.SliceData(buf)), int32(len(buf))
}

// Header returns a field of the request, cut to the buffer.
func (v *Request) Header(name string, buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostRequestHeader(pointer(name), int32(len(name)), p, n))
}

// Body returns a body scalar that the options ask for.
func (v *Request) Body(name string, buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostRequestBody(pointer(name), int32(len(name)), p, n))
}

// Header returns a field of the answer.
func (v *Response) Header(name string, buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostResponseHeader(pointer(name), int32(len(name)), p, n))
}

// Body returns a body scalar of the answer.
func (v *Response) Body(name string, buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostResponseBody(pointer(name), int32(len(name)), p, n))
}

// WholeURL returns the URL where the frame had to cut it.
func (v *Request) WholeURL(buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostRequestText(textIsURL, p, n))
}

// Param returns one of the operator's parameters, as JSON.
func Param(name string, buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostParam(pointer(name), int32(len(name)), p, n))
}

// Env returns a granted environment variable.
func Env(name string, buf []byte) ([]byte, bool) {
	p, n := start(buf)
	return copied(buf, hostEnv(pointer(name), int32(len(name)), p, n))
}

// Metrics returns one of the host's numbers now, by the number of the subsystem; NaN where there is none.
func Metrics(subsystem int32, name string) float64 {
	return hostMetricGet(subsystem, pointer(name), int32(len(name)))
}

// Hash is a stable hash of 53 bits, the same as in JavaScript.
func Hash(s string) int64 { return hostHash(pointer(s), int32(len(s))) }

// SpanOf returns an entry of a list for Pick. The text must outlive it.
func SpanOf(s string) Span {
	return Span{Pointer: uint32(uintptr(pointer(s))), Length: uint32(len(s))}
}

// Pick returns the index of the entry that a key belongs to, by rendezvous hashing; -1 for an empty list.
func Pick(key string, list []Span) int {
	return int(hostPick(pointer(key), int32(len(key)), unsafe.Pointer(unsafe.SliceData(list)), int32(len(list))))
}

// Levels of Log.
const (
	Debug = levelIsDebug
	Info  = levelIsInfo
	Warn  = levelIsWarn
	Error = levelIsError
)

// Log writes a log line.
func Log(level int32, s string) { hostLog(level, pointer(s), int32(len(s))) }

// Fail gives up with a message: the hook ends here.
func Fail(s string) { hostFail(pointer(s), int32(len(s))) }

// Limiter lives in the host. Declare it in a package variable.
type Limiter int32

func open(kind int32, name, params string) Limiter {
	return Limiter(hostLimiterOpen(kind, pointer(name), int32(len(name)), pointer(params), int32(len(params))))
}

// All declares one limiter of several, at most 8: a take is of all or of none.
func All(of ...Limiter) Limiter {
	return Limiter(hostLimiterAll(unsafe.Pointer(unsafe.SliceData(of)), int32(len(of))))
}

// AdmitCosts is Admit of a limiter from All, with a cost for each.
func (l Limiter) AdmitCosts(costs ...int64) Decision {
	return Decision(hostLimiterAdmitCosts(int32(l), nil, -1, unsafe.Pointer(unsafe.SliceData(costs)), int32(len(costs)), -1))
}

// Admit takes for the request; return the result from the hook: allow, a wait, or a denial with the time to come back.
func (l Limiter) Admit() Decision { return Decision(hostLimiterAdmit(int32(l), nil, -1, -1, -1)) }

// AdmitKey takes for another key and cost.
func (l Limiter) AdmitKey(key string, cost int64) Decision {
	return Decision(hostLimiterAdmit(int32(l), pointer(key), int32(len(key)), cost, -1))
}

// AdmitWithin is AdmitKey with a longest wait other than the declared one; a cost below 0 is the request's.
func (l Limiter) AdmitWithin(key string, cost int64, maxWaitMs uint32) Decision {
	return Decision(hostLimiterAdmit(int32(l), pointer(key), int32(len(key)), cost, ns(maxWaitMs)))
}

// Take consumes for the request if it is there now.
func (l Limiter) Take() bool { return hostLimiterTake(int32(l), nil, -1, -1) == 1 }

// TakeKey is Take for another key and cost.
func (l Limiter) TakeKey(key string, cost int64) bool {
	return hostLimiterTake(int32(l), pointer(key), int32(len(key)), cost) == 1
}

// Peek consumes nothing: whether there is enough, and the level.
func (l Limiter) Peek(key string, cost int64) (ok bool, level Peek) {
	n := hostLimiterPeek(int32(l), pointer(key), int32(len(key)), cost, unsafe.Pointer(&level))
	return n == 1, level
}

// Learn reads what the answer of this hook says about limits.
func (l Limiter) Learn() { hostLimiterLearn(int32(l), nil, -1) }

// Pause closes a key for a while; 0 opens it.
func (l Limiter) Pause(key string, ms uint32) {
	hostLimiterPause(int32(l), pointer(key), int32(len(key)), ns(ms))
}

// Settle replaces the estimate for the request's key by the true cost.
func (l Limiter) Settle(cost int64) bool { return hostLimiterSettle(int32(l), nil, -1, cost) == 1 }

// Set gives new parameters, a JSON object, and keeps the counts.
func (l Limiter) Set(params string) bool {
	return hostLimiterSet(int32(l), pointer(params), int32(len(params))) == 0
}

// Stored is a value of the state; the zero value is none.
type Stored struct {
	Kind int32 // StateNone, StateNumber, ...
	Num  float64
	Text string
}

// Kinds of Stored.
const (
	StateNone   = valueIsNone
	StateNumber = valueIsNumber
	StateText   = valueIsText
	StateBool   = valueIsBool
	StateBytes  = valueIsBytes
)

// Number returns a number to store.
func Number(n float64) Stored { return Stored{Kind: valueIsNumber, Num: n} }

// Text returns a text to store.
func Text(s string) Stored { return Stored{Kind: valueIsText, Text: s} }

// StateGet reads a value; its text is in the buffer, cut to it.
func StateGet(key string, buf []byte) Stored {
	var v Value
	p, n := start(buf)
	kind := hostStateGet(pointer(key), int32(len(key)), unsafe.Pointer(&v), p, n)
	if kind <= 0 {
		return Stored{}
	}
	return Stored{Kind: kind, Num: v.Number, Text: unsafe.String(unsafe.SliceData(buf), min(int(v.Length), len(buf)))}
}

// StateSet writes a value with a time to live, 0 for ever; false where it was refused.
func StateSet(key string, v Stored, ttlMs uint32) bool {
	return hostStateSet(pointer(key), int32(len(key)), v.Kind, v.Num, pointer(v.Text), int32(len(v.Text)), ns(ttlMs)) == 0
}

// StateDelete removes a value; whether there was one.
func StateDelete(key string) bool { return hostStateDelete(pointer(key), int32(len(key))) == 1 }

// StateIncr adds to a number; NaN where the value is no number.
func StateIncr(key string, by float64, ttlMs uint32) float64 {
	return hostStateIncr(pointer(key), int32(len(key)), by, ns(ttlMs))
}

// StateCompareAndSet writes only if the value is as expected; whether it was.
func StateCompareAndSet(key string, old, v Stored, ttlMs uint32) bool {
	return hostStateCompareAndSet(pointer(key), int32(len(key)), old.Kind, old.Num, pointer(old.Text), int32(len(old.Text)),
		v.Kind, v.Num, pointer(v.Text), int32(len(v.Text)), ns(ttlMs)) == 1
}

// StateSetIfAbsent writes only if there is no value; whether there was none.
func StateSetIfAbsent(key string, v Stored, ttlMs uint32) bool {
	return hostStateSetIfAbsent(pointer(key), int32(len(key)), v.Kind, v.Num, pointer(v.Text), int32(len(v.Text)), ns(ttlMs)) == 1
}

// Metric is a number of the policy's own. Declare it in a package variable.
type Metric int32

// Counter declares a number that only grows.
func Counter(name string) Metric {
	return Metric(hostMetricOpen(metricIsCounter, pointer(name), int32(len(name))))
}

// Gauge declares a number that goes up and down.
func Gauge(name string) Metric {
	return Metric(hostMetricOpen(metricIsGauge, pointer(name), int32(len(name))))
}

// Add adds to the number.
func (m Metric) Add(by float64) { hostMetricAdd(int32(m), by) }

// Set sets a gauge.
func (m Metric) Set(to float64) { hostMetricSet(int32(m), to) }

// What the host calls.

//go:wasmexport gaia_abi_1
func exportABI() int32 { return minor }

//go:wasmexport gaia_scratch
func exportScratch(size int32) unsafe.Pointer {
	if size > scratchSize {
		return nil
	}
	return base
}

//go:wasmexport gaia_configure
func exportConfigure(int32) int32 {
	if hooks.Setup == nil {
		return 0
	}
	err := hooks.Setup()
	if err == nil {
		return 0
	}
	answer := area()[answerAt : answerAt+answerArea]
	*(*uint32)(unsafe.Pointer(&answer[0])) = uint32(copy(answer[4:], err.Error()))
	return 1
}

//go:wasmexport gaia_hooks
func exportHooks() int32 {
	set := int32(0)
	for i, has := range [...]bool{hookIsRequest: hooks.OnRequest != nil, hookIsRoute: hooks.OnRoute != nil,
		hookIsResponse: hooks.OnResponse != nil, hookIsDone: hooks.OnDone != nil, hookIsTick: hooks.OnTick != nil} {
		if has {
			set |= 1 << i
		}
	}
	return set
}

//go:wasmexport gaia_on
func exportOn(hook, _ int32) uint64 {
	switch hook {
	case hookIsRequest:
		return uint64(hooks.OnRequest((*Request)(base)))
	case hookIsRoute:
		return uint64(hooks.OnRoute((*Request)(base)))
	case hookIsResponse:
		return uint64(hooks.OnResponse((*Request)(base), (*Response)(base)))
	case hookIsDone:
		hooks.OnDone((*Request)(base), (*Response)(base))
	case hookIsTick:
		hooks.OnTick((*Tick)(base))
	}
	return 0
}
