// Paces urgent requests and refuses the others while there is a queue.
import { deny, limiter, params } from "gaia";

const bucket = limiter.tokenBucket("calls", { rate: params.rate ?? 10, burst: 1, maxWait: "4s" });
const busy = deny(429, { retryAfter: "2s", reason: "busy" });

export function onRequest(req) {
  const { retryAfter = 0 } = bucket.peek();
  if (retryAfter > 1000 && req.priority < 9) return busy;
  return bucket.admit();
}
