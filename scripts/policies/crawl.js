// crawl: each site is asked at its own pace.
//
// Between two requests to a host, or route, lies its delay: that of "delays", which is
// where the Crawl-delay of a robots.txt belongs, else "delay". 429 and 503 with
// Retry-After close the site until then; without it the site is left alone for longer
// and longer. To have one request under way for each site, set
// limits.api.per_key.concurrency: 1; that one queues.
//
// A crawler that uses gaia as its proxy is paced for http://; a tunnel for https:// is
// paced as a whole, so give the sites routes.
//
// Parameters: delay ("1s"), delays: {HOST: time}, maxWait ("60s"): a request that would
// wait longer gets a 429.
//   gaia run std/crawl --set policies.crawl.params.delay=2s
import { hash, limiter } from "gaia";
import { duration, durations, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { delay, delays, maxWait } = read({ delay: duration("1s", 1), delays: durations(), maxWait: duration("60s") });

const told = limiter.upstream("told", { maxWait });
const pace = (name, per) => limiter.all(told, limiter.tokenBucket(name, { rate: 1, per, burst: 1, maxWait }));
const usual = pace("delay", delay);
const special = new Map(Object.entries(delays).map(([host, per]) => [host.toLowerCase(), pace(`delay-${hash(host.toLowerCase())}`, per)]));

export function onRequest(req) {
  return (special.get(req.key) ?? special.get(req.host) ?? usual).admit(req.key, { cost: 1 });
}

export function onResponse(req, res) {
  told.learn(res);
}
