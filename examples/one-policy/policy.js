// One policy for all five kinds of work: each is paced, and load moves between them. While the disk of the root "scratch" is
// over its quota no page is opened, and while browsers are busy processes start slowly. policy.c beside it does the same.
import { deny, limiter, metrics } from "gaia";

const pace = {
  api: limiter.tokenBucket("api", { rate: 200, burst: 400, maxWait: "10s" }),
  files: limiter.tokenBucket("files", { rate: 400, burst: 400, maxWait: "10s" }),
  browser: limiter.tokenBucket("browser", { rate: 20, burst: 40, maxWait: "10s" }),
  process: limiter.tokenBucket("process", { rate: 20, burst: 50, maxWait: "10s" }),
  network: limiter.tokenBucket("network", { rate: 200, burst: 400, maxWait: "10s" }),
};
const slowly = limiter.tokenBucket("slowly", { rate: 5, burst: 1, maxWait: "10s" });
const diskFull = deny(503, { reason: "the scratch disk is over its quota", retryAfter: "5s" });

export function onRequest(req) {
  if (req.subsystem === "browser" && metrics("files").root_scratch_quota_left_bytes === 0) return diskFull;
  if (req.subsystem === "process" && metrics("browser").in_flight > 2) return slowly.admit("all");
  return pace[req.subsystem].admit();
}
