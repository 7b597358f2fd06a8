// retry-after: obey what the other side says about its limits.
//
// It needs no parameters. It reads RateLimit, RateLimit-Policy, X-RateLimit-* and
// Retry-After from the answers, counts the requests in flight against what remains
// before it lets one go, and holds callers until the reset. It never concludes from
// silence that more is allowed.
//
// Parameters: maxWait ("60s"): callers that would wait longer get a 429 at once.
//   gaia run std/retry-after --route api=https://api.example.com
import { limiter } from "gaia";
import { duration, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { maxWait } = read({ maxWait: duration("60s") });
const upstream = limiter.upstream("upstream", { maxWait });

export function onRequest() {
  return upstream.admit();
}

export function onResponse(req, res) {
  upstream.learn(res);
}
