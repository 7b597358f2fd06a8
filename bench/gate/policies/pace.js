// The usual policy of a client: pace each host, and listen to what it says.
import { limiter } from "gaia";

const perHost = limiter.tokenBucket("per-host", { rate: 1e6, burst: 1e6, maxWait: "2s" });

export function onRequest(req) {
  return perHost.admit();
}

export function onResponse(req, res) {
  perHost.learn(res);
}
