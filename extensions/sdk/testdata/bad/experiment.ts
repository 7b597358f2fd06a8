import { arrivals, strategy, type Options } from "gaia/experiment";

export const options: Options = {
  duration: "1m",
  scenarios: { s: { arrivals: arrivals.poisson({ rate: 1 }) } },
  upstreams: { api: { latency: 20 } },
  strategies: { none: strategy.tokenBuckets({ rate: 1 }) }, // error
};
