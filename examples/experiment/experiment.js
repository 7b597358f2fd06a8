// A policy of one's own, the very file that runs in production, beside two natives.
import { arrivals, dist, limit, policy, strategy } from "gaia/experiment";

export const options = {
  duration: "5m", replicas: 5,
  scenarios: { calls: { arrivals: arrivals.poisson({ rate: 15 }), patience: "5s" } },
  upstreams: { api: { latency: dist.lognormal({ p50: 50, p99: 500 }), limits: [limit.fixedWindow({ quota: 12 })] } },
  strategies: {
    none: strategy.none(),
    bucket: strategy.tokenBucket({ rate: 12, burst: 1, maxWait: "4s" }),
    mine: policy("./policy.js", { rate: 12 }),
  },
  thresholds: { "throttled{strategy:mine}": ["avg<0.01"] },
};
