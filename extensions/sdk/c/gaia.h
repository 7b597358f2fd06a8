/*
 * gaia.h: write a gaia policy in C. Freestanding: no libc. Include it in exactly one file and define the hooks you want:
 *
 *   #include "gaia.h"
 *   GAIA_MANIFEST({"name": "mine", "options": {"match": {"subsystem": "api"}}})
 *
 *   static gaia_limiter per_host;
 *
 *   int32_t gaia_setup(void) {
 *     per_host = gaia_token_bucket("per-host", "{\"rate\":10,\"burst\":20,\"maxWait\":\"2s\"}");
 *     return 0;
 *   }
 *   gaia_decision gaia_on_request(const gaia_frame *req) { return gaia_admit(per_host); }
 *
 * Build: clang --target=wasm32 -O2 -nostdlib -mbulk-memory -Wl,--no-entry -Wl,--strip-debug -Wl,--stack-first -Wl,-z,stack-size=16384 \
 *          -o policy.wasm policy.c
 *
 * Times in a frame are nanoseconds, in builders of decisions milliseconds. Pointers from a frame are valid until the hook
 * returns. Module variables belong to one instance of several, unless the policy's isolation is "single".
 */
#ifndef GAIA_H
#define GAIA_H

#include "gaia_abi.h"

typedef uint64_t gaia_decision;
typedef int32_t gaia_limiter;
typedef int32_t gaia_metric;

/* A text: not terminated by a zero. */
typedef struct {
  const char *ptr;
  int32_t len;
} gaia_text;

/* The hooks. Define those you want; gaia_setup runs once for each instance, before them: it declares limiters and metrics,
 * and reads parameters; a result other than 0 refuses to load (see gaia_refuse). */
__attribute__((weak)) int32_t gaia_setup(void);
__attribute__((weak)) gaia_decision gaia_on_request(const gaia_frame *req);
__attribute__((weak)) gaia_decision gaia_on_route(const gaia_frame *req);
__attribute__((weak)) gaia_decision gaia_on_response(const gaia_frame *req);
__attribute__((weak)) void gaia_on_done(const gaia_frame *req);
__attribute__((weak)) void gaia_on_tick(const gaia_frame *tick);

static uint8_t gaia_area[GAIA_SCRATCH_SIZE] __attribute__((aligned(16)));

/* The manifest: JSON, written as it is. */
#define GAIA_QUOTE1(...) #__VA_ARGS__
#define GAIA_QUOTE(...) GAIA_QUOTE1(__VA_ARGS__)
#define GAIA_MANIFEST(...) \
  __asm__(".section .custom_section.gaia.manifest,\"\",@\n.ascii " GAIA_QUOTE(GAIA_QUOTE1(__VA_ARGS__)) "\n.text\n");

/* Texts. */

static inline int32_t gaia_strlen(const char *s) {
  int32_t n = 0;
  while (s[n]) n++;
  return n;
}

static inline gaia_text gaia_str(const char *s) { return (gaia_text){s, gaia_strlen(s)}; }

/* A text of a frame: gaia_get(req->path). */
static inline gaia_text gaia_get(gaia_ref r) { return (gaia_text){(const char *)gaia_area + r.offset, (int32_t)r.length}; }

static inline int gaia_equal(gaia_text a, const char *b) {
  int32_t i = 0;
  for (; i < a.len; i++)
    if (!b[i] || a.ptr[i] != b[i]) return 0;
  return b[i] == 0;
}

static inline int gaia_has_prefix(gaia_text a, const char *b) {
  for (int32_t i = 0; b[i]; i++)
    if (i >= a.len || a.ptr[i] != b[i]) return 0;
  return 1;
}

/* A header field of the request; length -1 where it is absent. Longer values are cut to the buffer. */
static inline gaia_text gaia_header(const char *name, char *buf, int32_t cap) {
  int32_t n = gaia_host_request_header(name, gaia_strlen(name), buf, cap);
  return (gaia_text){buf, n > cap ? cap : n};
}

static inline gaia_text gaia_response_header(const char *name, char *buf, int32_t cap) {
  int32_t n = gaia_host_response_header(name, gaia_strlen(name), buf, cap);
  return (gaia_text){buf, n > cap ? cap : n};
}

/* The candidates of the route hook: req->upstream_count of them. */
static inline const gaia_upstream *gaia_upstreams(const gaia_frame *req) {
  return (const gaia_upstream *)(gaia_area + req->upstreams);
}

/* The host's numbers, as of the last tick: count of them, at gaia_numbers(). */
static inline const gaia_metrics *gaia_metrics_block(void) { return (const gaia_metrics *)(gaia_area + GAIA_METRICS_AT); }
static inline const double *gaia_numbers(void) { return (const double *)(gaia_area + GAIA_METRICS_AT + sizeof(gaia_metrics)); }

/* Decisions. */

#define GAIA_NONE ((gaia_decision)0)

static inline gaia_decision gaia_word(uint32_t action, uint32_t status, uint32_t arg) {
  return (uint64_t)action << GAIA_WORD_ACTION_SHIFT | (uint64_t)status << GAIA_WORD_STATUS_SHIFT | arg;
}

static inline gaia_decision gaia_allow(void) { return gaia_word(GAIA_ACTION_ALLOW, 0, 0); }
static inline gaia_decision gaia_deny(uint32_t status, uint32_t retry_after_ms) { return gaia_word(GAIA_ACTION_DENY, status, retry_after_ms); }
static inline gaia_decision gaia_delay(uint32_t ms) { return gaia_word(GAIA_ACTION_DELAY, 0, ms); }
static inline gaia_decision gaia_retry(uint32_t after_ms) { return gaia_word(GAIA_ACTION_RETRY, 0, after_ms); }
/* Route hook: the upstream with that index. */
static inline gaia_decision gaia_route_index(uint32_t index) { return gaia_word(GAIA_ACTION_ROUTE, 0, index); }
/* The reason with that index, from 1, in the manifest's "reasons". */
static inline gaia_decision gaia_because(gaia_decision d, uint32_t reason) { return d | (uint64_t)(reason & 255) << GAIA_WORD_REASON_SHIFT; }

/* Changes are records in the answer area: d = gaia_with_key(gaia_allow(), key). */
static inline gaia_decision gaia_record(gaia_decision d, uint16_t tag, const void *value, uint32_t len) {
  uint8_t *area = gaia_area + GAIA_ANSWER_AT;
  uint32_t *used = (uint32_t *)area;
  if (!(d >> GAIA_WORD_EXT_BIT & 1)) *used = 0;
  uint8_t *at = area + 4 + *used;
  if (len > 0xffff || *used + 4 + len > GAIA_ANSWER_AREA - 4) __builtin_trap();
  at[0] = (uint8_t)tag, at[1] = (uint8_t)(tag >> 8), at[2] = (uint8_t)len, at[3] = (uint8_t)(len >> 8);
  for (uint32_t i = 0; i < len; i++) at[4 + i] = ((const uint8_t *)value)[i];
  *used += 4 + len;
  return d | 1ull << GAIA_WORD_EXT_BIT;
}

static inline gaia_decision gaia_with_key(gaia_decision d, gaia_text key) { return gaia_record(d, GAIA_RECORD_KEY, key.ptr, (uint32_t)key.len); }
static inline gaia_decision gaia_with_upstream(gaia_decision d, gaia_text name) { return gaia_record(d, GAIA_RECORD_UPSTREAM, name.ptr, (uint32_t)name.len); }
static inline gaia_decision gaia_with_reason(gaia_decision d, gaia_text why) { return gaia_record(d, GAIA_RECORD_REASON, why.ptr, (uint32_t)why.len); }
static inline gaia_decision gaia_with_timeout(gaia_decision d, uint32_t ms) {
  int64_t ns = (int64_t)ms * 1000000;
  return gaia_record(d, GAIA_RECORD_TIMEOUT, &ns, 8);
}
static inline gaia_decision gaia_with_cost(gaia_decision d, int64_t cost) { return gaia_record(d, GAIA_RECORD_COST, &cost, 8); }
static inline gaia_decision gaia_with_priority(gaia_decision d, int32_t priority) { return gaia_record(d, GAIA_RECORD_PRIORITY, &priority, 4); }
static inline gaia_decision gaia_route(gaia_text name) { return gaia_with_upstream(gaia_word(GAIA_ACTION_ROUTE, 0, 0), name); }

static inline gaia_decision gaia_with_header(gaia_decision d, gaia_text name, gaia_text value) {
  char field[512];
  if (name.len + value.len > (int32_t)sizeof field - 2) __builtin_trap();
  field[0] = (char)name.len, field[1] = (char)(name.len >> 8);
  for (int32_t i = 0; i < name.len; i++) field[2 + i] = name.ptr[i];
  for (int32_t i = 0; i < value.len; i++) field[2 + name.len + i] = value.ptr[i];
  return gaia_record(d, GAIA_RECORD_HEADER, field, (uint32_t)(2 + name.len + value.len));
}

/* Limiters: declared in gaia_setup, used in hooks. Without a key they count on the request's. */

#define GAIA_REQUEST_KEY ((gaia_text){0, -1})
#define GAIA_REQUEST_COST ((int64_t)-1)

static inline gaia_limiter gaia_open(int32_t kind, const char *name, const char *params) {
  return gaia_host_limiter_open(kind, name, gaia_strlen(name), params, gaia_strlen(params));
}
static inline gaia_limiter gaia_token_bucket(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_TOKEN_BUCKET, name, params); }
static inline gaia_limiter gaia_concurrency(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_CONCURRENCY, name, params); }
static inline gaia_limiter gaia_upstream_limiter(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_UPSTREAM, name, params); }
static inline gaia_limiter gaia_fixed_window(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_FIXED_WINDOW, name, params); }
static inline gaia_limiter gaia_sliding_window(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_SLIDING_WINDOW, name, params); }
static inline gaia_limiter gaia_sliding_log(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_SLIDING_LOG, name, params); }
static inline gaia_limiter gaia_adaptive(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_ADAPTIVE, name, params); }
static inline gaia_limiter gaia_throttle(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_THROTTLE, name, params); }
static inline gaia_limiter gaia_retry_budget(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_RETRY_BUDGET, name, params); }
static inline gaia_limiter gaia_fair(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_FAIR, name, params); }
static inline gaia_limiter gaia_calendar(const char *name, const char *params) { return gaia_open(GAIA_LIMITER_CALENDAR, name, params); }
/* One limiter of several, at most 8: a take is of all or of none. */
static inline gaia_limiter gaia_all(const gaia_limiter *of, int32_t count) { return gaia_host_limiter_all(of, count); }

/* Take, and return the result from the hook: allow, a wait, or a denial with the time to come back. */
static inline gaia_decision gaia_admit_key(gaia_limiter l, gaia_text key, int64_t cost) {
  return (gaia_decision)gaia_host_limiter_admit(l, key.ptr, key.len, cost, -1);
}
static inline gaia_decision gaia_admit(gaia_limiter l) { return gaia_admit_key(l, GAIA_REQUEST_KEY, GAIA_REQUEST_COST); }
/* Of gaia_all, with a cost for each. */
static inline gaia_decision gaia_admit_costs(gaia_limiter l, const int64_t *costs, int32_t count) {
  return (gaia_decision)gaia_host_limiter_admit_costs(l, 0, -1, costs, count, -1);
}
static inline int gaia_take(gaia_limiter l) { return gaia_host_limiter_take(l, 0, -1, GAIA_REQUEST_COST) == 1; }
static inline int gaia_take_key(gaia_limiter l, gaia_text key, int64_t cost) { return gaia_host_limiter_take(l, key.ptr, key.len, cost) == 1; }
/* Read what the answer of this hook says about limits. */
static inline void gaia_learn(gaia_limiter l) { gaia_host_limiter_learn(l, 0, -1); }
static inline void gaia_pause(gaia_limiter l, gaia_text key, uint32_t ms) { gaia_host_limiter_pause(l, key.ptr, key.len, (int64_t)ms * 1000000); }
static inline void gaia_settle(gaia_limiter l, int64_t cost) { gaia_host_limiter_settle(l, 0, -1, cost); }

/* State: numbers. Texts and bytes: gaia_host_state_*. */

static inline double gaia_state_incr(gaia_text key, double by, uint32_t ttl_ms) {
  return gaia_host_state_incr(key.ptr, key.len, by, (int64_t)ttl_ms * 1000000);
}
static inline double gaia_state_number(gaia_text key, double otherwise) {
  gaia_value v;
  return gaia_host_state_get(key.ptr, key.len, &v, 0, 0) == GAIA_VALUE_NUMBER ? v.number : otherwise;
}
static inline int gaia_state_set_number(gaia_text key, double number, uint32_t ttl_ms) {
  return gaia_host_state_set(key.ptr, key.len, GAIA_VALUE_NUMBER, number, 0, 0, (int64_t)ttl_ms * 1000000) == 0;
}

/* The policy's own numbers: declared in gaia_setup. */

static inline gaia_metric gaia_counter(const char *name) { return gaia_host_metric_open(GAIA_METRIC_COUNTER, name, gaia_strlen(name)); }
static inline gaia_metric gaia_gauge(const char *name) { return gaia_host_metric_open(GAIA_METRIC_GAUGE, name, gaia_strlen(name)); }
static inline void gaia_add(gaia_metric m, double by) { gaia_host_metric_add(m, by); }
static inline void gaia_set(gaia_metric m, double to) { gaia_host_metric_set(m, to); }

static inline void gaia_log(int32_t level, const char *text) { gaia_host_log(level, text, gaia_strlen(text)); }

/* From gaia_setup: return gaia_refuse("rpm is missing"). */
static inline int32_t gaia_refuse(const char *why) {
  int32_t n = gaia_strlen(why);
  if (n > GAIA_ANSWER_AREA - 4) n = GAIA_ANSWER_AREA - 4;
  *(uint32_t *)(gaia_area + GAIA_ANSWER_AT) = (uint32_t)n;
  for (int32_t i = 0; i < n; i++) gaia_area[GAIA_ANSWER_AT + 4 + i] = (uint8_t)why[i];
  return 1;
}

/* What the host calls. */

#define GAIA_EXPORT(name) __attribute__((export_name(name)))

GAIA_EXPORT("gaia_abi_1") int32_t gaia_export_abi(void) { return GAIA_MINOR; }

GAIA_EXPORT("gaia_scratch") void *gaia_export_scratch(int32_t size) { return size <= GAIA_SCRATCH_SIZE ? gaia_area : 0; }

GAIA_EXPORT("gaia_configure") int32_t gaia_export_configure(int32_t len) {
  (void)len;
  return gaia_setup ? gaia_setup() : 0;
}

GAIA_EXPORT("gaia_hooks") int32_t gaia_export_hooks(void) {
  return (gaia_on_request ? 1 << GAIA_HOOK_REQUEST : 0) | (gaia_on_route ? 1 << GAIA_HOOK_ROUTE : 0) |
         (gaia_on_response ? 1 << GAIA_HOOK_RESPONSE : 0) | (gaia_on_done ? 1 << GAIA_HOOK_DONE : 0) |
         (gaia_on_tick ? 1 << GAIA_HOOK_TICK : 0);
}

GAIA_EXPORT("gaia_on") gaia_decision gaia_export_on(int32_t hook, int32_t len) {
  const gaia_frame *f = (const gaia_frame *)gaia_area;
  (void)len;
  switch (hook) {
  case GAIA_HOOK_REQUEST: return gaia_on_request ? gaia_on_request(f) : GAIA_NONE;
  case GAIA_HOOK_ROUTE: return gaia_on_route ? gaia_on_route(f) : GAIA_NONE;
  case GAIA_HOOK_RESPONSE: return gaia_on_response ? gaia_on_response(f) : GAIA_NONE;
  case GAIA_HOOK_DONE:
    if (gaia_on_done) gaia_on_done(f);
    return GAIA_NONE;
  case GAIA_HOOK_TICK:
    if (gaia_on_tick) gaia_on_tick(f);
    return GAIA_NONE;
  }
  return GAIA_NONE;
}

#endif
