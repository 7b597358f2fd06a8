import { advance, expect, gaia, now, policy, test, type RequestInit } from "gaia/test";

test("all words", () => {
  const p = policy("./policy.js", { params: { rpm: 60 }, env: { TOKEN: "t" } });
  const req: RequestInit = { host: "a", tenant: "red", headers: { "x-a": "1" }, body: { n: 1 }, stats: { inFlight: 3 } };
  expect(p.onRequest(req)).toAllow();
  expect(p.onRequest(req)).not.toDeny(429);
  expect(p.onRoute(req, ["a", { name: "b", healthy: false }])).toRoute("a");
  expect(p.onResponse(req, { status: 429, retryAfter: "2s" })).toRetry("2s");
  p.onDone(req);
  p.onTick();
  expect(p.level("share", "red").remaining).toBeLessThan(3);
  expect(p.state("x")).toEqual({ a: [1] });
  expect(p.value("refused") ?? 0).toBe(0);
  expect(advance("1s") - now()).toBe(0);
  expect(() => policy()).toThrow(/which policy/);
  expect(p.onRequest().ledger).toMatch([{ ok: true }]);
});
test.skip("later");

test("through all of gaia", () => {
  const g = gaia({ policies: { p: { use: "p.js" } } }, { env: { REGION: "eu" } });
  const e = g.send({ host: "a", route: "r" }, [{ status: 429, retryAfter: "1s" }, {}]).end();
  expect(e).toWait("1s");
  expect(e.attempts + e.upstreams.length + g.level("p/l", "a").remaining).toBe(2);
  expect(gaia().send().ended()?.by).toBe(undefined);
  expect(g.state("p", "n")).toEqual(e.faults);
});
