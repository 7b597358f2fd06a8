// llm-quota: a provider that counts requests and tokens a minute; answers of very different lengths.
import { limiter } from "gaia";
import { arrivals, dist, keys, limit, retry, strategy } from "gaia/experiment";

const rpm = 200, tpm = 150_000;
const maxWait = "25s";

// Both quotas as one take: of both or of neither.
const both = limiter.all(
  limiter.tokenBucket("requests", { rate: rpm, per: "1m", burst: 10, maxWait }),
  limiter.tokenBucket("tokens", { rate: tpm, per: "1m", burst: 10_000, maxWait, unit: "tokens" }),
);

export const options = {
  duration: "10m", replicas: 3,
  scenarios: {
    chat: { arrivals: arrivals.poisson({ rate: 4 }), tenants: keys.zipf(8, 1), cost: dist.lognormal({ p50: 200, p99: 3000 }), patience: "30s" },
    batch: { arrivals: arrivals.batch({ rate: 0.05, size: 20 }), tenants: keys.list("batch"), cost: dist.uniform(1000, 4000), patience: "30s" },
  },
  upstreams: {
    provider: {
      latency: dist.lognormal({ p50: 800, p99: 8000 }), headers: "ratelimit",
      limits: [limit.fixedWindow({ quota: rpm, per: "1m" }), limit.fixedWindow({ quota: tpm, per: "1m", tokens: true })],
    },
  },
  strategies: {
    backoff: strategy.none({ retry: retry.exponential({ attempts: 6, base: "500ms", max: "20s", jitter: "full", honor: true }) }),
    requests: strategy.tokenBucket({ rate: rpm, per: "1m", burst: 10, maxWait }, { count: "requests" }),
    tokens: strategy.tokenBucket({ rate: tpm, per: "1m", burst: 10_000, maxWait, unit: "tokens" }),
    both: { onRequest: (req) => both.admit({ cost: [1, req.cost] }) },
    upstream: strategy.upstream({ unit: "tokens", maxWait }),
    oracle: strategy.oracle(),
  },
  // One quota alone is not enough: the other answers with 429.
  thresholds: { "throttled{strategy:both}": ["avg<0.05"], "throttled{strategy:tokens}": ["avg>0.1"], "throttled{strategy:backoff}": ["avg>0.3"] },
};
