/* NAME: no host is asked more than ten times a second; callers wait up to two. */
#include "gaia.h"

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
