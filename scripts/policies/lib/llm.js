// Requests and tokens a minute, as providers of language models count them.
import { limiter, retry } from "gaia";
import { perKey } from "./keys.js";
import { count, duration, positive, read, text } from "./params.js";

/**
 * The hooks of a provider. kinds are its quotas of tokens: {name: the parameter that
 * sets it, estimate(req, output): tokens before the answer, used(res): tokens by the
 * answer, undefined where it does not say}. asked(req) is the most that a request wants
 * for its answer, as text, or undefined.
 */
export function llm({ route, host, asked, kinds }) {
  const rates = Object.fromEntries(kinds.map(({ name }) => [name, positive()]));
  const p = read({ rpm: positive(), ...rates, output: count(500), maxWait: duration("60s"), route: text(route) });
  const { maxWait } = p;
  const bucket = (name, rate, burst) => limiter.tokenBucket(name, { rate, per: "1m", burst: Math.max(1, Math.ceil(burst)), maxWait });

  // What the answers say is obeyed in any case. A rate of one's own is spread: a burst
  // is half a second's requests, so that what an upstream told in whole seconds wastes
  // little and bears the burst, and ten seconds' tokens, as one request may be large.
  const told = [limiter.upstream("requests", { maxWait }), limiter.upstream("tokens", { maxWait, unit: "tokens" })];
  const requests = p.rpm ? [bucket("rpm", p.rpm, p.rpm / 120)] : [];
  const tokens = kinds
    .filter(({ name }) => p[name])
    .map((kind) => ({ ...kind, most: Math.ceil(p[kind.name] / 6), bucket: bucket(kind.name, p[kind.name], p[kind.name] / 6) }));
  const answers = limiter.all(...told);
  const limits = limiter.all(...told, ...requests, ...tokens.map((t) => t.bucket));

  const cost = (req) => {
    const output = whole(asked(req)) ?? p.output;
    const of = (kind) => (charged(req) ? Math.max(1, whole(kind.estimate(req, output))) : 0);
    return [1, kinds.reduce((sum, kind) => sum + of(kind), 0), ...requests.map(() => 1), ...tokens.map((t) => Math.min(of(t), t.most))];
  };
  const { keyOf, onRequest, onRoute } = perKey({ route: p.route, host, limitsOf: () => limits, cost });
  return {
    onRequest,
    onRoute,
    onResponse(req, res) {
      const key = keyOf(req, res);
      if (key === undefined) return;
      answers.learn(res, key);
      if (res.status === 429) return retry(); // when, and with which key, the limits say
    },
    onDone(req, res) {
      const key = keyOf(req, res);
      if (key === undefined || !charged(req)) return;
      for (const t of tokens) {
        const used = whole(t.used(res));
        if (used !== undefined) t.bucket.settle(key, used);
      }
    },
  };
}

/** Lists of models and files, and looks at earlier answers, cost no tokens. */
const charged = (req) => req.method === "POST";

/** A count that somebody else names, within bounds; undefined where it is none. */
function whole(v) {
  const n = Number(v);
  return v === undefined || v === "" || !(n >= 0) ? undefined : Math.ceil(Math.min(n, 1e9));
}

/** Tokens that the body of a request is likely to hold. */
export const tokensIn = (req) => Math.ceil((req.size ?? 0) / 4);
