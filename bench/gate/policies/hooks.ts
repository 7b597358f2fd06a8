// The twin of hooks.c without its host calls.
import { allow, delay, deny, hasPrefix, text, Decision, Request } from "./gaia";

const admin = text("/admin");

export function onRequest(req: Request): Decision {
  if (hasPrefix(req.path, admin)) return deny(403);
  if (req.attempt > 3) return deny(429, 1000);
  if (req.inFlight > 100 && req.priority < 5) return delay((req.inFlight - 100) as u32);
  return allow();
}
