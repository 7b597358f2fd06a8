import { advance, expect, policy, test } from "gaia/test";

const params = { rpm: 60, burst: 10, price: { "/v1/batch": 5 } };
const from = (tenant, path = "/v1/chat") => ({ host: "api.example.com", method: "POST", tenant, path });

test("a request without a tenant is refused", () => {
  const refused = policy({ params }).onRequest(from(""));
  expect(refused).toDeny(400);
  expect(refused.reason).toMatch("Gaia-Tenant");
});

test("what costs more takes more", () => {
  const p = policy({ params });
  expect(p.onRequest(from("red", "/v1/batch/7"))).toAllow();
  expect(p.level("share", "red").remaining).toBe(5);
  expect(p.onRequest(from("red", "/v1/batch/7"))).toAllow();
  expect(p.onRequest(from("red"))).toDeny(429);
  expect(p.value("refused")).toBe(1);
});

test("tenants do not share, and a second brings one unit back", () => {
  const p = policy({ params });
  for (let i = 0; i < 10; i++) p.onRequest(from("red"));
  expect(p.onRequest(from("red"))).toDeny(429);
  expect(p.onRequest(from("blue"))).toAllow();
  advance("1s");
  expect(p.onRequest(from("red"))).toAllow();
});
