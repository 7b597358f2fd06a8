import { limiter, type Policy } from "gaia";

const l = limiter.upstream("l", { maxWait: "60s" });

export default {
  options: { match: { subsystem: "api" } },
  onRequest() {
    return l.admit({ maxWait: 5 });
  },
  onResponse(_req, res) {
    l.learn(res);
  },
} satisfies Policy;
