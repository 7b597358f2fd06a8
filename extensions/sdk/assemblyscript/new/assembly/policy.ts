// NAME: no host is asked more than ten times a second; callers wait up to two.
import { tokenBucket, Request, Response, Decision, NONE } from "./gaia";

const perHost = tokenBucket("per-host", '{"rate": 10, "burst": 20, "maxWait": "2s"}');

export function onRequest(req: Request): Decision {
  return perHost.admit();
}

export function onResponse(req: Request, res: Response): Decision {
  perHost.learn();
  return NONE;
}
