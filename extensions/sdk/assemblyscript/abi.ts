// Generated from extensions/wasm/abi by `go generate`; do not edit.
import { Text, Limiter, view } from "./gaia";

export const MINOR: i32 = 1;
export const SCRATCH_SIZE: i32 = 16384;
export const FRAME_AT: i32 = 0;
export const FRAME_AREA: i32 = 8192;
export const METRICS_AT: i32 = 8192;
export const METRICS_AREA: i32 = 4096;
export const ANSWER_AT: i32 = 12288;
export const ANSWER_AREA: i32 = 4096;
export const FRAME_UPSTREAMS: i32 = 176;

// flags of a frame
export const FLAG_TRUNCATED: i32 = 1; // a text did not fit and was cut; request_text gives the whole
export const FLAG_UPSTREAMS_TRUNCATED: i32 = 2; // not all upstreams fit
export const FLAG_METRICS_TRUNCATED: i32 = 4; // not all numbers fit into the metrics area

// hooks, and their bits in the result of gaia_hooks: 1 << hook
export const HOOK_REQUEST: i32 = 0; // before an attempt
export const HOOK_ROUTE: i32 = 1; // which upstream, where the request hook named none
export const HOOK_RESPONSE: i32 = 2; // at the headers of the answer
export const HOOK_DONE: i32 = 3; // at its end
export const HOOK_TICK: i32 = 4; // once a second

// actions of a packed decision
export const ACTION_NONE: i32 = 0; // no opinion
export const ACTION_ALLOW: i32 = 1; // go, with the changes the decision names
export const ACTION_DENY: i32 = 2; // do not go; the milliseconds say when to come back
export const ACTION_DELAY: i32 = 3; // go after the milliseconds
export const ACTION_ROUTE: i32 = 4; // go to an upstream: the record upstream names it; in the route hook the low 32 bits are its index where there is no such record
export const ACTION_RETRY: i32 = 5; // response hook: try again after the milliseconds

// places in the packed decision
export const WORD_ARG_SHIFT: i32 = 0; // 32 bits: milliseconds, or an index
export const WORD_STATUS_SHIFT: i32 = 32; // 10 bits: status of a denial, 0 is 429
export const WORD_HANDLE_SHIFT: i32 = 42; // 6 bits: which limiter_admit of this hook it stands for, set by the host; 0 none
export const WORD_REASON_SHIFT: i32 = 48; // 8 bits: index, from 1, into the manifest's reasons; 0 none
export const WORD_ACTION_SHIFT: i32 = 56; // 4 bits: the action
export const WORD_EXT_BIT: i32 = 62; // records follow in the answer area
export const WORD_ERROR_BIT: i32 = 63; // the guest failed

// records of the answer area: u16 tag, u16 length, value
export const RECORD_UPSTREAM: i32 = 1; // text: name of an upstream
export const RECORD_TIMEOUT: i32 = 2; // i64: ns that the attempt may take
export const RECORD_COST: i32 = 3; // i64: units
export const RECORD_PRIORITY: i32 = 4; // i32: 0 to 9
export const RECORD_KEY: i32 = 5; // text: configured limits count on it
export const RECORD_HEADER: i32 = 6; // u16 length of the name, name, value: set on the request to the upstream; may be repeated
export const RECORD_REASON: i32 = 7; // text: why
export const RECORD_DELAY: i32 = 8; // i64: ns, in place of the milliseconds of the packed decision

// errors of imported functions
export const ERROR_ABSENT: i32 = -1; // there is no such value
export const ERROR_ARGUMENT: i32 = -2; // an unknown identifier or a value out of range
export const ERROR_PHASE: i32 = -3; // declaring in a hook, or using a limiter or writing state while loading
export const ERROR_GRANT: i32 = -4; // not granted by the operator
export const ERROR_FULL: i32 = -5; // too large, or no room
export const ERROR_CONTEXT: i32 = -6; // there is no request or no answer in this hook
export const ERROR_KIND: i32 = -7; // the stored value is of another kind

// kinds of limiter
export const LIMITER_TOKEN_BUCKET: i32 = 1; // rate, per, burst, maxWait
export const LIMITER_CONCURRENCY: i32 = 2; // max, maxQueue, maxWait, order
export const LIMITER_UPSTREAM: i32 = 3; // learns from the upstream's answers: unit, maxWait
export const LIMITER_FIXED_WINDOW: i32 = 4; // max, per, unit, maxWait
export const LIMITER_SLIDING_WINDOW: i32 = 5; // max, per, unit, maxWait
export const LIMITER_SLIDING_LOG: i32 = 6; // max, per, maxWait
export const LIMITER_ADAPTIVE: i32 = 7; // algorithm, min, max
export const LIMITER_THROTTLE: i32 = 8; // ratio, min, per
export const LIMITER_RETRY_BUDGET: i32 = 9; // ratio, min, per
export const LIMITER_FAIR: i32 = 10; // rate, per, burst, weights, maxWait
export const LIMITER_CALENDAR: i32 = 11; // max, every, zone, maxWait

// kinds of a policy's own number
export const METRIC_COUNTER: i32 = 0; // only grows
export const METRIC_GAUGE: i32 = 1; // goes up and down

// kinds of values in the state
export const VALUE_NONE: i32 = 0; // absent
export const VALUE_NUMBER: i32 = 1; // an f64, finite
export const VALUE_TEXT: i32 = 2; // UTF-8
export const VALUE_BOOL: i32 = 3; // true or false
export const VALUE_BYTES: i32 = 4; // anything

// levels of log
export const LEVEL_DEBUG: i32 = -4;
export const LEVEL_INFO: i32 = 0;
export const LEVEL_WARN: i32 = 4;
export const LEVEL_ERROR: i32 = 8;

// texts of request_text
export const TEXT_ACTION: i32 = 0;
export const TEXT_KEY: i32 = 1;
export const TEXT_METHOD: i32 = 2;
export const TEXT_HOST: i32 = 3;
export const TEXT_TENANT: i32 = 4;
export const TEXT_PATH: i32 = 5;
export const TEXT_URL: i32 = 6;

/** an operation that somebody asks for; valid until the hook returns */
@unmanaged
export class Request {
  /** minor version of the host */
  @inline get minor(): u16 { return load<u16>(changetype<usize>(this), 4); }
  /** see the flags of a frame */
  @inline get flags(): u16 { return load<u16>(changetype<usize>(this), 6); }
  /** which hook this is */
  @inline get hook(): u32 { return load<u32>(changetype<usize>(this), 8); }
  /** who asks: 0 api, 1 files, 2 browser, 3 process, 4 network */
  @inline get subsystem(): u32 { return load<u32>(changetype<usize>(this), 12); }
  /** 1 for the first */
  @inline get attempt(): u32 { return load<u32>(changetype<usize>(this), 16); }
  /** 0 to 9, 5 is normal */
  @inline get priority(): i32 { return load<i32>(changetype<usize>(this), 20); }
  /** the clock, in ns since 1970 */
  @inline get now(): i64 { return load<i64>(changetype<usize>(this), 24); }
  /** when the caller gives up, in ns since 1970; 0 never */
  @inline get deadline(): i64 { return load<i64>(changetype<usize>(this), 32); }
  /** units of the limits, 1 unless told */
  @inline get cost(): i64 { return load<i64>(changetype<usize>(this), 40); }
  /** bytes of the body, -1 unknown */
  @inline get size(): i64 { return load<i64>(changetype<usize>(this), 48); }
  /** hash of key, as the import hash gives it */
  @inline get keyHash(): u64 { return load<u64>(changetype<usize>(this), 56); }
  /** hash of tenant */
  @inline get tenantHash(): u64 { return load<u64>(changetype<usize>(this), 64); }
  /** request, read, launch, ... */
  @inline get action(): Text { return view(load<u64>(changetype<usize>(this), 72)); }
  /** what limits count on */
  @inline get key(): Text { return view(load<u64>(changetype<usize>(this), 80)); }
  /** as in HTTP */
  @inline get method(): Text { return view(load<u64>(changetype<usize>(this), 88)); }
  /** lower case, with a port only where it is not the default */
  @inline get host(): Text { return view(load<u64>(changetype<usize>(this), 96)); }
  /** whom the operation is for */
  @inline get tenant(): Text { return view(load<u64>(changetype<usize>(this), 104)); }
  /** of the URL or file */
  @inline get path(): Text { return view(load<u64>(changetype<usize>(this), 112)); }
  /** as it will be sent, without credentials */
  @inline get url(): Text { return view(load<u64>(changetype<usize>(this), 120)); }
  /** operations of this subsystem and key that are under way */
  @inline get inFlight(): i64 { return load<i64>(changetype<usize>(this), 128); }
  /** operations that wait to start */
  @inline get queued(): i64 { return load<i64>(changetype<usize>(this), 136); }
  /** ended operations per second */
  @inline get rate(): f64 { return load<f64>(changetype<usize>(this), 144); }
  /** share of them that failed, 0 to 1 */
  @inline get errorRate(): f64 { return load<f64>(changetype<usize>(this), 152); }
  /** median duration in ns */
  @inline get p50(): i64 { return load<i64>(changetype<usize>(this), 160); }
  /** 95th percentile of the durations in ns */
  @inline get p95(): i64 { return load<i64>(changetype<usize>(this), 168); }
  /** route hook: how many are in the frame */
  @inline get upstreamCount(): u32 { return load<u32>(changetype<usize>(this), 180); }
}

/** how an attempt ended; valid until the hook returns */
@unmanaged
export class Response {
  /** response and done hooks: the status, 0 where there was no answer */
  @inline get status(): u32 { return load<u32>(changetype<usize>(this), 184); }
  /** since the attempt started, in ns */
  @inline get duration(): i64 { return load<i64>(changetype<usize>(this), 192); }
  /** of the answer's body, -1 while it is not known */
  @inline get bytes(): i64 { return load<i64>(changetype<usize>(this), 200); }
  /** as the upstream asked, in ns; 0 where it did not */
  @inline get retryAfter(): i64 { return load<i64>(changetype<usize>(this), 208); }
  /** when the attempt left, in ns since 1970 */
  @inline get sent(): i64 { return load<i64>(changetype<usize>(this), 216); }
  /** kind of failure, empty where there was an answer */
  @inline get error(): Text { return view(load<u64>(changetype<usize>(this), 224)); }
  /** name of the upstream that answered */
  @inline get upstream(): Text { return view(load<u64>(changetype<usize>(this), 232)); }
}

/** a second has passed */
@unmanaged
export class Tick {
  /** the clock, in ns since 1970 */
  @inline get now(): i64 { return load<i64>(changetype<usize>(this), 24); }
}

/** one candidate of the route hook */
@unmanaged
export class Upstream {
  /** what a decision names */
  @inline get name(): Text { return view(load<u64>(changetype<usize>(this), 0)); }
  /** its host */
  @inline get host(): Text { return view(load<u64>(changetype<usize>(this), 8)); }
  /** its configured weight */
  @inline get weight(): i32 { return load<i32>(changetype<usize>(this), 16); }
  /** 1 healthy, 0 not */
  @inline get healthy(): u32 { return load<u32>(changetype<usize>(this), 20); }
  /** operations under way */
  @inline get inFlight(): i64 { return load<i64>(changetype<usize>(this), 24); }
  /** share of operations that failed, 0 to 1 */
  @inline get errorRate(): f64 { return load<f64>(changetype<usize>(this), 32); }
  /** median duration in ns */
  @inline get p50(): i64 { return load<i64>(changetype<usize>(this), 40); }
  /** 95th percentile of the durations in ns */
  @inline get p95(): i64 { return load<i64>(changetype<usize>(this), 48); }
  /** what its limits have left, -1 unknown */
  @inline get remaining(): i64 { return load<i64>(changetype<usize>(this), 56); }
}

/** what limiter_peek writes; 32 bytes */
@unmanaged
export class Peek {
  /** ns to wait: before acting where there is enough, until there is where not */
  @inline get wait(): i64 { return load<i64>(changetype<usize>(this), 0); }
  /** burst, maximum or learned quota; 0 unknown */
  @inline get limit(): i64 { return load<i64>(changetype<usize>(this), 8); }
  /** whole units left, -1 unknown */
  @inline get remaining(): i64 { return load<i64>(changetype<usize>(this), 16); }
  /** ns until it is full again */
  @inline get reset(): i64 { return load<i64>(changetype<usize>(this), 24); }
}

/** what state_get writes; 16 bytes */
@unmanaged
export class Value {
  /** a number; a bool as 0 or 1 */
  @inline get number(): f64 { return load<f64>(changetype<usize>(this), 0); }
  /** full bytes of a text or of bytes, whatever the buffer took */
  @inline get length(): u32 { return load<u32>(changetype<usize>(this), 8); }
  /** see the kinds of values */
  @inline get kind(): u32 { return load<u32>(changetype<usize>(this), 12); }
}

/** a text in the guest's own memory: an entry of the list given to pick; 8 bytes */
@unmanaged
export class Span {
  /** where it starts */
  @inline get pointer(): u32 { return load<u32>(changetype<usize>(this), 0); }
  /** its bytes */
  @inline get length(): u32 { return load<u32>(changetype<usize>(this), 4); }
}

// Limiters, declared at module scope; params is a JSON object.

/** rate, per, burst, maxWait */
export function tokenBucket(name: string, params: string): Limiter { return Limiter.open(LIMITER_TOKEN_BUCKET, name, params); }

/** max, maxQueue, maxWait, order */
export function concurrency(name: string, params: string): Limiter { return Limiter.open(LIMITER_CONCURRENCY, name, params); }

/** learns from the upstream's answers: unit, maxWait */
export function upstreamLimiter(name: string, params: string): Limiter { return Limiter.open(LIMITER_UPSTREAM, name, params); }

/** max, per, unit, maxWait */
export function fixedWindow(name: string, params: string): Limiter { return Limiter.open(LIMITER_FIXED_WINDOW, name, params); }

/** max, per, unit, maxWait */
export function slidingWindow(name: string, params: string): Limiter { return Limiter.open(LIMITER_SLIDING_WINDOW, name, params); }

/** max, per, maxWait */
export function slidingLog(name: string, params: string): Limiter { return Limiter.open(LIMITER_SLIDING_LOG, name, params); }

/** algorithm, min, max */
export function adaptive(name: string, params: string): Limiter { return Limiter.open(LIMITER_ADAPTIVE, name, params); }

/** ratio, min, per */
export function throttle(name: string, params: string): Limiter { return Limiter.open(LIMITER_THROTTLE, name, params); }

/** ratio, min, per */
export function retryBudget(name: string, params: string): Limiter { return Limiter.open(LIMITER_RETRY_BUDGET, name, params); }

/** rate, per, burst, weights, maxWait */
export function fair(name: string, params: string): Limiter { return Limiter.open(LIMITER_FAIR, name, params); }

/** max, every, zone, maxWait */
export function calendar(name: string, params: string): Limiter { return Limiter.open(LIMITER_CALENDAR, name, params); }

// Functions of the host.

/** declare a limiter while loading; params is a JSON object: its identifier */
@external("gaia_v1", "limiter_open")
export declare function hostLimiterOpen(kind: i32, name: usize, nameLen: i32, params: usize, paramsLen: i32): i32;

/** take: a packed decision to return as it is, or a negative number */
@external("gaia_v1", "limiter_admit")
export declare function hostLimiterAdmit(id: i32, key: usize, keyLen: i32, cost: i64, maxWait: i64): i64;

/** take if it is there now: 1 taken, 0 not */
@external("gaia_v1", "limiter_take")
export declare function hostLimiterTake(id: i32, key: usize, keyLen: i32, cost: i64): i32;

/** look: 1 there is enough, 0 not; writes a peek structure */
@external("gaia_v1", "limiter_peek")
export declare function hostLimiterPeek(id: i32, key: usize, keyLen: i32, cost: i64, out: usize): i32;

/** read what the answer says about limits: 0 */
@external("gaia_v1", "limiter_learn")
export declare function hostLimiterLearn(id: i32, key: usize, keyLen: i32): i32;

/** close a key for a while, 0 opens it: 0 */
@external("gaia_v1", "limiter_pause")
export declare function hostLimiterPause(id: i32, key: usize, keyLen: i32, duration: i64): i32;

/** replace the estimate by the true cost: 1, or 0 where nothing was taken */
@external("gaia_v1", "limiter_settle")
export declare function hostLimiterSettle(id: i32, key: usize, keyLen: i32, cost: i64): i32;

/** change parameters, a JSON object, and keep the counts: 0 */
@external("gaia_v1", "limiter_set")
export declare function hostLimiterSet(id: i32, params: usize, paramsLen: i32): i32;

/** read: the kind of the value; writes a value structure, and a text or bytes into buf */
@external("gaia_v1", "state_get")
export declare function hostStateGet(key: usize, keyLen: i32, out: usize, buf: usize, cap: i32): i32;

/** write, with a time to live, 0 for ever: 0 */
@external("gaia_v1", "state_set")
export declare function hostStateSet(key: usize, keyLen: i32, kind: i32, num: f64, text: usize, textLen: i32, ttl: i64): i32;

/** remove: 1 it was there, 0 not */
@external("gaia_v1", "state_delete")
export declare function hostStateDelete(key: usize, keyLen: i32): i32;

/** add to a number, absent counts as 0: the sum, NaN on failure */
@external("gaia_v1", "state_incr")
export declare function hostStateIncr(key: usize, keyLen: i32, by: f64, ttl: i64): f64;

/** write if the value is as expected (none: absent; writing none removes): 1 written, 0 not */
@external("gaia_v1", "state_compare_and_set")
export declare function hostStateCompareAndSet(key: usize, keyLen: i32, oldKind: i32, oldNum: f64, old_text: usize, oldTextLen: i32, kind: i32, num: f64, text: usize, textLen: i32, ttl: i64): i32;

/** write if there is no value: 1 written, 0 not */
@external("gaia_v1", "state_set_if_absent")
export declare function hostStateSetIfAbsent(key: usize, keyLen: i32, kind: i32, num: f64, text: usize, textLen: i32, ttl: i64): i32;

/** declare a number of the policy's own while loading: its identifier */
@external("gaia_v1", "metric_open")
export declare function hostMetricOpen(kind: i32, name: usize, nameLen: i32): i32;

/** add to it: 0 */
@external("gaia_v1", "metric_add")
export declare function hostMetricAdd(id: i32, by: f64): i32;

/** set a gauge: 0 */
@external("gaia_v1", "metric_set")
export declare function hostMetricSet(id: i32, to: f64): i32;

/** one of the host's numbers now; NaN where there is none */
@external("gaia_v1", "metric_get")
export declare function hostMetricGet(subsystem: i32, name: usize, nameLen: i32): f64;

/** stable hash of 53 bits, the same as in JavaScript */
@external("gaia_v1", "hash")
export declare function hostHash(text: usize, textLen: i32): i64;

/** rendezvous hashing over count spans: the index, -1 for an empty list */
@external("gaia_v1", "pick")
export declare function hostPick(key: usize, keyLen: i32, list: usize, count: i32): i32;

/** one of the operator's parameters as JSON: its length, or absent */
@external("gaia_v1", "param")
export declare function hostParam(name: usize, nameLen: i32, buf: usize, cap: i32): i32;

/** a granted environment variable: its length, or absent */
@external("gaia_v1", "env")
export declare function hostEnv(name: usize, nameLen: i32, buf: usize, cap: i32): i32;

/** write a log line, rate-limited */
@external("gaia_v1", "log")
export declare function hostLog(level: i32, text: usize, textLen: i32): void;

/** give up with a message: the hook ends here */
@external("gaia_v1", "fail")
export declare function hostFail(text: usize, textLen: i32): void;

/** a field of the request: its length, or absent */
@external("gaia_v1", "request_header")
export declare function hostRequestHeader(name: usize, nameLen: i32, buf: usize, cap: i32): i32;

/** a body scalar of the request: its length, or absent */
@external("gaia_v1", "request_body")
export declare function hostRequestBody(name: usize, nameLen: i32, buf: usize, cap: i32): i32;

/** a field of the answer: its length, or absent */
@external("gaia_v1", "response_header")
export declare function hostResponseHeader(name: usize, nameLen: i32, buf: usize, cap: i32): i32;

/** a body scalar of the answer: its length, or absent */
@external("gaia_v1", "response_body")
export declare function hostResponseBody(name: usize, nameLen: i32, buf: usize, cap: i32): i32;

/** a text of the frame, whole: its length */
@external("gaia_v1", "request_text")
export declare function hostRequestText(which: i32, buf: usize, cap: i32): i32;

/** while loading: make one limiter of at most 8, named by i32 identifiers; its own */
@external("gaia_v1", "limiter_all")
export declare function hostLimiterAll(ids: usize, count: i32): i32;

/** limiter_admit of such a limiter with an i64 cost for each */
@external("gaia_v1", "limiter_admit_costs")
export declare function hostLimiterAdmitCosts(id: i32, key: usize, keyLen: i32, costs: usize, count: i32, maxWait: i64): i64;
