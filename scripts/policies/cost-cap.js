// cost-cap: no more is spent in a day, a week or a month than the budget.
//
// A request takes an estimate: its share of "request", a quarter of its bytes as tokens
// at the price "input", and its max_tokens at the price "output". What the answer says in
// "usage" replaces it; an answer that is an error costs nothing but "request". What is
// spent is kept over restarts where gaia has a state_file. Beyond the budget callers get
// a 429 that says when the next day begins.
//
// Parameters: budget (10), every ("day": "hour", "day", "week" or "month"), zone ("UTC"),
// request (0: the price of a request), input (3) and output (15): prices of a million
// tokens, answer (1000: tokens of an answer whose request names no maximum), each
// ("all", or "tenant" or "route": who has a budget of its own). Prices and budget are in
// one currency, whichever.
//   gaia run std/cost-cap std/openai --set policies.cost-cap.params.budget=25
import { gauge, limiter } from "gaia";
import { amount, count, oneOf, read, text } from "./lib/params.js";

export const options = {
  match: { subsystem: "api" },
  body: [
    "max_tokens", "max_completion_tokens", "max_output_tokens",
    "usage.prompt_tokens", "usage.completion_tokens", "usage.input_tokens", "usage.output_tokens",
    "message.usage.input_tokens", "response.usage.input_tokens", "response.usage.output_tokens", // in the events of streams
  ],
};

const p = read({
  budget: amount(10, 1e-6), every: oneOf("day", "hour", "week", "month"), zone: text("UTC"),
  request: amount(0), input: amount(3), output: amount(15), answer: count(1000), each: oneOf("all", "tenant", "route"),
});

// The limiter counts millionths of the currency.
const micro = (price) => Math.min(Math.ceil(price * 1e6), 2 ** 40);
const budget = limiter.calendar("budget", { max: micro(p.budget), every: p.every, zone: p.zone });
const left = p.each === "all" ? gauge("budget_left") : undefined;

const keyOf = { all: () => "all", tenant: (req) => req.tenant, route: (req) => req.key }[p.each];
const price = (input, output) => Math.max(1, micro(p.request + (input * p.input + output * p.output) / 1e6)); // 1: something to settle

/** The first of these that is a number, as somebody else named it. */
function first(body, ...names) {
  for (const name of names) {
    const n = Number(body.body(name) ?? NaN);
    if (n >= 0 && n < 1e9) return n;
  }
}

export function onRequest(req) {
  const output = req.method === "POST" ? first(req, "max_completion_tokens", "max_tokens", "max_output_tokens") ?? p.answer : 0;
  const decision = budget.admit(keyOf(req), { cost: price((req.size ?? 0) / 4, output) });
  left?.set(decision.remaining / 1e6);
  return decision;
}

export function onDone(req, res) {
  const input = first(res, "message.usage.input_tokens", "usage.prompt_tokens", "usage.input_tokens", "response.usage.input_tokens");
  const output = first(res, "usage.completion_tokens", "usage.output_tokens", "response.usage.output_tokens");
  if (res.status >= 400) budget.settle(keyOf(req), price(0, 0));
  else if (input !== undefined || output !== undefined) budget.settle(keyOf(req), price(input ?? 0, output ?? 0));
}
