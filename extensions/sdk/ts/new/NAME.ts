// NAME: no host is asked more than ten times a second; callers wait up to two.
import { limiter, type Options, type Request, type Response } from "gaia";

export const options: Options = { match: { subsystem: "api" } };

const perHost = limiter.tokenBucket("per-host", { rate: 10, burst: 20, maxWait: "2s" });

export function onRequest(req: Request) {
  return perHost.admit();
}

export function onResponse(req: Request, res: Response) {
  perHost.learn(res);
}
