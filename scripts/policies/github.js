// github: the primary and the secondary limits of each token are kept.
//
// Primary: X-RateLimit-* and Retry-After are obeyed, for each resource (core, search,
// graphql). Secondary: points a minute, of which a read takes 1 and a write 5, and writes
// a minute. A 403 that says that no quota is left, or when to come back, is waited out
// and tried again, as a 429 is; a caller that would wait longer than maxWait gets a 429.
// The bound on requests at once is limits.api.per_upstream.concurrency: that one queues.
//
// Several tokens are several upstreams of the route "github", each with its own header
// "authorization". Each has its own limits, and a request goes where it waits least.
// Where another policy names the upstream, that one sees to the limits too.
//
// Parameters: points (900), writes (80), maxWait ("60s"), route ("github").
//   gaia run std/github --set policies.github.params.points=600
import { limiter, retry } from "gaia";
import { perKey } from "./lib/keys.js";
import { count, duration, read, text } from "./lib/params.js";

export const options = {
  match: { subsystem: "api" },
  routes: { github: { url: "https://api.github.com" } },
};

const { points, writes, maxWait, route } = read({ points: count(900), writes: count(80), maxWait: duration("60s"), route: text("github") });

const minute = (name, rate) => limiter.tokenBucket(name, { rate, per: "1m", burst: Math.max(Math.ceil(rate / 6), 5), maxWait });
const secondary = [minute("points", points), minute("writes", writes)];
const resource = (name) => {
  const primary = limiter.upstream(name, { maxWait });
  return { primary, limits: limiter.all(primary, ...secondary) };
};
const resources = { core: resource("core"), search: resource("search"), graphql: resource("graphql") };

/** The resource that a request counts on; of an answer, which says so. */
function resourceOf(req, res) {
  const { path } = req;
  const named = res?.header("x-ratelimit-resource");
  if (named !== undefined && Object.hasOwn(resources, named)) return resources[named];
  if (path.startsWith("/search/") || path.startsWith("/api/v3/search/")) return resources.search;
  return path.endsWith("/graphql") ? resources.graphql : resources.core;
}

const reads = ["GET", "HEAD", "OPTIONS"];

const { keyOf, ...admitting } = perKey({
  route,
  host: "api.github.com",
  limitsOf: (req) => resourceOf(req).limits,
  cost: (req) => (reads.includes(req.method) || req.path.endsWith("/graphql") ? [1, 1, 0] : [1, 5, 1]),
});

export const { onRequest, onRoute } = admitting;

export function onResponse(req, res) {
  const key = keyOf(req, res);
  if (key === undefined) return;
  resourceOf(req, res).primary.learn(res, key);
  if (res.status !== 403 && res.status !== 429) return;
  if (res.retryAfter > 0) {
    // A secondary limit: it is the token's, whatever it asks for.
    for (const { primary } of Object.values(resources)) primary.pause(key, res.retryAfter);
  } else if (res.header("x-ratelimit-remaining") !== "0") {
    return; // a 403 that is about permissions
  }
  return retry();
}
