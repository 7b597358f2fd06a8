/* What the benchmarks call: a typical decision without host calls, and some with. */
#include "gaia.h"

static gaia_limiter bucket;
static gaia_metric seen;

int32_t gaia_setup(void) {
  bucket = gaia_token_bucket("bucket", "{\"rate\": 1000000000, \"burst\": 1000000000}");
  seen = gaia_counter("seen");
  return 0;
}

static gaia_decision decide(const gaia_frame *req) {
  if (gaia_has_prefix(gaia_get(req->path), "/admin")) return gaia_deny(403, 0);
  if (req->attempt > 3) return gaia_deny(429, 1000);
  if (req->in_flight > 100 && req->priority < 5) return gaia_delay((uint32_t)(req->in_flight - 100));
  return req->key_hash % 3 == 7 ? gaia_deny(503, 0) : gaia_allow();
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  switch (req->size) {
  case 1: gaia_add(seen, 1); break;
  case 2: if (!gaia_take(bucket)) return gaia_deny(429, 0); break;
  case 3: return gaia_admit(bucket);
  case 4: gaia_add(seen, 1), gaia_add(seen, 1), gaia_add(seen, 1); break;
  case 5: {
    char buf[64];
    if (gaia_header("x-class", buf, sizeof buf).len < 0) return gaia_deny(400, 0);
    break;
  }
  case 6: if (gaia_state_incr(gaia_get(req->key), 1, 0) < 0) return gaia_deny(400, 0); break;
  case 7: if (gaia_host_hash("api.example.com", 15) == 0) return gaia_deny(400, 0); break;
  }
  return decide(req);
}

gaia_decision gaia_on_route(const gaia_frame *req) {
  uint32_t best = 0;
  const gaia_upstream *u = gaia_upstreams(req);
  for (uint32_t i = 1; i < req->upstream_count; i++)
    if (u[i].healthy && u[i].in_flight < u[best].in_flight) best = i;
  return gaia_route_index(best);
}
