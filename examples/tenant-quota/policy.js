// A share for each tenant. The tenant is the field Gaia-Tenant; a request without one
// is refused. The start of the path says what a request costs.
import { counter, deny, limiter, params } from "gaia";

export const options = { match: { subsystem: "api" } };

const { rpm = 60, burst = 10, price = {} } = params;

const share = limiter.tokenBucket("share", { rate: rpm, per: "1m", burst });
const nobody = deny(400, { reason: "say who you are in the field Gaia-Tenant" });
const refused = counter("refused");
const prices = Object.entries(price);

export function onRequest(req) {
  if (req.tenant === "") return nobody;
  const [, cost = 1] = prices.find(([start]) => req.path.startsWith(start)) ?? [];
  const answer = share.admit(req.tenant, { cost });
  if (!answer.ok) refused.add(1);
  return answer;
}
