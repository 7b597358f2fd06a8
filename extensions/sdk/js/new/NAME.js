// NAME: no host is asked more than ten times a second; callers wait up to two.
import { limiter } from "gaia";

export const options = { match: { subsystem: "api" } };

const perHost = limiter.tokenBucket("per-host", { rate: 10, burst: 20, maxWait: "2s" });

/** @type {import("gaia").OnRequest} */
export function onRequest(req) {
  return perHost.admit();
}

/** @type {import("gaia").OnResponse} */
export function onResponse(req, res) {
  perHost.learn(res);
}
