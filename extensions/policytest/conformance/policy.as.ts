// The policy that every engine is held to, in AssemblyScript; policy.c and policy.js say the same.
import {
  ABSENT, Buffer, Decision, LEVEL_WARN, NONE, Request, Response, TEXT_URL, Text, Tick, VALUE_NUMBER, VALUE_TEXT,
  absent, allow, body, byteAt, concurrency, counter, delay, deny, env, equal, fail, gauge, hash, header, length, level, log, metrics, param, pick,
  requestText, responseBody, responseHeader, retry, route, routeIndex, state, text, tokenBucket, upstreamAt, upstreamLimiter, upstreams,
  withCost, withHeader, withKey, withPriority, withReason, withTimeout, withUpstream,
} from "./gaia";

const bucket = tokenBucket("bucket", '{"rate": 5, "per": "1s", "burst": 10, "maxWait": "1500ms"}');
const slots = concurrency("slots", '{"max": 3}');
const line = concurrency("line", '{"max": 2, "maxQueue": 4, "maxWait": "1m"}');
const urgent = concurrency("urgent", '{"max": 1, "maxQueue": 3, "maxWait": "1m", "order": "priority"}');
const learned = upstreamLimiter("learned", '{"maxWait": "2s"}');
const seen = counter("seen_total");
const gauged = gauge("level");

const buf = new Buffer(512), argBuf = new Buffer(64), first = new Buffer(256), second = new Buffer(256);
const names: StaticArray<Text> = [text("one"), text("two"), text("three")];
const bursts: StaticArray<Text> = [text('{"burst": 5}'), text('{"burst": 6}'), text('{"burst": 7}'), text('{"burst": 8}'), text('{"burst": 9}')];
const T = (s: string): Text => text(s);

const ADMIT = T("admit"), ADMIT_KEY = T("admitKey"), ADMIT_NOW = T("admitNow"), ADMIT_SLOTS = T("admitSlots"), ADMIT_LEARNED = T("admitLearned");
const ADMIT_LINE = T("admitLine"), ADMIT_URGENT = T("admitUrgent"), EVERYBODY = T("all");
const TAKE = T("take"), TAKE_KEY = T("takeKey"), PEEK = T("peek"), PAUSE = T("pause"), SETTLE = T("settle"), SET = T("set");
const SET_NUMBER = T("setNumber"), SET_TEXT = T("setText"), GET_NUMBER = T("getNumber"), GET_TEXT = T("getText"), REMOVE = T("remove");
const INCR = T("incr"), SWAP = T("swap"), IF_ABSENT = T("absent"), COUNT = T("count"), GAUGE = T("gauge"), METRICS = T("metrics");
const HASH = T("hash"), PICK = T("pick"), PARAMS = T("params"), ENV = T("env"), LOG = T("log"), HEADER = T("header"), BODY = T("body");
const URL = T("url"), VIEWS = T("views"), FAIL = T("fail"), DENY = T("deny"), DENY_WHY = T("denyWhy"), DENY_429 = T("deny429");
const DELAY = T("delay"), ROUTE = T("route"), ALL = T("all"), ARG = T("arg"), IN_FLIGHT = T("in_flight"), WRITTEN = T("written by the guest");
const CANNOT = T("cannot go on"), SAID = T("said "), TO = T("to-"), U = T("u-"), K = T("k-"), BECAUSE = T("because"), X_A = T("x-a"), X_B = T("x-b");
const EMPTY = T(""), X_TRY = T("x-try"), AGAIN = T("again"), SPARE = T("spare"), TOKENS = T("tokens"), N = T("n"), TK = T("t"), SEVEN = T("7");

function number(n: i64): Decision { return withCost(allow(), n); }
function told(t: Text): Decision { return absent(t) ? number(99) : withReason(allow(), t); }

function limits(req: Request, op: Text, arg: Text): Decision {
  if (equal(op, ADMIT)) return bucket.admit();
  if (equal(op, ADMIT_KEY)) return bucket.admitKey(arg, req.attempt as i64);
  if (equal(op, ADMIT_NOW)) return bucket.admitKey(arg, -1, 0);
  if (equal(op, ADMIT_SLOTS)) return slots.admit();
  if (equal(op, ADMIT_LEARNED)) return learned.admit();
  if (equal(op, ADMIT_LINE)) return line.admitKey(arg, 1);
  if (equal(op, ADMIT_URGENT)) return urgent.admitKey(EVERYBODY, 1, (req.attempt * 30000) as i64);
  if (equal(op, TAKE)) return number(bucket.take() as i64);
  if (equal(op, TAKE_KEY)) return number(bucket.takeKey(arg, req.attempt as i64) as i64);
  if (equal(op, PEEK)) {
    const ok = bucket.peek(arg, 1);
    return number(level().remaining * 2 + (ok as i64));
  }
  if (equal(op, PAUSE)) bucket.pause(arg, req.attempt * 100);
  if (equal(op, SETTLE)) {
    if (bucket.takeKey(req.key, 2)) bucket.settle(req.attempt as i64);
  }
  if (equal(op, SET)) bucket.set(bursts[req.attempt]);
  return NONE;
}

function states(req: Request, op: Text, arg: Text): Decision {
  const n = first.join(N, arg), t = second.join(TK, arg);
  const cost = req.cost as f64, attempt = req.attempt as f64;
  if (equal(op, SET_NUMBER)) state.set(n, cost, req.attempt * 1000);
  if (equal(op, SET_TEXT)) state.setText(t, req.tenant);
  if (equal(op, GET_NUMBER)) return state.get(n, buf) == VALUE_NUMBER ? number(state.number() as i64) : NONE;
  if (equal(op, GET_TEXT)) return told(state.get(t, buf) == VALUE_TEXT ? state.textIn(buf) : ABSENT);
  if (equal(op, REMOVE)) return number(state.remove(n) as i64);
  if (equal(op, INCR)) return number(state.incr(n, attempt) as i64);
  if (equal(op, SWAP)) return number(state.compareAndSet(n, cost, attempt) as i64);
  if (equal(op, IF_ABSENT)) return number(state.setIfAbsent(n, attempt) as i64);
  return NONE;
}

function others(req: Request, op: Text, arg: Text): Decision {
  if (equal(op, COUNT)) seen.add(req.attempt as f64);
  if (equal(op, GAUGE)) gauged.set(req.cost as f64);
  if (equal(op, METRICS)) return number(metrics(0, IN_FLIGHT) as i64);
  if (equal(op, HASH)) return number(hash(arg) % 1000003);
  if (equal(op, PICK)) return withKey(allow(), names[pick(arg, names)]);
  if (equal(op, PARAMS)) return told(param(arg, buf));
  if (equal(op, ENV)) return told(env(arg, buf));
  if (equal(op, LOG)) log(LEVEL_WARN, WRITTEN);
  if (equal(op, HEADER)) return told(header(arg, buf));
  if (equal(op, BODY)) return told(body(arg, buf));
  if (equal(op, URL)) return told(requestText(TEXT_URL, buf));
  if (equal(op, VIEWS)) {
    const d = number(req.inFlight + req.queued * 10 + req.p95 / 1000000 + req.size);
    return withPriority(withKey(d, second.join(first.join(req.key, req.host), req.path)), req.priority);
  }
  if (equal(op, FAIL)) fail(CANNOT);
  return NONE;
}

function decides(req: Request, op: Text, arg: Text): Decision {
  if (equal(op, DENY)) return deny(400 + req.attempt, (req.cost as u32) * 10);
  if (equal(op, DENY_WHY)) return withReason(deny(503, 1000), first.join(SAID, arg));
  if (equal(op, DENY_429)) return deny();
  if (equal(op, DELAY)) return delay(req.attempt * 7);
  if (equal(op, ROUTE)) return route(first.join(TO, arg));
  if (equal(op, ALL)) {
    let d = withKey(route(first.join(U, arg)), second.join(K, arg));
    d = withReason(withPriority(withCost(withTimeout(d, 2500), req.cost), req.attempt as i32), BECAUSE);
    return withHeader(withHeader(d, X_A, arg), X_B, EMPTY);
  }
  return NONE;
}

export function onRequest(req: Request): Decision {
  const op = req.method;
  let arg = header(ARG, argBuf);
  if (absent(arg)) arg = EMPTY;
  let d = limits(req, op, arg);
  if (!d) d = states(req, op, arg);
  if (!d) d = others(req, op, arg);
  if (!d) d = decides(req, op, arg);
  return d;
}

export function onRoute(req: Request): Decision {
  for (let i = 0; i < upstreams(req); i++) {
    const u = upstreamAt(req, i);
    if (u.healthy == 1 && u.remaining > 0 && u.inFlight < 3) return routeIndex(i);
  }
  return NONE;
}

export function onResponse(req: Request, res: Response): Decision {
  learned.learn();
  if (res.status == 503 && req.attempt < 3) return retry(res.retryAfter ? ((res.retryAfter / 1000000) as u32) : 250);
  if (equal(responseHeader(X_TRY, buf), AGAIN)) return withUpstream(retry(), SPARE);
  return NONE;
}

export function onDone(req: Request, res: Response): void {
  if (res.bytes > 0) seen.add(res.bytes as f64);
  if (equal(responseBody(TOKENS, buf), SEVEN)) seen.add(1);
}

export function onTick(tick: Tick): void { gauged.set((tick.now / 1000000000 % 1000) as f64); }
