// limiters: every limiter on one workload, bursts of three times what the provider allows.
import { arrivals, dist, keys, limit, policy, strategy } from "gaia/experiment";

const rate = 20;
const maxWait = "9s"; // callers leave after ten

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
    oracle: strategy.oracle(),
    tokenBucket: strategy.tokenBucket({ rate, burst: rate }),
    paced: strategy.tokenBucket({ rate, burst: 1, maxWait }),
    fixedWindow: strategy.fixedWindow({ max: rate, maxWait }),
    slidingWindow: strategy.slidingWindow({ max: rate, maxWait }),
    slidingLog: strategy.slidingLog({ max: rate, maxWait }),
    fair: strategy.fair({ rate, burst: 1, maxWait }, { by: "tenant" }),
    calendar: strategy.calendar({ max: 120 * rate, every: "hour" }),
    concurrency: strategy.concurrency({ max: 2 }),
    adaptive: strategy.adaptive({ max: 50 }),
    throttle: strategy.throttle({ per: "10s" }),
    retryBudget: strategy.retryBudget({ min: rate }), // made for retries; here it is asked about everything
    upstream: strategy.upstream({ maxWait }),
    retryAfter: policy("std/retry-after"),
  },
  thresholds: { "throttled{strategy:oracle}": ["max==0"], "goodput{strategy:paced}": ["min>17"] },
};
