// The policy that every engine is held to; policytest.Reference says the same in Go. The request's method names what to do,
// the header field "arg" brings a text, attempt and cost bring numbers.
import { allow, deny, delay, route, retry, limiter, state, counter, gauge, metrics, hash, pick, params, env, log } from "gaia";

export const options = { match: { subsystem: "api" }, budget: "5s" };

const bucket = limiter.tokenBucket("bucket", { rate: 5, per: "1s", burst: 10, maxWait: "1500ms" });
const slots = limiter.concurrency("slots", { max: 3 });
const line = limiter.concurrency("line", { max: 2, maxQueue: 4, maxWait: "1m" });
const urgent = limiter.concurrency("urgent", { max: 1, maxQueue: 3, maxWait: "1m", order: "priority" });
const learned = limiter.upstream("learned", { maxWait: "2s" });
const seen = counter("seen_total"), level = gauge("level");
const list = ["one", "two", "three"];

const number = (n) => allow({ cost: n });
const bit = (ok) => number(ok ? 1 : 0);
const text = (t) => (t === undefined ? number(99) : allow({ reason: t }));

const does = {
  admit: () => bucket.admit(),
  admitKey: (req, arg) => bucket.admit(arg, { cost: req.attempt }),
  admitNow: (req, arg) => bucket.admit(arg, { maxWait: 0 }),
  admitSlots: () => slots.admit(),
  admitLearned: () => learned.admit(),
  admitLine: (req, arg) => line.admit(arg, { cost: 1 }),
  admitUrgent: (req) => urgent.admit("all", { cost: 1, maxWait: req.attempt * 30000 }),
  take: () => bit(bucket.take()),
  takeKey: (req, arg) => bit(bucket.take(arg, req.attempt)),
  peek: (req, arg) => { const p = bucket.peek(arg, 1); return number(p.remaining * 2 + (p.ok ? 1 : 0)); },
  pause: (req, arg) => { bucket.pause(arg, req.attempt * 100); },
  settle: (req) => { if (!bucket.take(req.key, 2)) return; bucket.settle(req.key, req.attempt); },
  set: (req) => { bucket.set({ burst: 5 + req.attempt }); },
  setNumber: (req, arg) => { state.set("n" + arg, req.cost, { ttl: req.attempt * 1000 }); },
  setText: (req, arg) => { state.set("t" + arg, req.tenant); },
  getNumber: (req, arg) => { const v = state.get("n" + arg); return v === undefined ? undefined : number(v); },
  getText: (req, arg) => text(state.get("t" + arg)),
  remove: (req, arg) => bit(state.delete("n" + arg)),
  incr: (req, arg) => number(state.incr("n" + arg, req.attempt)),
  swap: (req, arg) => bit(state.compareAndSet("n" + arg, req.cost, req.attempt)),
  absent: (req, arg) => bit(state.setIfAbsent("n" + arg, req.attempt)),
  count: (req) => { seen.add(req.attempt); },
  gauge: (req) => { level.set(req.cost); },
  metrics: () => number(metrics("api").in_flight),
  hash: (req, arg) => number(hash(arg) % 1000003),
  pick: (req, arg) => allow({ key: pick(arg, list) }),
  params: (req, arg) => text(params[arg] === undefined ? undefined : JSON.stringify(params[arg])),
  env: (req, arg) => text(env[arg]),
  log: () => { log.warn("written by the guest"); },
  header: (req, arg) => text(req.header(arg)),
  body: (req, arg) => text(req.body(arg)),
  url: (req) => text(req.url),
  views: (req) => allow({ cost: req.stats.inFlight + req.stats.queued * 10 + req.stats.p95 + req.size, key: req.key + req.host + req.path, priority: req.priority }),
  deny: (req) => deny(400 + req.attempt, req.cost * 10),
  denyWhy: (req, arg) => deny(503, { retryAfter: "1s", reason: "said " + arg }),
  deny429: () => false,
  delay: (req) => delay(req.attempt * 7),
  route: (req, arg) => route("to-" + arg),
  all: (req, arg) => route("u-" + arg, { key: "k-" + arg, timeout: 2500, cost: req.cost, priority: req.attempt, reason: "because", headers: { "x-a": arg, "x-b": "" } }),
  fail: () => { throw new Error("cannot go on"); },
  none: () => undefined,
};

export function onRequest(req) {
  return does[req.method](req, req.header("arg") ?? "");
}

export function onRoute(req, upstreams) {
  for (const u of upstreams) if (u.healthy && u.remaining > 0 && u.inFlight < 3) return u.name;
}

export function onResponse(req, res) {
  learned.learn(res);
  if (res.status === 503 && req.attempt < 3) return retry({ after: res.retryAfter ?? 250 });
  if (res.header("x-try") === "again") return retry({ upstream: "spare" });
}

export function onDone(req, res) {
  if (res.bytes > 0) seen.add(res.bytes);
  if (res.body("tokens") === "7") seen.add(1);
}

export function onTick(tick) {
  level.set(Math.floor(tick.now / 1000) % 1000);
}
