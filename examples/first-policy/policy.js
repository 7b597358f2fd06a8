// No host, or route, is asked more than ten times a second. Twenty may go at once;
// callers beyond that wait, two seconds at most. What the host says is obeyed.
import { limiter } from "gaia";

export const options = { match: { subsystem: "api" } };

const perHost = limiter.tokenBucket("per-host", { rate: 10, burst: 20, maxWait: "2s" });

export function onRequest(req) {
  return perHost.admit();
}

export function onResponse(req, res) {
  perHost.learn(res);
}
