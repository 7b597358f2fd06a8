/* Paces each host of the API subsystem: 10 requests a second, 20 at once, and at most 2 s of waiting. It learns from what the
 * host answers. policy.js beside it does exactly the same. */
#include "gaia.h"

GAIA_MANIFEST({"name": "per-host", "version": "1.0.0", "options": {"match": {"subsystem": "api"}}})

static gaia_limiter per_host;

int32_t gaia_setup(void) {
  per_host = gaia_token_bucket("per-host", "{\"rate\": 10, \"burst\": 20, \"maxWait\": \"2s\"}");
  return 0;
}

gaia_decision gaia_on_request(const gaia_frame *req) {
  (void)req;
  return gaia_admit(per_host);
}

gaia_decision gaia_on_response(const gaia_frame *req) {
  (void)req;
  gaia_learn(per_host);
  return GAIA_NONE;
}
