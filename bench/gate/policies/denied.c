/* The twin of denied.js. */
#include "gaia.h"

static gaia_limiter per_tenant;

int32_t gaia_setup(void) {
  per_tenant = gaia_token_bucket("per-tenant", "{\"rate\": 1, \"burst\": 1}");
  return 0;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  if (!gaia_take_key(per_tenant, gaia_get(req->tenant), 2)) return gaia_deny(429, 1000);
  return GAIA_NONE;
}
