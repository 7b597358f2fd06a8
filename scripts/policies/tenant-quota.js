// tenant-quota: every tenant has its own share, and none can spend another's.
//
// The tenant is the field Gaia-Tenant of the request. Requests without one share the
// bucket of the tenant "". A request that says what it costs (Gaia-Cost) pays that.
//
// Parameters: rpm (60), burst (a sixth of rpm, at least 1), maxWait (0: deny at once),
// tenants: {NAME: rpm} for those with another quota.
//   gaia run std/tenant-quota --set policies.tenant-quota.params.rpm=600
import { counter, limiter } from "gaia";
import { count, duration, positive, positives, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { rpm, burst, maxWait, tenants } = read({ rpm: positive(60), burst: count(), maxWait: duration(0), tenants: positives() });

const share = (name, rate, size) =>
  limiter.tokenBucket(name, { rate, per: "1m", burst: size ?? Math.max(1, Math.ceil(rate / 6)), maxWait });

const common = share("tenant", rpm, burst);
const special = new Map(Object.keys(tenants).map((name, i) => [name, share(`tenant-${i}`, tenants[name])]));
const unnamed = counter("requests_without_tenant");

export function onRequest(req) {
  const tenant = req.tenant;
  if (tenant === "") unnamed.add(1);
  return (special.get(tenant) ?? common).admit(tenant);
}
