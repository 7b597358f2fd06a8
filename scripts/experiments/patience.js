// patience: how long may a limiter let callers wait? Just short of their patience, or nothing gets done.
import { arrivals, dist, limit, strategy } from "gaia/experiment";

const rate = 20;

export const options = {
  duration: "2m", replicas: 5,
  scenarios: {
    bursts: { arrivals: arrivals.onOff({ rate: 6 * rate, on: "2s", off: "2s" }), patience: "10s" },
  },
  upstreams: {
    provider: { latency: dist.lognormal({ p50: 40, p99: 400 }), limits: [limit.fixedWindow({ quota: rate })], headers: "x-ratelimit" },
  },
  strategies: {
    none: strategy.none(),
    paced: strategy.tokenBucket({ rate, burst: 1 }, { sweep: { maxWait: [0, 1000, 3000, 5000, 7000, 9000, 9500, 9800, 9900, 10000] } }),
  },
  // The longest wait is the worst of all: the quota is spent on callers who have left.
  thresholds: { "goodput{strategy:paced[maxWait=9000]}": ["min>17"], "goodput{strategy:paced[maxWait=10000]}": ["max<14"] },
};
