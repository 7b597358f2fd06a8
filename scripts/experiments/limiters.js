// Every limiter on one workload: three times what the provider allows, in bursts.
import { arrivals, dist, keys, limit, policy, strategy } from "gaia/experiment";

const rate = 20;

export const options = {
  duration: "2m", replicas: 5,
  scenarios: {
    bursts: { arrivals: arrivals.onOff({ rate: 6 * rate, on: "2s", off: "2s" }), tenants: keys.zipf(10, 1), patience: "10s" },
  },
  upstreams: {
    provider: { latency: dist.lognormal({ p50: 40, p99: 400 }), limits: [limit.fixedWindow({ quota: rate })], headers: "x-ratelimit" },
  },
  strategies: {
    none: strategy.none(),
    tokenBucket: strategy.tokenBucket({ rate, burst: rate }),
    paced: strategy.tokenBucket({ rate, burst: 1, maxWait: "10s" }),
    concurrency: strategy.concurrency({ max: 2 }),
    upstream: strategy.upstream({ maxWait: "10s" }),
    retryAfter: policy("std/retry-after"),
    oracle: strategy.oracle(),
  },
  thresholds: { "throttled{strategy:oracle}": ["max==0"] },
};
