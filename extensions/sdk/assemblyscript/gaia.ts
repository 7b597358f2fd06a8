// The kit for gaia policies in AssemblyScript. It allocates only at module scope.
//
// A policy is policy.ts, which exports functions named after the hooks; index.ts beside it is what asc builds:
//
//   const perHost = tokenBucket("per-host", '{"rate": 10, "burst": 20, "maxWait": "2s"}');
//   export function onRequest(req: Request): Decision { return perHost.admit(); }
//
//   setup(): string | null                             once for each instance: read parameters; a text refuses to load
//   onRequest(req: Request): Decision                  before an attempt
//   onRoute(req: Request): Decision                    which of upstreamAt(req, i)
//   onResponse(req: Request, res: Response): Decision  at the headers of the answer
//   onDone(req: Request, res: Response): void          at its end
//   onTick(tick: Tick): void                           once a second
//
// Times in a request are nanoseconds, in builders milliseconds. A Text is a place in memory, not a string: make those of the
// policy with text("...") at module scope; those of a request are valid until the hook returns. Module variables belong to one
// instance of several, unless the policy's isolation is "single": what is shared goes into a limiter or the state.
import * as abi from "./abi";
export * from "./abi";

const AREA: usize = memory.data(abi.SCRATCH_SIZE, 16);

/** The scratch area. */
@inline export function area(): usize { return AREA; }

/** A pointer in the low and a length in the high half: as the host reads spans. */
export type Text = u64;

@inline function make(ptr: usize, length: i32): Text { return (ptr as u64) | ((length as u64) << 32); }
@inline function ptr(t: Text): usize { return (t as u32) as usize; }
@inline export function length(t: Text): i32 { return (t >> 32) as i32; }
@inline export function byteAt(t: Text, i: i32): u8 { return load<u8>(ptr(t) + i); }
/** A reference of a frame as a Text. */
@inline export function view(ref: u64): Text { return ref + AREA; }

/** The bytes of a string, for ever: at module scope. */
export function text(s: string): Text {
  const b = String.UTF8.encode(s);
  __pin(changetype<usize>(b));
  return make(changetype<usize>(b), b.byteLength);
}

export function equal(a: Text, b: Text): bool {
  return length(a) == length(b) && memory.compare(ptr(a), ptr(b), length(a)) == 0;
}

export function hasPrefix(a: Text, b: Text): bool {
  return length(a) >= length(b) && memory.compare(ptr(a), ptr(b), length(b)) == 0;
}

/** A place to copy to: declare it at module scope. */
export class Buffer {
  private at: usize;
  constructor(private size: i32) { this.at = heap.alloc(size); }
  /** What a host call copied; length 0 and absent() where there was nothing. */
  @inline got(n: i32): Text { return n < 0 ? ABSENT : make(this.at, min(n, this.size)); }
  @inline get start(): usize { return this.at; }
  @inline get capacity(): i32 { return this.size; }
  /** Write two texts, one after the other; they are cut to the buffer. */
  join(a: Text, b: Text): Text {
    const n = min(length(a), this.size), m = min(length(b), this.size - n);
    memory.copy(this.at, ptr(a), n);
    memory.copy(this.at + n, ptr(b), m);
    return make(this.at, n + m);
  }
}

export const ABSENT: Text = 0;
@inline export function absent(t: Text): bool { return t == ABSENT; }
const EMPTY: Text = make(AREA, 0);

@inline function ns(ms: u32): i64 { return (ms as i64) * 1000000; }

// Decisions.

/** What a hook answers: 0 is no opinion. */
export type Decision = u64;
export const NONE: Decision = 0;
const EXT: u64 = 1 << abi.WORD_EXT_BIT;

@inline function word(action: i32, status: u32, arg: u32): Decision {
  return ((action as u64) << abi.WORD_ACTION_SHIFT) | ((status as u64) << abi.WORD_STATUS_SHIFT) | (arg as u64);
}

@inline export function allow(): Decision { return word(abi.ACTION_ALLOW, 0, 0); }
/** Refuse with a status, 0 is 429, and a time to come back. */
@inline export function deny(status: u32 = 0, retryAfterMs: u32 = 0): Decision { return word(abi.ACTION_DENY, status, retryAfterMs); }
@inline export function delay(ms: u32): Decision { return word(abi.ACTION_DELAY, 0, ms); }
/** Response hook: try again. */
@inline export function retry(afterMs: u32 = 0): Decision { return word(abi.ACTION_RETRY, 0, afterMs); }
/** Go to the upstream of that name. */
export function route(name: Text): Decision { return withUpstream(word(abi.ACTION_ROUTE, 0, 0), name); }
/** Route hook: the upstream with that index. */
@inline export function routeIndex(index: u32): Decision { return word(abi.ACTION_ROUTE, 0, index); }
/** The reason with that index, from 1, in the manifest's "reasons". */
@inline export function because(d: Decision, reason: u8): Decision { return d | ((reason as u64) << abi.WORD_REASON_SHIFT); }

// Changes are written to the answer area: build one decision at a time, last before the hook returns.

/** Add a record and return the place of its value. */
function record(d: Decision, tag: i32, size: i32): usize {
  const answer = AREA + abi.ANSWER_AT;
  if (!(d & EXT)) store<u32>(answer, 0);
  const used = load<u32>(answer) as i32;
  if (size > 0xffff || used + 8 + size > abi.ANSWER_AREA) unreachable();
  const at = answer + 4 + used;
  store<u16>(at, tag as u16);
  store<u16>(at + 2, size as u16);
  store<u32>(answer, used + 4 + size);
  return at + 4;
}

function withText(d: Decision, tag: i32, t: Text): Decision {
  memory.copy(record(d, tag, length(t)), ptr(t), length(t));
  return d | EXT;
}

function withNumber(d: Decision, tag: i32, n: i64): Decision {
  store<i64>(record(d, tag, 8), n);
  return d | EXT;
}

export function withUpstream(d: Decision, name: Text): Decision { return withText(d, abi.RECORD_UPSTREAM, name); }
export function withKey(d: Decision, key: Text): Decision { return withText(d, abi.RECORD_KEY, key); }
export function withReason(d: Decision, why: Text): Decision { return withText(d, abi.RECORD_REASON, why); }
export function withTimeout(d: Decision, ms: u32): Decision { return withNumber(d, abi.RECORD_TIMEOUT, ns(ms)); }
export function withCost(d: Decision, cost: i64): Decision { return withNumber(d, abi.RECORD_COST, cost); }
export function withPriority(d: Decision, priority: i32): Decision {
  store<i32>(record(d, abi.RECORD_PRIORITY, 4), priority);
  return d | EXT;
}
/** Set a field of the request to the upstream. */
export function withHeader(d: Decision, name: Text, value: Text): Decision {
  const at = record(d, abi.RECORD_HEADER, 2 + length(name) + length(value));
  store<u16>(at, length(name) as u16);
  memory.copy(at + 2, ptr(name), length(name));
  memory.copy(at + 2 + length(name), ptr(value), length(value));
  return d | EXT;
}

// What a hook is about.

/** How many candidates the route hook has. */
@inline export function upstreams(req: abi.Request): i32 { return load<i32>(changetype<usize>(req), abi.FRAME_UPSTREAMS + 4); }
/** One of them. */
export function upstreamAt(req: abi.Request, i: i32): abi.Upstream {
  if ((i as u32) >= (upstreams(req) as u32)) unreachable();
  return changetype<abi.Upstream>(AREA + load<u32>(changetype<usize>(req), abi.FRAME_UPSTREAMS) + i * 64);
}

/** A field of the request, cut to the buffer. */
export function header(name: Text, buf: Buffer): Text { return buf.got(abi.hostRequestHeader(ptr(name), length(name), buf.start, buf.capacity)); }
/** A body scalar of the request that the options ask for. */
export function body(name: Text, buf: Buffer): Text { return buf.got(abi.hostRequestBody(ptr(name), length(name), buf.start, buf.capacity)); }
/** A field of the answer. */
export function responseHeader(name: Text, buf: Buffer): Text { return buf.got(abi.hostResponseHeader(ptr(name), length(name), buf.start, buf.capacity)); }
/** A body scalar of the answer. */
export function responseBody(name: Text, buf: Buffer): Text { return buf.got(abi.hostResponseBody(ptr(name), length(name), buf.start, buf.capacity)); }
/** One of the operator's parameters, as JSON. */
export function param(name: Text, buf: Buffer): Text { return buf.got(abi.hostParam(ptr(name), length(name), buf.start, buf.capacity)); }
/** A granted environment variable. */
export function env(name: Text, buf: Buffer): Text { return buf.got(abi.hostEnv(ptr(name), length(name), buf.start, buf.capacity)); }
/** A text of the request that the frame had to cut, whole: which is one of TEXT_*. */
export function requestText(which: i32, buf: Buffer): Text { return buf.got(abi.hostRequestText(which, buf.start, buf.capacity)); }

/** One of the host's numbers now, by the number of the subsystem; NaN where there is none. */
export function metrics(subsystem: i32, name: Text): f64 { return abi.hostMetricGet(subsystem, ptr(name), length(name)); }
/** A stable hash of 53 bits, the same as in JavaScript. */
export function hash(t: Text): i64 { return abi.hostHash(ptr(t), length(t)); }
/** Rendezvous hashing: the index of the entry that a key belongs to; -1 for an empty list. */
export function pick(key: Text, list: StaticArray<Text>): i32 {
  return abi.hostPick(ptr(key), length(key), changetype<usize>(list), list.length);
}
/** Write a log line; level is one of LEVEL_*. */
export function log(level: i32, t: Text): void { abi.hostLog(level, ptr(t), length(t)); }
/** Give up with a message: the hook ends here. */
export function fail(why: Text): void { abi.hostFail(ptr(why), length(why)); }

// Limiters, declared at module scope, which is loading.

/** A limiter that lives in the host. */
@final export class Limiter {
  private constructor(private id: i32) {}
  static open(kind: i32, name: string, params: string): Limiter {
    const n = text(name), p = text(params);
    return new Limiter(abi.hostLimiterOpen(kind, ptr(n), length(n), ptr(p), length(p)));
  }
  /** One limiter of several, at most 8: a take is of all or of none. */
  static all(parts: StaticArray<Limiter>): Limiter {
    const ids = new StaticArray<i32>(parts.length);
    for (let i = 0; i < parts.length; i++) ids[i] = parts[i].id;
    return new Limiter(abi.hostLimiterAll(changetype<usize>(ids), parts.length));
  }
  /** Of Limiter.all, with a cost for each. */
  admitCosts(costs: StaticArray<i64>): Decision { return abi.hostLimiterAdmitCosts(this.id, 0, -1, changetype<usize>(costs), costs.length, -1) as u64; }
  /** Take for the request, and return the result from the hook: allow, a wait, or a denial with the time to come back. */
  @inline admit(): Decision { return abi.hostLimiterAdmit(this.id, 0, -1, -1, -1) as u64; }
  /** As admit for another key and cost; a longest wait below 0 is the declared one. */
  admitKey(key: Text, cost: i64 = -1, maxWaitMs: i64 = -1): Decision {
    return abi.hostLimiterAdmit(this.id, ptr(key), length(key), cost, maxWaitMs < 0 ? -1 : maxWaitMs * 1000000) as u64;
  }
  @inline take(): bool { return abi.hostLimiterTake(this.id, 0, -1, -1) == 1; }
  takeKey(key: Text, cost: i64 = -1): bool { return abi.hostLimiterTake(this.id, ptr(key), length(key), cost) == 1; }
  /** Look, consume nothing: whether there is enough; level() has the rest until the next peek. */
  peek(key: Text, cost: i64 = -1): bool { return abi.hostLimiterPeek(this.id, ptr(key), length(key), cost, PEEK) == 1; }
  /** Read what the answer of this hook says about limits. */
  learn(): void { abi.hostLimiterLearn(this.id, 0, -1); }
  /** Close a key for a while; 0 opens it. */
  pause(key: Text, ms: u32): void { abi.hostLimiterPause(this.id, ptr(key), length(key), ns(ms)); }
  /** Replace the estimate for the request's key by the true cost. */
  settle(cost: i64): bool { return abi.hostLimiterSettle(this.id, 0, -1, cost) == 1; }
  /** New parameters, a JSON object; counts are kept. */
  set(params: Text): bool { return abi.hostLimiterSet(this.id, ptr(params), length(params)) == 0; }
}

const PEEK: usize = memory.data(32, 8);
/** What the last peek saw. */
@inline export function level(): abi.Peek { return changetype<abi.Peek>(PEEK); }

// State, shared by all instances: numbers by name, texts and the rest by their kind.

const VALUE: usize = memory.data(16, 8);

export namespace state {
  /** The kind of a value, one of VALUE_*; number() and textIn() then read it. */
  export function get(key: Text, buf: Buffer): i32 { return abi.hostStateGet(ptr(key), length(key), VALUE, buf.start, buf.capacity); }
  /** What the last get read. */
  export function number(): f64 { return changetype<abi.Value>(VALUE).number; }
  export function textIn(buf: Buffer): Text { return buf.got(changetype<abi.Value>(VALUE).length as i32); }
  /** Write with a time to live, 0 for ever; false where it was refused. */
  export function set(key: Text, n: f64, ttlMs: u32 = 0): bool { return abi.hostStateSet(ptr(key), length(key), abi.VALUE_NUMBER, n, 0, 0, ns(ttlMs)) == 0; }
  export function setText(key: Text, t: Text, ttlMs: u32 = 0): bool {
    return abi.hostStateSet(ptr(key), length(key), abi.VALUE_TEXT, 0, ptr(t), length(t), ns(ttlMs)) == 0;
  }
  /** Remove a value; whether there was one. */
  export function remove(key: Text): bool { return abi.hostStateDelete(ptr(key), length(key)) == 1; }
  /** Add to a number; NaN where the value is no number. */
  export function incr(key: Text, by: f64 = 1, ttlMs: u32 = 0): f64 { return abi.hostStateIncr(ptr(key), length(key), by, ns(ttlMs)); }
  /** Write a number only if the value is the old one; whether it was. */
  export function compareAndSet(key: Text, old: f64, n: f64, ttlMs: u32 = 0): bool {
    return abi.hostStateCompareAndSet(ptr(key), length(key), abi.VALUE_NUMBER, old, 0, 0, abi.VALUE_NUMBER, n, 0, 0, ns(ttlMs)) == 1;
  }
  /** Write a number only if there is no value; whether there was none. */
  export function setIfAbsent(key: Text, n: f64, ttlMs: u32 = 0): bool {
    return abi.hostStateSetIfAbsent(ptr(key), length(key), abi.VALUE_NUMBER, n, 0, 0, ns(ttlMs)) == 1;
  }
}

// The policy's own numbers, declared at module scope.

@final export class Metric {
  constructor(private id: i32) {}
  add(by: f64): void { abi.hostMetricAdd(this.id, by); }
  set(to: f64): void { abi.hostMetricSet(this.id, to); }
}

function openMetric(kind: i32, name: string): Metric {
  const n = text(name);
  return new Metric(abi.hostMetricOpen(kind, ptr(n), length(n)));
}

export function counter(name: string): Metric { return openMetric(abi.METRIC_COUNTER, name); }
export function gauge(name: string): Metric { return openMetric(abi.METRIC_GAUGE, name); }

// For index.ts.

/** Leave a message for the host and refuse to load. */
export function refuse(why: string): i32 {
  const t = text(why), n = min(length(t), abi.ANSWER_AREA - 4);
  store<u32>(AREA + abi.ANSWER_AT, n);
  memory.copy(AREA + abi.ANSWER_AT + 4, ptr(t), n);
  return 1;
}

/** What asc calls where an assertion fails. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = text((message ? message + " at " : "") + (file ? file : "") + ":" + line.toString());
  fail(where);
}
