/* The twin of tenants.js. */
#include "gaia.h"

static gaia_limiter per_tenant;
static gaia_span names[2];

int32_t gaia_setup(void) {
  per_tenant = gaia_token_bucket("per-tenant", "{\"rate\": 1000000, \"burst\": 1000000}");
  names[0] = (gaia_span){(uint32_t)(uintptr_t) "a", 1};
  names[1] = (gaia_span){(uint32_t)(uintptr_t) "b", 1};
  return 0;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  gaia_text tenant = gaia_get(req->tenant);
  if (!gaia_take_key(per_tenant, tenant, GAIA_REQUEST_COST)) return gaia_deny(429, 1000);
  return gaia_route(gaia_str(gaia_host_pick(tenant.ptr, tenant.len, names, 2) ? "b" : "a"));
}
