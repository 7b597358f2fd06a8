// retry-storm: a pause of ten seconds that retries make last for ever, and what cures it.
import { arrivals, dist, retry, strategy } from "gaia/experiment";

// 80 requests a second meet servers for 100. A caller has five seconds in all, gives each
// attempt one, and tries again.
const timeout = "1s", attempts = 5;
const eager = { retry: retry.fixed({ attempts, base: "50ms", timeout }) };

export const options = {
  duration: "4m", warmup: "10s", replicas: 5,
  scenarios: { callers: { arrivals: arrivals.poisson({ rate: 80 }), patience: "5s" } },
  upstreams: {
    service: { servers: 10, queue: 400, latency: dist.exponential(100), pauses: [{ at: "60s", for: "10s" }] },
  },
  strategies: {
    storm: strategy.none(eager),
    once: strategy.none({ retry: retry.none({ timeout }) }),
    backoff: strategy.none({ retry: retry.exponential({ attempts, base: "100ms", max: "2s", jitter: "full", timeout }) }),
    budget: strategy.none({ retry: retry.fixed({ attempts, base: "50ms", budget: 0.1, timeout }) }),
    throttle: strategy.throttle({ per: "10s" }, eager),
    concurrency: strategy.concurrency({ max: 30 }, eager),
    adaptive: strategy.adaptive({ max: 200 }, eager),
  },
  // Backoff with jitter does not cure it; a budget does, and so does a limit of gaia's.
  thresholds: {
    "recovery{strategy:backoff}": ["min>150"], "recovery{strategy:budget}": ["max<60"], "recovery{strategy:concurrency}": ["max<60"],
  },
};
