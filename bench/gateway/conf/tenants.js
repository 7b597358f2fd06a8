// A limit for each tenant and, where the parameter says so, always the same upstream for one tenant.
import { deny, limiter, params, pick, route } from "gaia";

const perTenant = limiter.tokenBucket("per-tenant", params.limit);
const names = ["a", "b"];
const ways = { a: route("a"), b: route("b") };
const denied = deny(429, 1000);

export const options = { match: { subsystem: "api" } };

export function onRequest(req) {
  if (!perTenant.take(req.tenant)) return denied;
  if (params.route) return ways[pick(req.tenant, names)];
}
