// Paces each host of the API subsystem: 10 requests a second, 20 at once, and at most 2 s of waiting. It learns from what the
// host answers. policy.c beside it does exactly the same.
import { limiter } from "gaia";

export const options = { match: { subsystem: "api" } };

const perHost = limiter.tokenBucket("per-host", { rate: 10, burst: 20, maxWait: "2s" });

export function onRequest(req) { return perHost.admit(); }

export function onResponse(req, res) { perHost.learn(res); }
