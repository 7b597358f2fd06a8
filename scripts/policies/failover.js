// failover: when the first upstream fails, use the next for a while.
//
// Upstreams are taken in the order of their names, or of the parameter "order". One
// that answers 5xx, or not at all, is left alone for "rest"; when all rest, the one
// that has rested longest is tried.
//
// Parameters: order (list of upstream names), rest ("10s").
//   gaia run std/failover -c gaia.yaml     (a route with several upstreams)
import { retry, state } from "gaia";
import { duration, read, texts } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { order, rest } = read({ order: texts([]), rest: duration("10s", 1) });

const failedAt = (req, name) => state.get(`${req.key}/${name}`) ?? 0;

export function onRoute(req, upstreams) {
  let best, at;
  for (const name of order.length > 0 ? order : upstreams.map((u) => u.name).sort()) {
    if (!upstreams.some((u) => u.name === name)) continue;
    const failed = failedAt(req, name);
    if (failed === 0) return name;
    if (best === undefined || failed < at) [best, at] = [name, failed];
  }
  return best;
}

export function onResponse(req, res) {
  if (res.status >= 500) return retry();
}

export function onDone(req, res) {
  const failed = res.status >= 500 || (res.error !== undefined && res.error !== "canceled" && res.error !== "denied");
  if (failed && res.upstream) state.set(`${req.key}/${res.upstream}`, req.now, { ttl: rest });
}
