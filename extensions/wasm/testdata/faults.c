/* Misbehaves in the way that the request's path names. The cost brings a number. */
#include "gaia.h"

GAIA_MANIFEST({"name": "faults", "reasons": ["one"]})

static volatile uint32_t sink;
static uint32_t pages;

static uint32_t recurse(uint32_t n) {
  volatile uint32_t here = n;
  return recurse(n + 1) + here;
}

static gaia_decision answer(const uint8_t *bytes, int32_t n, uint32_t says, gaia_decision d) {
  uint8_t *area = gaia_area + GAIA_ANSWER_AT;
  *(uint32_t *)area = says;
  for (int32_t i = 0; i < n; i++) area[4 + i] = bytes[i];
  return d | 1ull << GAIA_WORD_EXT_BIT;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  gaia_text op = gaia_get(req->path);
  uint64_t n = (uint64_t)req->cost;
  char raw[64];
  if (gaia_equal(op, "/ok")) return gaia_allow();
  if (gaia_equal(op, "/loop")) for (;;) sink++;
  if (gaia_equal(op, "/trap")) __builtin_trap();
  if (gaia_equal(op, "/divide")) return 7 / (sink - sink);
  if (gaia_equal(op, "/grow")) for (;;) if (__builtin_wasm_memory_grow(0, 1) == (size_t)-1) __builtin_trap();
  if (gaia_equal(op, "/leak")) { __builtin_wasm_memory_grow(0, n); return gaia_allow(); }
  if (gaia_equal(op, "/fill")) for (;;) __builtin_memset(gaia_area, (int)sink, sizeof gaia_area);
  if (gaia_equal(op, "/recurse")) return recurse(0);
  if (gaia_equal(op, "/read")) return *(volatile uint32_t *)0xfffffff0;
  if (gaia_equal(op, "/calls")) for (;;) gaia_host_hash("x", 1);
  if (gaia_equal(op, "/hash")) for (;;) gaia_host_hash(0, 65536);
  if (gaia_equal(op, "/logs")) for (int i = 0; i < 60; i++) gaia_host_log(0, gaia_area, 8000);
  if (gaia_equal(op, "/pointer")) gaia_host_log(0, (const void *)0x7fffffff, 64);
  if (gaia_equal(op, "/length")) gaia_host_request_header("x-class", 7, (void *)0xfffffff0, 0x7fffffff);
  if (gaia_equal(op, "/list")) gaia_host_pick("x", 1, (const gaia_span *)0, 0x20000001);
  if (gaia_equal(op, "/word")) return n;
  if (gaia_equal(op, "/answer/long")) return answer(0, 0, 0xffffffff, gaia_allow());
  if (gaia_equal(op, "/answer")) {
    int32_t len = gaia_host_request_header("raw", 3, raw, sizeof raw);
    return answer((const uint8_t *)raw, len, (uint32_t)len, n ? n : gaia_allow());
  }
  if (gaia_equal(op, "/state")) { if (pages) pages++; pages = pages ? pages : 1; return gaia_with_cost(gaia_allow(), pages); }
  return GAIA_NONE;
}

gaia_decision gaia_on_route(const gaia_frame *req) { return gaia_route_index((uint32_t)req->cost); }
gaia_decision gaia_on_response(const gaia_frame *req) { (void)req; return gaia_deny(429, 0); }
