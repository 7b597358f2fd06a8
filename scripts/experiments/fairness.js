// fairness: one tenant asks for five times the quota, nine ask for little; who is served?
import { arrivals, dist, keys, limit, strategy } from "gaia/experiment";

const rate = 20;
const light = { tenants: keys.list("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"), keys: { name: "provider" }, patience: "5s" };

export const options = {
  duration: "3m", replicas: 5,
  scenarios: {
    heavy: { arrivals: arrivals.poisson({ rate: 5 * rate }), tenants: keys.list("heavy"), keys: { name: "provider" }, patience: "5s" },
    light: { arrivals: arrivals.poisson({ rate: 9 }), ...light },
  },
  upstreams: {
    provider: { latency: dist.lognormal({ p50: 40, p99: 400 }), limits: [limit.fixedWindow({ quota: rate })], headers: "x-ratelimit" },
  },
  strategies: {
    none: strategy.none(),
    tokenBucket: strategy.tokenBucket({ rate, burst: 1, maxWait: "4s" }),
    "bucket each": strategy.tokenBucket({ rate: rate / 10, burst: 2, maxWait: "4s" }, { by: "tenant" }),
    fair: strategy.fair({ rate, burst: 1, maxWait: "4s" }, { by: "tenant" }),
    "fair, heavy x4": strategy.fair({ rate, burst: 1, maxWait: "4s", weights: { heavy: 4 } }, { by: "tenant" }),
  },
  // In one bucket a light tenant gets nothing for half a minute; with shares it hardly notices.
  thresholds: { "starvation{strategy:tokenBucket}": ["avg>15"], "starvation{strategy:fair}": ["avg<12"], "throttled{strategy:tokenBucket}": ["max==0"] },
};
