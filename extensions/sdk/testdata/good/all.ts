import { allow, counter, delay, deny, env, gauge, hash, limiter, log, metrics, params, pick, retry, route, state } from "gaia";
import type { OnDone, OnRequest, OnResponse, OnRoute, OnTick, Options } from "gaia";

export const options: Options = {
  match: [{ subsystem: "api", host: ["*.example.com", "example.com"] }, { path: "/v1/*" }],
  isolation: "key",
  budget: "10ms",
  onFailure: "closed",
  body: ["model"],
};

const bucket = limiter.tokenBucket("bucket", { rate: 10, per: "1s", burst: 20, maxWait: 2000 });
const flight = limiter.concurrency("flight", { max: 4 });
const quota = limiter.upstream("quota");
const calls = counter("calls");
const level = gauge("level");
const down = deny(503, { retryAfter: "5s", reason: "down" });

export const onRequest: OnRequest = (req) => {
  calls.add();
  if (req.header("x-skip") !== undefined) return true;
  if (req.body("model") === "big") return allow({ cost: 5, priority: 9, headers: { "x-a": "b" } });
  if (!flight.take()) return down;
  if (req.deadline !== undefined && req.deadline - req.now < 100) return deny(429, 1500);
  if (bucket.peek(req.tenant).remaining === 0) return delay("1s");
  if (env["MODE"] === "route") return route("b", { timeout: 100 });
  if (params.off) return false;
  if (hash(req.key) % 2 === 0) return { action: "deny", status: 429, retryAfter: "2s" };
  const d = bucket.admit(req.tenant, { cost: req.cost, maxWait: 0 });
  if (!d.ok) log.info("denied", d.retryAfter, { key: req.key });
  return d;
};

export const onRoute: OnRoute = (req, upstreams) => pick(req.key, upstreams.filter((u) => u.healthy))?.name;

export const onResponse: OnResponse = (req, res) => {
  quota.learn(res);
  if (res.status === 503) return retry({ after: res.retryAfter ?? "1s" });
};

export const onDone: OnDone = (req, res) => {
  bucket.settle(req.tenant, res.bytes ?? 1);
  state.incr("n", 1, { ttl: "1m" });
  state.compareAndSet("k", undefined, new Uint8Array([1]));
  if (res.error === "timeout") quota.pause(undefined, "5s");
};

export const onTick: OnTick = ({ now, api }) => {
  level.set(api?.in_flight ?? metrics("files")?.open ?? now);
  bucket.set({ rate: 20 });
  console.warn(now);
};
