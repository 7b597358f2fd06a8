import type { Request } from "gaia";
export function onRequest(req: Request) {
  req.key = "x"; // error
}
