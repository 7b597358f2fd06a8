// anthropic: the requests, input and output tokens a minute of each API key are kept on
// this side.
//
// What the answers say (Anthropic-RateLimit-*, Retry-After) is always obeyed. rpm, itpm
// and otpm, where given, pace on top: requests are spread over the minute instead of sent
// at once and then held. A request takes its max_tokens and a quarter of its bytes as an
// estimate, which the usage in the answer, or in the events of a stream, replaces.
//
// Several API keys are several upstreams of the route "anthropic", each with its own
// header "x-api-key". Each has its own limits, and a request goes where it waits least.
// Where another policy names the upstream, that one sees to the limits too.
//
// Parameters: rpm, itpm, otpm (of one key; none: only what the answers say), output (500:
// tokens of an answer whose request names no maximum), maxWait ("60s"), route
// ("anthropic").
//   gaia run std/anthropic --set policies.anthropic.params.rpm=50
import { llm, tokensIn } from "./lib/llm.js";

export const options = {
  match: { subsystem: "api" },
  body: ["max_tokens", "usage.input_tokens", "usage.output_tokens", "message.usage.input_tokens"],
  routes: { anthropic: { url: "https://api.anthropic.com" } },
};

const input = {
  name: "itpm",
  estimate: (req) => tokensIn(req),
  used: (res) => res.body("message.usage.input_tokens") ?? res.body("usage.input_tokens"), // a stream begins with the former
};
const output = { name: "otpm", estimate: (_, most) => most, used: (res) => res.body("usage.output_tokens") };

export const { onRequest, onRoute, onResponse, onDone } = llm({
  route: "anthropic",
  host: "api.anthropic.com",
  asked: (req) => req.body("max_tokens"),
  kinds: [input, output],
});
