// Code generated from the tables of this package; DO NOT EDIT.

package abi

// The scratch area and its parts, in bytes.
const (
	ScratchSize = 16384
	FrameAt     = 0
	FrameArea   = 8192
	MetricsAt   = 8192
	MetricsArea = 4096
	AnswerAt    = 12288
	AnswerArea  = 4096
)

// Offsets in frame, and its size.
const (
	FrameLength        = 0   // u32
	FrameMinor         = 4   // u16
	FrameFlags         = 6   // u16
	FrameHook          = 8   // u32
	FrameSubsystem     = 12  // u32
	FrameAttempt       = 16  // u32
	FramePriority      = 20  // i32
	FrameNow           = 24  // i64
	FrameDeadline      = 32  // i64
	FrameCost          = 40  // i64
	FrameSize          = 48  // i64
	FrameKeyHash       = 56  // u64
	FrameTenantHash    = 64  // u64
	FrameAction        = 72  // text
	FrameKey           = 80  // text
	FrameMethod        = 88  // text
	FrameHost          = 96  // text
	FrameTenant        = 104 // text
	FramePath          = 112 // text
	FrameURL           = 120 // text
	FrameInFlight      = 128 // i64
	FrameQueued        = 136 // i64
	FrameRate          = 144 // f64
	FrameErrorRate     = 152 // f64
	FrameP50           = 160 // i64
	FrameP95           = 168 // i64
	FrameUpstreams     = 176 // u32
	FrameUpstreamCount = 180 // u32
	FrameStatus        = 184 // u32
	FrameDuration      = 192 // i64
	FrameBytes         = 200 // i64
	FrameRetryAfter    = 208 // i64
	FrameSent          = 216 // i64
	FrameError         = 224 // text
	FrameUpstream      = 232 // text
	FrameSizeOf        = 240
)

// Offsets in upstream, and its size.
const (
	UpstreamName      = 0  // text
	UpstreamHost      = 8  // text
	UpstreamWeight    = 16 // i32
	UpstreamHealthy   = 20 // u32
	UpstreamInFlight  = 24 // i64
	UpstreamErrorRate = 32 // f64
	UpstreamP50       = 40 // i64
	UpstreamP95       = 48 // i64
	UpstreamRemaining = 56 // i64
	UpstreamSizeOf    = 64
)

// Offsets in metrics, and its size.
const (
	MetricsVersion = 0  // u64
	MetricsCount   = 8  // u32
	MetricsLayout  = 12 // u32
	MetricsSizeOf  = 16
)

// Offsets in peek, and its size.
const (
	PeekWait      = 0  // i64
	PeekLimit     = 8  // i64
	PeekRemaining = 16 // i64
	PeekReset     = 24 // i64
	PeekSizeOf    = 32
)

// Offsets in value, and its size.
const (
	ValueNumber = 0  // f64
	ValueLength = 8  // u32
	ValueKind   = 12 // u32
	ValueSizeOf = 16
)

// Offsets in span, and its size.
const (
	SpanPointer = 0 // u32
	SpanLength  = 4 // u32
	SpanSizeOf  = 8
)

// Numbers: flags of a frame.
const (
	FlagIsTruncated          = 1 // a text did not fit and was cut; request_text gives the whole
	FlagIsUpstreamsTruncated = 2 // not all upstreams fit
	FlagIsMetricsTruncated   = 4 // not all numbers fit into the metrics area
)

// Numbers: hooks, and their bits in the result of gaia_hooks: 1 << hook.
const (
	HookIsRequest  = 0 // before an attempt
	HookIsRoute    = 1 // which upstream, where the request hook named none
	HookIsResponse = 2 // at the headers of the answer
	HookIsDone     = 3 // at its end
	HookIsTick     = 4 // once a second
)

// Numbers: actions of a packed decision.
const (
	ActionIsNone  = 0 // no opinion
	ActionIsAllow = 1 // go, with the changes the decision names
	ActionIsDeny  = 2 // do not go; the milliseconds say when to come back
	ActionIsDelay = 3 // go after the milliseconds
	ActionIsRoute = 4 // go to an upstream: the record upstream names it; in the route hook the low 32 bits are its index where there is no such record
	ActionIsRetry = 5 // response hook: try again after the milliseconds
)

// Numbers: places in the packed decision.
const (
	WordIsArgShift    = 0  // 32 bits: milliseconds, or an index
	WordIsStatusShift = 32 // 10 bits: status of a denial, 0 is 429
	WordIsHandleShift = 42 // 6 bits: which limiter_admit of this hook it stands for, set by the host; 0 none
	WordIsReasonShift = 48 // 8 bits: index, from 1, into the manifest's reasons; 0 none
	WordIsActionShift = 56 // 4 bits: the action
	WordIsExtBit      = 62 // records follow in the answer area
	WordIsErrorBit    = 63 // the guest failed
)

// Numbers: records of the answer area: u16 tag, u16 length, value.
const (
	RecordIsUpstream = 1 // text: name of an upstream
	RecordIsTimeout  = 2 // i64: ns that the attempt may take
	RecordIsCost     = 3 // i64: units
	RecordIsPriority = 4 // i32: 0 to 9
	RecordIsKey      = 5 // text: configured limits count on it
	RecordIsHeader   = 6 // u16 length of the name, name, value: set on the request to the upstream; may be repeated
	RecordIsReason   = 7 // text: why
	RecordIsDelay    = 8 // i64: ns, in place of the milliseconds of the packed decision
)

// Numbers: errors of imported functions.
const (
	ErrorIsAbsent   = -1 // there is no such value
	ErrorIsArgument = -2 // an unknown identifier or a value out of range
	ErrorIsPhase    = -3 // declaring in a hook, or using a limiter or writing state while loading
	ErrorIsGrant    = -4 // not granted by the operator
	ErrorIsFull     = -5 // too large, or no room
	ErrorIsContext  = -6 // there is no request or no answer in this hook
	ErrorIsKind     = -7 // the stored value is of another kind
)

// Numbers: kinds of limiter.
const (
	LimiterIsTokenBucket   = 1  // rate, per, burst, maxWait
	LimiterIsConcurrency   = 2  // max, maxQueue, maxWait, order
	LimiterIsUpstream      = 3  // learns from the upstream's answers: unit, maxWait
	LimiterIsFixedWindow   = 4  // max, per, unit, maxWait
	LimiterIsSlidingWindow = 5  // max, per, unit, maxWait
	LimiterIsSlidingLog    = 6  // max, per, maxWait
	LimiterIsAdaptive      = 7  // algorithm, min, max
	LimiterIsThrottle      = 8  // ratio, min, per
	LimiterIsRetryBudget   = 9  // ratio, min, per
	LimiterIsFair          = 10 // rate, per, burst, weights, maxWait
	LimiterIsCalendar      = 11 // max, every, zone, maxWait
)

// Numbers: kinds of a policy's own number.
const (
	MetricIsCounter = 0 // only grows
	MetricIsGauge   = 1 // goes up and down
)

// Numbers: kinds of values in the state.
const (
	ValueIsNone   = 0 // absent
	ValueIsNumber = 1 // an f64, finite
	ValueIsText   = 2 // UTF-8
	ValueIsBool   = 3 // true or false
	ValueIsBytes  = 4 // anything
)

// Numbers: levels of log.
const (
	LevelIsDebug = -4
	LevelIsInfo  = 0
	LevelIsWarn  = 4
	LevelIsError = 8
)

// Numbers: texts of request_text.
const (
	TextIsAction = 0
	TextIsKey    = 1
	TextIsMethod = 2
	TextIsHost   = 3
	TextIsTenant = 4
	TextIsPath   = 5
	TextIsURL    = 6
)
