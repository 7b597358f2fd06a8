// What the host calls. It finds the hooks that policy.ts exports; do not change it.
import * as policy from "./policy";
import { area, refuse, Request, Response, Tick, Decision, MINOR, SCRATCH_SIZE, HOOK_REQUEST, HOOK_ROUTE, HOOK_RESPONSE, HOOK_DONE, HOOK_TICK } from "./gaia";

export function gaia_abi_1(): i32 { return MINOR; }

export function gaia_scratch(size: i32): usize { return size <= SCRATCH_SIZE ? area() : 0; }

export function gaia_configure(length: i32): i32 {
  if (isDefined(policy.setup)) {
    const why = policy.setup();
    if (why) return refuse(why!);
  }
  return 0;
}

export function gaia_hooks(): i32 {
  let hooks = 0;
  if (isDefined(policy.onRequest)) hooks |= 1 << HOOK_REQUEST;
  if (isDefined(policy.onRoute)) hooks |= 1 << HOOK_ROUTE;
  if (isDefined(policy.onResponse)) hooks |= 1 << HOOK_RESPONSE;
  if (isDefined(policy.onDone)) hooks |= 1 << HOOK_DONE;
  if (isDefined(policy.onTick)) hooks |= 1 << HOOK_TICK;
  return hooks;
}

export function gaia_on(hook: i32, length: i32): Decision {
  const req = changetype<Request>(area());
  if (isDefined(policy.onRequest)) if (hook == HOOK_REQUEST) return policy.onRequest(req);
  if (isDefined(policy.onRoute)) if (hook == HOOK_ROUTE) return policy.onRoute(req);
  if (isDefined(policy.onResponse)) if (hook == HOOK_RESPONSE) return policy.onResponse(req, changetype<Response>(area()));
  if (isDefined(policy.onDone)) if (hook == HOOK_DONE) policy.onDone(req, changetype<Response>(area()));
  if (isDefined(policy.onTick)) if (hook == HOOK_TICK) policy.onTick(changetype<Tick>(area()));
  return 0;
}
