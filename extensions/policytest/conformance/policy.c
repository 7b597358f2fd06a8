/* The policy that every engine is held to; policytest.Reference says the same in Go, and policy.js in JavaScript. */
#include "gaia.h"

GAIA_MANIFEST({"name": "conform", "options": {"match": {"subsystem": "api"}, "budget": "5s"}})

static gaia_limiter bucket, slots, line, urgent, learned;
static gaia_metric seen, level;
static char buf[512];

int32_t gaia_setup(void) {
  bucket = gaia_token_bucket("bucket", "{\"rate\": 5, \"per\": \"1s\", \"burst\": 10, \"maxWait\": \"1500ms\"}");
  slots = gaia_concurrency("slots", "{\"max\": 3}");
  line = gaia_concurrency("line", "{\"max\": 2, \"maxQueue\": 4, \"maxWait\": \"1m\"}");
  urgent = gaia_concurrency("urgent", "{\"max\": 1, \"maxQueue\": 3, \"maxWait\": \"1m\", \"order\": \"priority\"}");
  learned = gaia_upstream_limiter("learned", "{\"maxWait\": \"2s\"}");
  seen = gaia_counter("seen_total");
  level = gaia_gauge("level");
  return 0;
}

static gaia_decision number(int64_t n) { return gaia_with_cost(gaia_allow(), n); }

static gaia_decision told(int32_t n) { return n < 0 ? number(99) : gaia_with_reason(gaia_allow(), (gaia_text){buf, n}); }

/* Two texts in one; the place is good for the hook. */
static char joined[3][128];
static gaia_text join(int at, gaia_text a, gaia_text b) {
  int32_t n = 0;
  for (int32_t i = 0; i < a.len && n < 128; i++) joined[at][n++] = a.ptr[i];
  for (int32_t i = 0; i < b.len && n < 128; i++) joined[at][n++] = b.ptr[i];
  return (gaia_text){joined[at], n};
}

static int64_t ms(uint32_t n) { return (int64_t)n * 1000000; }

static gaia_decision limits(const gaia_frame *req, gaia_text op, gaia_text arg) {
  gaia_text key = gaia_get(req->key);
  if (gaia_equal(op, "admit")) return gaia_admit(bucket);
  if (gaia_equal(op, "admitKey")) return gaia_admit_key(bucket, arg, req->attempt);
  if (gaia_equal(op, "admitNow")) return (gaia_decision)gaia_host_limiter_admit(bucket, arg.ptr, arg.len, -1, 0);
  if (gaia_equal(op, "admitSlots")) return gaia_admit(slots);
  if (gaia_equal(op, "admitLearned")) return gaia_admit(learned);
  if (gaia_equal(op, "admitLine")) return gaia_admit_key(line, arg, 1);
  if (gaia_equal(op, "admitUrgent")) return (gaia_decision)gaia_host_limiter_admit(urgent, "all", 3, 1, ms(req->attempt * 30000));
  if (gaia_equal(op, "take")) return number(gaia_take(bucket));
  if (gaia_equal(op, "takeKey")) return number(gaia_take_key(bucket, arg, req->attempt));
  if (gaia_equal(op, "peek")) {
    gaia_peek p;
    int ok = gaia_host_limiter_peek(bucket, arg.ptr, arg.len, 1, &p) == 1;
    return number((int64_t)p.remaining * 2 + ok);
  }
  if (gaia_equal(op, "pause")) gaia_pause(bucket, arg, req->attempt * 100);
  if (gaia_equal(op, "settle") && gaia_take_key(bucket, key, 2)) gaia_settle(bucket, req->attempt);
  if (gaia_equal(op, "set")) {
    char burst[] = "{\"burst\": 5}";
    burst[10] = (char)('5' + req->attempt);
    gaia_host_limiter_set(bucket, burst, gaia_strlen(burst));
  }
  return GAIA_NONE;
}

static gaia_decision states(const gaia_frame *req, gaia_text op, gaia_text arg) {
  gaia_text n = join(0, gaia_str("n"), arg), t = join(1, gaia_str("t"), arg), tenant = gaia_get(req->tenant);
  double cost = (double)req->cost, attempt = req->attempt;
  gaia_value v = {0, 0, 0};
  if (gaia_equal(op, "setNumber")) gaia_host_state_set(n.ptr, n.len, GAIA_VALUE_NUMBER, cost, 0, 0, ms(req->attempt * 1000));
  if (gaia_equal(op, "setText")) gaia_host_state_set(t.ptr, t.len, GAIA_VALUE_TEXT, 0, tenant.ptr, tenant.len, 0);
  if (gaia_equal(op, "getNumber")) return gaia_host_state_get(n.ptr, n.len, &v, 0, 0) == GAIA_VALUE_NUMBER ? number((int64_t)v.number) : GAIA_NONE;
  if (gaia_equal(op, "getText")) return told(gaia_host_state_get(t.ptr, t.len, &v, buf, sizeof buf) == GAIA_VALUE_TEXT ? (int32_t)v.length : -1);
  if (gaia_equal(op, "remove")) return number(gaia_host_state_delete(n.ptr, n.len));
  if (gaia_equal(op, "incr")) return number((int64_t)gaia_state_incr(n, attempt, 0));
  if (gaia_equal(op, "swap"))
    return number(gaia_host_state_compare_and_set(n.ptr, n.len, GAIA_VALUE_NUMBER, cost, 0, 0, GAIA_VALUE_NUMBER, attempt, 0, 0, 0));
  if (gaia_equal(op, "absent")) return number(gaia_host_state_set_if_absent(n.ptr, n.len, GAIA_VALUE_NUMBER, attempt, 0, 0, 0));
  return GAIA_NONE;
}

static gaia_decision others(const gaia_frame *req, gaia_text op, gaia_text arg) {
  static const char one[] = "one", two[] = "two", three[] = "three";
  gaia_span list[3] = {{(uint32_t)one, 3}, {(uint32_t)two, 3}, {(uint32_t)three, 5}};
  if (gaia_equal(op, "count")) gaia_add(seen, req->attempt);
  if (gaia_equal(op, "gauge")) gaia_set(level, (double)req->cost);
  if (gaia_equal(op, "metrics")) return number((int64_t)gaia_host_metric_get(0, "in_flight", 9));
  if (gaia_equal(op, "hash")) return number(gaia_host_hash(arg.ptr, arg.len) % 1000003);
  if (gaia_equal(op, "pick")) {
    static const char *const names[] = {one, two, three};
    return gaia_with_key(gaia_allow(), gaia_str(names[gaia_host_pick(arg.ptr, arg.len, list, 3)]));
  }
  if (gaia_equal(op, "params")) return told(gaia_host_param(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "env")) return told(gaia_host_env(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "log")) gaia_log(GAIA_LEVEL_WARN, "written by the guest");
  if (gaia_equal(op, "header")) return told(gaia_host_request_header(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "body")) return told(gaia_host_request_body(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "url")) return told(gaia_host_request_text(GAIA_TEXT_URL, buf, sizeof buf));
  if (gaia_equal(op, "views")) {
    gaia_text key = join(1, join(0, gaia_get(req->key), gaia_get(req->host)), gaia_get(req->path));
    gaia_decision d = number(req->in_flight + req->queued * 10 + req->p95 / 1000000 + req->size);
    return gaia_with_priority(gaia_with_key(d, key), req->priority);
  }
  if (gaia_equal(op, "fail")) gaia_host_fail("cannot go on", 12);
  return GAIA_NONE;
}

static gaia_decision decides(const gaia_frame *req, gaia_text op, gaia_text arg) {
  uint32_t attempt = req->attempt;
  if (gaia_equal(op, "deny")) return gaia_deny(400 + attempt, (uint32_t)req->cost * 10);
  if (gaia_equal(op, "denyWhy")) return gaia_with_reason(gaia_deny(503, 1000), join(0, gaia_str("said "), arg));
  if (gaia_equal(op, "deny429")) return gaia_deny(0, 0);
  if (gaia_equal(op, "delay")) return gaia_delay(attempt * 7);
  if (gaia_equal(op, "route")) return gaia_route(join(0, gaia_str("to-"), arg));
  if (gaia_equal(op, "all")) {
    gaia_decision d = gaia_with_key(gaia_route(join(0, gaia_str("u-"), arg)), join(1, gaia_str("k-"), arg));
    d = gaia_with_priority(gaia_with_cost(gaia_with_timeout(d, 2500), req->cost), (int32_t)attempt);
    d = gaia_with_reason(d, gaia_str("because"));
    return gaia_with_header(gaia_with_header(d, gaia_str("x-a"), arg), gaia_str("x-b"), gaia_str(""));
  }
  return GAIA_NONE;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  static char argbuf[64];
  gaia_text op = gaia_get(req->method), arg = gaia_header("arg", argbuf, sizeof argbuf);
  if (arg.len < 0) arg = gaia_str("");
  gaia_decision d = limits(req, op, arg);
  if (!d) d = states(req, op, arg);
  if (!d) d = others(req, op, arg);
  if (!d) d = decides(req, op, arg);
  return d;
}

gaia_decision gaia_on_route(const gaia_frame *req) {
  const gaia_upstream *u = gaia_upstreams(req);
  for (uint32_t i = 0; i < req->upstream_count; i++)
    if (u[i].healthy && u[i].remaining > 0 && u[i].in_flight < 3) return gaia_route_index(i);
  return GAIA_NONE;
}

gaia_decision gaia_on_response(const gaia_frame *req) {
  gaia_learn(learned);
  if (req->status == 503 && req->attempt < 3) return gaia_retry(req->retry_after ? (uint32_t)(req->retry_after / 1000000) : 250);
  if (gaia_equal(gaia_response_header("x-try", buf, sizeof buf), "again")) return gaia_with_upstream(gaia_retry(0), gaia_str("spare"));
  return GAIA_NONE;
}

void gaia_on_done(const gaia_frame *req) {
  if (req->bytes > 0) gaia_add(seen, (double)req->bytes);
  int32_t n = gaia_host_response_body("tokens", 6, buf, sizeof buf);
  if (n == 1 && buf[0] == '7') gaia_add(seen, 1);
}

void gaia_on_tick(const gaia_frame *tick) { gaia_set(level, (double)(tick->now / 1000000000 % 1000)); }
