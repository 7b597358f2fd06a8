/* Calls every function of the host once, chosen by the request's path, and answers with what came back: a number as the cost,
 * a text as the reason. The header "arg" brings a text. */
#include "gaia.h"

GAIA_MANIFEST({
  "name": "words", "version": "2.1", "unknown": [1, 2],
  "reasons": ["too fast", "too large"],
  "options": {"match": {"subsystem": "api", "path": "/*"}, "budget": "20ms", "body": ["model"]}
})

static gaia_limiter bucket, slots, learned, kinds[8], both;
static gaia_metric seen, level;
static char buf[256];
static double ticks;

int32_t gaia_setup(void) {
  bucket = gaia_token_bucket("bucket", "{\"rate\": 1, \"burst\": 3, \"maxWait\": 1500}");
  slots = gaia_concurrency("slots", "{\"max\": 2}");
  learned = gaia_upstream_limiter("learned", "{}");
  kinds[0] = gaia_fixed_window("fixed", "{\"max\": 2, \"per\": \"1h\"}");
  kinds[1] = gaia_sliding_window("sliding", "{\"max\": 2, \"per\": \"1h\"}");
  kinds[2] = gaia_sliding_log("log", "{\"max\": 2, \"per\": \"1h\"}");
  kinds[3] = gaia_adaptive("adaptive", "{\"max\": 2, \"algorithm\": \"aimd\"}");
  kinds[4] = gaia_calendar("calendar", "{\"max\": 2, \"every\": \"month\", \"zone\": \"Europe/Berlin\"}");
  kinds[5] = gaia_fair("fair", "{\"rate\": 2, \"per\": \"1h\", \"weights\": {\"gold\": 3}}");
  kinds[6] = gaia_throttle("throttle", "{\"ratio\": 2, \"min\": 100}");
  kinds[7] = gaia_retry_budget("budget", "{\"ratio\": 0.5, \"per\": \"10s\"}");
  gaia_limiter parts[2] = {gaia_token_bucket("rpm", "{\"rate\": 9, \"per\": \"1h\"}"), gaia_token_bucket("tpm", "{\"rate\": 100, \"per\": \"1h\", \"unit\": \"tokens\"}")};
  both = gaia_all(parts, 2);
  seen = gaia_counter("seen_total");
  level = gaia_gauge("level");
  char flag[8];
  if (gaia_host_param("refuse", 6, flag, sizeof flag) >= 0) return gaia_refuse("told to refuse");
  return 0;
}

static gaia_decision number(double v) { return gaia_with_cost(gaia_allow(), (int64_t)v); }

static gaia_decision copied(int32_t n) {
  if (n < 0) return number(1000 - n);
  gaia_decision d = number(n);
  int32_t have = n > (int32_t)sizeof buf ? (int32_t)sizeof buf : n;
  return have > 0 ? gaia_with_reason(d, (gaia_text){buf, have}) : d;
}

static gaia_decision limiters(gaia_text op, gaia_text arg) {
  gaia_peek p;
  if (gaia_equal(op, "/admit")) return gaia_admit(bucket);
  if (gaia_equal(op, "/admit/key")) return gaia_admit_key(bucket, arg, 2);
  if (gaia_equal(op, "/admit/more")) return gaia_with_priority(gaia_with_timeout(gaia_admit(bucket), 250), 9);
  if (gaia_equal(op, "/admit/nowait")) return (gaia_decision)gaia_host_limiter_admit(bucket, 0, -1, 5, 0);
  if (gaia_equal(op, "/admit/two")) { gaia_admit(bucket); return gaia_admit_key(bucket, arg, 1); }
  if (gaia_equal(op, "/admit/unknown")) return gaia_admit(77);
  if (gaia_equal(op, "/take")) return number(gaia_take(bucket));
  if (gaia_equal(op, "/take/slots")) return number(gaia_take(slots));
  if (gaia_equal(op, "/peek")) { gaia_host_limiter_peek(bucket, 0, -1, -1, &p); return number((double)(p.limit * 100 + p.remaining)); }
  if (gaia_equal(op, "/pause")) { gaia_pause(bucket, GAIA_REQUEST_KEY, 60000); return gaia_admit(bucket); }
  if (gaia_equal(op, "/settle")) { gaia_take(bucket); return number(gaia_host_limiter_settle(bucket, 0, -1, 3)); }
  if (gaia_equal(op, "/settle/nothing")) return number(gaia_host_limiter_settle(bucket, 0, -1, 3));
  if (gaia_equal(op, "/set")) return number(gaia_host_limiter_set(bucket, arg.ptr, arg.len));
  if (gaia_equal(op, "/kinds")) {
    double got = 0;
    for (int i = 0; i < 8; i++) got = got * 10 + gaia_take(kinds[i]);
    return number(got);
  }
  if (gaia_equal(op, "/costs")) { int64_t costs[2] = {1, 40}; return gaia_admit_costs(both, costs, 2); }
  if (gaia_equal(op, "/costs/bad")) { int64_t costs[3] = {1, 40, 2}; return gaia_admit_costs(both, costs, 3); }
  if (gaia_equal(op, "/both")) { gaia_host_limiter_peek(both, 0, -1, -1, &p); return number((double)(p.limit * 100 + p.remaining)); }
  if (gaia_equal(op, "/open")) return number(-gaia_token_bucket("late", "{\"rate\": 1}"));
  return GAIA_NONE;
}

static gaia_decision states(gaia_text op, gaia_text arg) {
  gaia_value v = {0, 0, 0};
  if (gaia_equal(op, "/state/get")) {
    int32_t kind = gaia_host_state_get(arg.ptr, arg.len, &v, buf, sizeof buf);
    if (kind == GAIA_VALUE_TEXT) return copied((int32_t)v.length);
    return number(kind < 0 ? 1000 - kind : kind * 100 + v.number);
  }
  if (gaia_equal(op, "/state/set")) return number(gaia_state_set_number(arg, 42, 0));
  if (gaia_equal(op, "/state/text")) return number(gaia_host_state_set(arg.ptr, arg.len, GAIA_VALUE_TEXT, 0, "hello", 5, 0));
  if (gaia_equal(op, "/state/bad")) return number(1000 - gaia_host_state_set(arg.ptr, arg.len, 9, 0, 0, 0, 0));
  if (gaia_equal(op, "/state/delete")) return number(gaia_host_state_delete(arg.ptr, arg.len));
  if (gaia_equal(op, "/state/incr")) { double n = gaia_state_incr(arg, 2, 0); return number(n == n ? n : 999); }
  if (gaia_equal(op, "/state/cas"))
    return number(gaia_host_state_compare_and_set(arg.ptr, arg.len, GAIA_VALUE_NUMBER, 42, 0, 0, GAIA_VALUE_NUMBER, 43, 0, 0, 0));
  if (gaia_equal(op, "/state/absent")) return number(gaia_host_state_set_if_absent(arg.ptr, arg.len, GAIA_VALUE_NUMBER, 7, 0, 0, 0));
  return GAIA_NONE;
}

static gaia_decision others(const gaia_frame *req, gaia_text op, gaia_text arg) {
  static const char one[] = "one", two[] = "two", three[] = "three";
  gaia_span list[3] = {{(uint32_t)one, 3}, {(uint32_t)two, 3}, {(uint32_t)three, 5}};
  if (gaia_equal(op, "/counter")) { gaia_add(seen, 2.5); return gaia_allow(); }
  if (gaia_equal(op, "/gauge")) { gaia_set(level, 7); return gaia_allow(); }
  if (gaia_equal(op, "/metric/bad")) return number(1000 - gaia_host_metric_add(55, 1));
  if (gaia_equal(op, "/metrics")) { double n = gaia_host_metric_get(0, arg.ptr, arg.len); return number(n == n ? n : 999); }
  if (gaia_equal(op, "/block")) return number(gaia_metrics_block()->count ? gaia_numbers()[1] : 999);
  if (gaia_equal(op, "/ticks")) return number(ticks);
  if (gaia_equal(op, "/hash")) return number((double)(gaia_host_hash(arg.ptr, arg.len) & 0xffffffff));
  if (gaia_equal(op, "/keyhash")) return number((double)(req->key_hash & 0xffffffff));
  if (gaia_equal(op, "/pick")) return number(gaia_host_pick(arg.ptr, arg.len, list, 3));
  if (gaia_equal(op, "/param")) return copied(gaia_host_param(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "/env")) return copied(gaia_host_env(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "/header")) return copied(gaia_host_request_header(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "/body")) return copied(gaia_host_request_body(arg.ptr, arg.len, buf, sizeof buf));
  if (gaia_equal(op, "/text")) return copied(gaia_host_request_text(GAIA_TEXT_URL, buf, sizeof buf));
  if (gaia_equal(op, "/log")) { gaia_log(GAIA_LEVEL_WARN, "written by the guest"); return gaia_allow(); }
  if (gaia_equal(op, "/fail")) gaia_host_fail("cannot go on", 12);
  if (gaia_equal(op, "/deny")) return gaia_because(gaia_deny(503, 1500), 2);
  if (gaia_equal(op, "/delay")) return gaia_delay(20);
  if (gaia_equal(op, "/route")) return gaia_route(arg);
  if (gaia_equal(op, "/all")) {
    gaia_decision d = gaia_with_key(gaia_route(arg), gaia_str("other-key"));
    d = gaia_with_cost(gaia_with_priority(gaia_with_timeout(d, 2500), 8), 12);
    return gaia_with_reason(gaia_with_header(gaia_with_header(d, gaia_str("x-a"), gaia_str("1")), gaia_str("x-b"), gaia_str("")), gaia_str("because"));
  }
  return GAIA_NONE;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  static char argbuf[64];
  gaia_text op = gaia_get(req->path), arg = gaia_header("arg", argbuf, sizeof argbuf);
  gaia_decision d = limiters(op, arg);
  if (!d) d = states(op, arg);
  if (!d) d = others(req, op, arg);
  return d;
}

gaia_decision gaia_on_route(const gaia_frame *req) {
  const gaia_upstream *u = gaia_upstreams(req);
  for (uint32_t i = 0; i < req->upstream_count; i++)
    if (u[i].healthy && u[i].remaining > 0) return req->cost > 1 ? gaia_route(gaia_get(u[i].name)) : gaia_route_index(i);
  return GAIA_NONE;
}

gaia_decision gaia_on_response(const gaia_frame *req) {
  gaia_text op = gaia_get(req->path);
  if (gaia_equal(op, "/learn")) gaia_learn(learned);
  if (gaia_equal(op, "/retry") && req->status == 503) return gaia_retry((uint32_t)(req->retry_after / 1000000));
  if (gaia_equal(op, "/deny")) return gaia_deny(429, 0);
  if (gaia_equal(op, "/response")) {
    int32_t n = gaia_host_response_header("server", 6, buf, sizeof buf);
    n += gaia_host_response_body("model", 5, buf + n, sizeof buf - 10);
    if (n != 10 || !gaia_equal(gaia_get(req->upstream), "a") || req->bytes != -1) return gaia_retry(1);
  }
  return GAIA_NONE;
}

void gaia_on_done(const gaia_frame *req) {
  gaia_add(seen, (double)req->bytes);
}

void gaia_on_tick(const gaia_frame *tick) {
  ticks += tick->now > 0 ? 1 : 1000;
}
