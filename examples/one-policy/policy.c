/* One policy for all five kinds of work: each is paced, and load moves between them. While the disk of the root "scratch" is
 * over its quota no page is opened, and while browsers are busy processes start slowly. policy.js beside it does the same. */
#include "gaia.h"

GAIA_MANIFEST({"name": "one-policy", "version": "1.0.0", "reasons": ["the scratch disk is over its quota"]})

enum { API, FILES, BROWSER, PROCESS, NETWORK };

static gaia_limiter pace[5], slowly;

int32_t gaia_setup(void) {
  pace[API] = gaia_token_bucket("api", "{\"rate\": 200, \"burst\": 400, \"maxWait\": \"10s\"}");
  pace[FILES] = gaia_token_bucket("files", "{\"rate\": 400, \"burst\": 400, \"maxWait\": \"10s\"}");
  pace[BROWSER] = gaia_token_bucket("browser", "{\"rate\": 20, \"burst\": 40, \"maxWait\": \"10s\"}");
  pace[PROCESS] = gaia_token_bucket("process", "{\"rate\": 20, \"burst\": 50, \"maxWait\": \"10s\"}");
  pace[NETWORK] = gaia_token_bucket("network", "{\"rate\": 200, \"burst\": 400, \"maxWait\": \"10s\"}");
  slowly = gaia_token_bucket("slowly", "{\"rate\": 5, \"burst\": 1, \"maxWait\": \"10s\"}");
  return 0;
}

static double number(int32_t subsystem, const char *name) { return gaia_host_metric_get(subsystem, name, gaia_strlen(name)); }

gaia_decision gaia_on_request(const gaia_frame *req) {
  if (req->subsystem == BROWSER && number(FILES, "root_scratch_quota_left_bytes") == 0) return gaia_because(gaia_deny(503, 5000), 1);
  if (req->subsystem == PROCESS && number(BROWSER, "in_flight") > 2) return gaia_admit_key(slowly, (gaia_text){"all", 3}, GAIA_REQUEST_COST);
  return req->subsystem <= NETWORK ? gaia_admit(pace[req->subsystem]) : GAIA_NONE;
}
