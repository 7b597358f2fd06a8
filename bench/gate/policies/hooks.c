/* What the rows of the Wasm engine call: a decision that needs no host call, and the same after four calls of one kind,
 * which the size of the request's body names. */
#include "gaia.h"

static gaia_limiter bucket;
static gaia_metric seen;

int32_t gaia_setup(void) {
  bucket = gaia_token_bucket("bucket", "{\"rate\": 1000000000, \"burst\": 1000000000000}");
  seen = gaia_counter("seen");
  return 0;
}

static gaia_decision decide(const gaia_frame *req) {
  if (gaia_has_prefix(gaia_get(req->path), "/admin")) return gaia_deny(403, 0);
  if (req->attempt > 3) return gaia_deny(429, 1000);
  if (req->in_flight > 100 && req->priority < 5) return gaia_delay((uint32_t)(req->in_flight - 100));
  return gaia_allow();
}

static int call(int64_t kind) {
  char buf[64];
  switch (kind) {
  case 1: return gaia_take(bucket);
  case 2: return gaia_header("x-class", buf, sizeof buf).len > 0;
  case 3: return gaia_host_metric_add(seen, 1) == 0;
  case 4: return gaia_host_hash("api.example.com", 15) != 0;
  case 5: return gaia_state_incr(gaia_str("seen"), 1, 0) > 0;
  }
  return 0;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  if (req->size < 0) return decide(req);
  for (int i = 0; i < 4; i++)
    if (!call(req->size)) return gaia_deny(500, 0);
  return decide(req);
}
