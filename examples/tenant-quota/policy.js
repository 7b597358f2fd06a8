// A share for each tenant. The tenant is the field Gaia-Tenant; a request without one
// is refused. The JSON field "model" of the body says what the request costs.
import { counter, deny, limiter, params } from "gaia";

export const options = { match: { subsystem: "api" }, body: ["model"] };

const { rpm = 60, burst = 10, price = {} } = params;

const share = limiter.tokenBucket("share", { rate: rpm, per: "1m", burst });
const nobody = deny(400, { reason: "say who you are in the field Gaia-Tenant" });
const refused = counter("refused");

export function onRequest(req) {
  if (req.tenant === "") return nobody;
  const answer = share.admit(req.tenant, { cost: price[req.body("model")] ?? 1 });
  if (!answer.ok) refused.add(1);
  return answer;
}
