// A limit that no request fits into: each of the tenants is asked of and denied.
import { deny, limiter } from "gaia";

const perTenant = limiter.tokenBucket("per-tenant", { rate: 1, burst: 1 });
const denied = deny(429, 1000);

export function onRequest(req) {
  if (!perTenant.take(req.tenant, 2)) return denied;
}
