// adaptive: as many requests at once as the other side bears, found out while it works.
//
// For each host, or route: "gradient" lets fewer in as answers get slower than they used
// to be, "aimd" only as they are refused (429, 503) or fail; both try for more while all
// is well. Who finds no place gets a 429 at once. Retry-After is obeyed.
//
// Parameters: algorithm ("gradient" or "aimd"), min (1), max (200), maxWait ("30s": the
// longest wait for what Retry-After closed).
//   gaia run std/adaptive --route api=https://api.example.com --set policies.adaptive.params.max=50
import { deny, limiter } from "gaia";
import { count, duration, oneOf, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { algorithm, min, max, maxWait } = read({ algorithm: oneOf("gradient", "aimd"), min: count(1), max: count(200), maxWait: duration("30s") });
if (min > max) throw new TypeError(`params.min: want at most params.max, ${max}, got ${min}`);

const places = limiter.adaptive("places", { algorithm, min, max });
const told = limiter.upstream("told", { maxWait });
const full = deny(429, { retryAfter: "1s", reason: "as many requests as the upstream bears are under way" });

export function onRequest(req) {
  const open = told.admit(req.key, { cost: 1 });
  if (!open.ok) return open;
  return places.take(req.key, 1) ? open : full;
}

export function onResponse(req, res) {
  told.learn(res);
}

export function onDone(req, res) {
  places.learn(res);
}
