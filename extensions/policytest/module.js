// What a test imports from "gaia/test". The host counts the checks and keeps the failures.
const host = __gaia("host");

const spelled = { inFlight: "in_flight", errorRate: "error_rate", retryAfter: "retry_after" };
const known = (o) => Object.fromEntries(Object.keys(o).map((k) => [spelled[k] ?? k, o[k]]));
const request = (r = {}) => {
  const out = known(r);
  if (out.stats) out.stats = known(out.stats);
  return out;
};
const upstream = (u) => (typeof u === "object" && u !== null ? known(u) : u);

export function test(name, run) { host("func", name, run); }
test.skip = (name) => { host("skip", name); };

export const advance = (time) => host("advance", { by: time });
export const now = () => host("now");

const answer = (a) => ({
  action: a.action, ok: a.action !== "deny", asked: !a.unasked, wait: a.wait ?? 0, status: a.status, reason: a.reason, retryAfter: a.retry_after,
  key: a.key, upstream: a.upstream, timeout: a.timeout, cost: a.cost, priority: a.priority, headers: a.headers, limit: a.limit,
  ledger: (a.explain?.ledger ?? []).map((e) => ({
    name: e.limiter, key: e.key, cost: e.cost, ok: e.ok, wait: e.wait_ms, limit: e.limit, remaining: e.remaining, reset: e.reset_ms,
  })),
});

export function policy(file, options = {}) {
  if (typeof file === "object" && file !== null) [file, options] = [undefined, file];
  const id = host("open", { ...options, file });
  const ask = (hook, input) => answer(host("hook", { policy: id, hook, input }));
  return Object.freeze({
    onRequest: (req) => ask("onRequest", { request: request(req) }),
    onRoute: (req, upstreams = []) => ask("onRoute", { request: request(req), upstreams: upstreams.map(upstream) }),
    onResponse: (req, res = {}) => ask("onResponse", { request: request(req), response: known(res) }),
    onDone: (req, res = {}) => { ask("onDone", { request: request(req), response: known(res) }); },
    onTick: () => { ask("onTick", {}); },
    level: (limiter, key = "", cost = 1) => host("level", { policy: id, limiter, key, cost }),
    state: (key) => host("state", { policy: id, key }),
    value: (name) => host("value", { policy: id, name }),
  });
}

const ended = (a) => ({
  ...answer(a), error: a.error, took: a.took, attempts: a.attempts, upstreams: a.upstreams ?? [], by: a.by, policy: a.policy, faults: a.explain?.faults ?? [],
});

export function gaia(config, options = {}) {
  const id = host("gaia", { ...options, config });
  return Object.freeze({
    send: ({ route, ...req } = {}, answers = []) => {
      const call = host("send", { gaia: id, input: { route, request: request(req), answers: [answers].flat().map(known) } });
      return Object.freeze({
        end: () => ended(host("end", { gaia: id, call })),
        ended: () => {
          const e = host("ended", { gaia: id, call });
          return e && ended(e);
        },
      });
    },
    level: (limiter, key = "", cost = 1) => host("levelOf", { gaia: id, limiter, key, cost }),
    state: (policy, key) => host("stateOf", { gaia: id, name: policy, key }),
  });
}

const show = (v) => {
  if (typeof v === "function") return "a function";
  if (v instanceof RegExp || v instanceof Error || v === undefined || Object.is(v, -0) || typeof v === "number") return String(v);
  return JSON.stringify(v);
};
const isObject = (v) => typeof v === "object" && v !== null;
const equal = (a, b) => {
  if (!isObject(a) || !isObject(b)) return Object.is(a, b);
  const keys = (o) => Object.keys(o).filter((k) => o[k] !== undefined);
  return Array.isArray(a) === Array.isArray(b) && keys(a).length === keys(b).length && keys(a).every((k) => equal(a[k], b[k]));
};
const matches = (got, want) => {
  if (want instanceof RegExp) return typeof got === "string" && want.test(got);
  if (!isObject(got) || !isObject(want)) return Object.is(got, want);
  if (Array.isArray(want) && (!Array.isArray(got) || got.length !== want.length)) return false;
  return Object.keys(want).every((k) => matches(got[k], want[k]));
};
const isDecision = (v) => isObject(v) && typeof v.action === "string" && Array.isArray(v.ledger);
const goes = (d) => d.action === "none" || d.action === "allow" || d.action === "delay" || d.action === "route";
const ms = (time) => (typeof time === "number" ? time : host("duration", time));

export function expect(got) {
  const make = (not) => {
    const check = (ok, want, text = show(got)) => {
      host("check", { ok: ok !== not, want: (not ? "not " : "") + want, got: text, decision: isDecision(got) ? got : undefined });
    };
    const decides = (want, ok) => {
      if (!isDecision(got)) throw new TypeError(`expect(...): want a decision of a hook, got ${show(got)}`);
      check(ok(got), want, said(got));
    };
    return {
      toBe: (want) => check(Object.is(got, want), show(want)),
      toEqual: (want) => check(equal(got, want), show(want)),
      toMatch: (want) => check(typeof want === "string" ? String(got).includes(want) : matches(got, want), "a match of " + show(want)),
      toBeGreaterThan: (n) => check(got > n, "more than " + show(n)),
      toBeLessThan: (n) => check(got < n, "less than " + show(n)),
      toThrow: (pattern) => {
        let text;
        try { got(); } catch (e) { text = String(e?.message ?? e); }
        const ok = text !== undefined && (pattern === undefined || (pattern instanceof RegExp ? pattern.test(text) : text.includes(pattern)));
        check(ok, "an error" + (pattern === undefined ? "" : " with " + show(pattern)), text === undefined ? "no error" : "an error: " + text);
      },
      toAllow: () => decides("go at once", (d) => goes(d) && d.wait === 0),
      toWait: (time) => decides("go after " + (time === undefined ? "a wait" : ms(time) + " ms"),
        (d) => goes(d) && d.wait > 0 && (time === undefined || Math.abs(d.wait - ms(time)) < 1)),
      toDeny: (status) => decides("deny" + (status === undefined ? "" : " " + status), (d) => d.action === "deny" && (status === undefined || d.status === status)),
      toRoute: (name) => decides("upstream " + show(name), (d) => d.action !== "deny" && d.upstream === name),
      toRetry: (time) => decides("retry" + (time === undefined ? "" : ` after ${ms(time)} ms`),
        (d) => d.action === "retry" && (time === undefined || Math.abs(d.wait - ms(time)) < 1)),
    };
  };
  return { ...make(false), not: make(true) };
}

const said = (d) => {
  let text = d.action;
  if (d.action === "deny") text += ` ${d.status}` + (d.retryAfter ? `, come back in ${d.retryAfter} ms` : "");
  else if (d.wait > 0) text += `, go after ${d.wait} ms`;
  if (d.upstream) text += `, upstream ${show(d.upstream)}`;
  return text + (d.reason ? `: ${d.reason}` : "");
};
