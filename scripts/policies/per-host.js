// per-host: no host, or route, is asked more often than it can bear.
//
// Each key (a route's name, or the host of a proxied request) has a bucket of its
// own. Callers over the rate wait, up to maxWait; beyond that they get a 429 that says
// when to come back. What the host itself answers (Retry-After, RateLimit) is obeyed.
//
// Parameters: rate (10), per ("1s"), burst (twice the rate), maxWait ("2s").
//   gaia run std/per-host --set policies.per-host.params.rate=5
import { limiter } from "gaia";
import { count, duration, positive, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { rate, per, burst, maxWait } = read({ rate: positive(10), per: duration("1s", 1), burst: count(), maxWait: duration("2s") });
const perHost = limiter.tokenBucket("per-host", { rate, per, burst: burst ?? Math.ceil(2 * rate), maxWait });

export function onRequest() {
  return perHost.admit();
}

export function onResponse(req, res) {
  perHost.learn(res);
}
