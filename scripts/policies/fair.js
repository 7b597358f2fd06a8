// fair: tenants share one rate, by weight, and what one does not use goes to the others.
//
// The tenant is the field Gaia-Tenant of the request; those without one share the place
// of the tenant "". A request that says what it costs (Gaia-Cost) pays that. What the
// upstream itself answers (Retry-After, RateLimit) holds all of them.
//
// Parameters: rate (10, of all together), per ("1s"), burst (rate), weights: {TENANT:
// number} (1 for the others), maxWait ("30s"): who would wait longer gets a 429.
//   gaia run std/fair --route api=https://api.example.com --set policies.fair.params.rate=50
import { limiter } from "gaia";
import { count, duration, positive, positives, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { rate, per, burst, weights, maxWait } = read({
  rate: positive(10), per: duration("1s", 1), burst: count(), weights: positives(), maxWait: duration("30s"),
});

const shares = limiter.fair("tenants", { rate, per, burst: burst ?? Math.max(1, Math.ceil(rate)), weights, maxWait });
const told = limiter.upstream("told", { maxWait });

export function onRequest(req) {
  const share = shares.admit(req.tenant);
  if (!share.ok) return share;
  return told.admit(); // both waits count, and a denial gives the share back
}

export function onResponse(req, res) {
  told.learn(res);
}
