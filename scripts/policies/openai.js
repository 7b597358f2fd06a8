// openai: the requests and tokens a minute of each API key are kept on this side.
//
// What the answers say (X-RateLimit-*, Retry-After) is always obeyed. rpm and tpm, where
// given, pace on top: requests are spread over the minute instead of sent at once and
// then held. A request takes its max_tokens and a quarter of its bytes as an estimate,
// which usage.total_tokens of the answer replaces. A stream says that only where the
// request has stream_options.include_usage; else the estimate stands.
//
// Several API keys are several upstreams of the route "openai", each with its own header
// "authorization". Each has its own limits, and a request goes where it waits least.
// Where another policy names the upstream, that one sees to the limits too.
//
// Parameters: rpm, tpm (of one key; none: only what the answers say), output (500: tokens
// of an answer whose request names no maximum), maxWait ("60s"), route ("openai").
//   gaia run std/openai --set policies.openai.params.rpm=500
import { llm, tokensIn } from "./lib/llm.js";

export const options = {
  match: { subsystem: "api" },
  body: [
    "max_tokens", "max_completion_tokens", "max_output_tokens", // of chat completions and of responses
    "usage.total_tokens", "response.usage.total_tokens", // the latter in the last event of a stream
  ],
  routes: { openai: { url: "https://api.openai.com" } },
};

const total = {
  name: "tpm",
  estimate: (req, output) => tokensIn(req) + output,
  used: (res) => res.body("usage.total_tokens") ?? res.body("response.usage.total_tokens"),
};

export const { onRequest, onRoute, onResponse, onDone } = llm({
  route: "openai",
  host: "api.openai.com",
  asked: (req) => req.body("max_completion_tokens") ?? req.body("max_tokens") ?? req.body("max_output_tokens"),
  kinds: [total],
});
