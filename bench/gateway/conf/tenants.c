/* The twin of tenants.js. */
#include "gaia.h"

static gaia_limiter per_tenant;
static gaia_span names[2];
static int routes;

int32_t gaia_setup(void) {
  static char limit[256];
  char route[8];
  int32_t n = gaia_host_param("limit", 5, limit, sizeof limit - 1);
  if (n <= 0 || n >= (int32_t)sizeof limit) return gaia_refuse("the parameter limit is missing");
  limit[n] = 0;
  routes = gaia_host_param("route", 5, route, sizeof route) == 4; /* true */
  per_tenant = gaia_token_bucket("per-tenant", limit);
  names[0] = (gaia_span){(uint32_t)(uintptr_t) "a", 1};
  names[1] = (gaia_span){(uint32_t)(uintptr_t) "b", 1};
  return 0;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  gaia_text tenant = gaia_get(req->tenant);
  if (!gaia_take_key(per_tenant, tenant, GAIA_REQUEST_COST)) return gaia_deny(429, 1000);
  if (!routes) return 0;
  return gaia_route(gaia_str(gaia_host_pick(tenant.ptr, tenant.len, names, 2) ? "b" : "a"));
}
