// A limit for each tenant, and always the same upstream for one tenant.
import { deny, limiter, pick, route } from "gaia";

const perTenant = limiter.tokenBucket("per-tenant", { rate: 1e6, burst: 1e6 });
const names = ["a", "b"];
const ways = { a: route("a"), b: route("b") };
const denied = deny(429, 1000);

export function onRequest(req) {
  if (!perTenant.take(req.tenant)) return denied;
  return ways[pick(req.tenant, names)];
}
