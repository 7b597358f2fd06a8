// Writes wait for reads: POST and PUT get a smaller share of the API than GET.
import { limiter, type Options, type Request, type Response } from "gaia";
import { isWrite } from "./methods";

export const options: Options = { match: { subsystem: "api" }, budget: "5ms", onFailure: "open" };

const reads = limiter.tokenBucket("reads", { rate: 50, maxWait: "1s" });
const writes = limiter.tokenBucket("writes", { rate: 5, maxWait: "10s" });

const share = (req: Request) => (isWrite(req.method) ? writes : reads);

export function onRequest(req: Request) {
  return share(req).admit();
}

export function onResponse(req: Request, res: Response) {
  share(req).learn(res);
}
