import { limiter } from "gaia";
import { arrivals, dist, keys, latency, limit, policy, retry, strategy, type Options } from "gaia/experiment";

const tokens = limiter.tokenBucket("tokens", { rate: 100 });

export const options: Options = {
  duration: "10m", warmup: 1000, replicas: 3, seed: 7,
  scenarios: {
    open: { arrivals: arrivals.flash({ rate: 10, peak: 100, at: "1m" }), tenants: keys.zipf(10, 1), cost: dist.lognormal({ p50: 100, p99: 2000 }) },
    closed: { users: 10, think: dist.exponential(500), keys: keys.list("a", "b"), patience: 0 },
    recorded: { trace: { file: "trace.csv", columns: { time: "at" }, unit: "ms" } },
  },
  upstreams: { api: { servers: 4, queue: 100, latency: latency.exponential(20), limits: [limit.gcra({ quota: 60, per: "1m" })], headers: "ratelimit", pauses: [{ at: "2m", for: "5s" }] } },
  strategies: {
    none: strategy.none({ retry: retry.exponential({ jitter: "full", timeout: "1s" }) }),
    bucket: strategy.tokenBucket({ burst: 1 }, { sweep: { rate: [1, 2, 4] }, by: "tenant" }),
    mine: policy("./mine.ts", { rpm: 5 }),
    inline: { retry: retry.none(), onRequest: (req) => tokens.admit(req.tenant, { cost: req.cost }) },
  },
  thresholds: { "throttled{strategy:mine}": ["avg<0.01"] },
};
