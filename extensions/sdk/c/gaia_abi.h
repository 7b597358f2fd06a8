/* Generated from extensions/wasm/abi by `go generate`; do not edit. Included by gaia.h. */
#ifndef GAIA_ABI_H
#define GAIA_ABI_H

#include <stddef.h>
#include <stdint.h>

#define GAIA_MINOR 1
#define GAIA_SCRATCH_SIZE 16384
#define GAIA_FRAME_AT 0 /* what the hook is about; during gaia_configure the operator's parameters as a JSON object */
#define GAIA_FRAME_AREA 8192
#define GAIA_METRICS_AT 8192 /* the host's numbers: the metrics structure, then f64[count] */
#define GAIA_METRICS_AREA 4096
#define GAIA_ANSWER_AT 12288 /* written by the guest: u32 length, then that many bytes of records (with the EXT bit), or a message (gaia_configure) */
#define GAIA_ANSWER_AREA 4096

/* flags of a frame */
#define GAIA_FLAG_TRUNCATED (1) /* a text did not fit and was cut; request_text gives the whole */
#define GAIA_FLAG_UPSTREAMS_TRUNCATED (2) /* not all upstreams fit */
#define GAIA_FLAG_METRICS_TRUNCATED (4) /* not all numbers fit into the metrics area */

/* hooks, and their bits in the result of gaia_hooks: 1 << hook */
#define GAIA_HOOK_REQUEST (0) /* before an attempt */
#define GAIA_HOOK_ROUTE (1) /* which upstream, where the request hook named none */
#define GAIA_HOOK_RESPONSE (2) /* at the headers of the answer */
#define GAIA_HOOK_DONE (3) /* at its end */
#define GAIA_HOOK_TICK (4) /* once a second */

/* actions of a packed decision */
#define GAIA_ACTION_NONE (0) /* no opinion */
#define GAIA_ACTION_ALLOW (1) /* go, with the changes the decision names */
#define GAIA_ACTION_DENY (2) /* do not go; the milliseconds say when to come back */
#define GAIA_ACTION_DELAY (3) /* go after the milliseconds */
#define GAIA_ACTION_ROUTE (4) /* go to an upstream: the record upstream names it; in the route hook the low 32 bits are its index where there is no such record */
#define GAIA_ACTION_RETRY (5) /* response hook: try again after the milliseconds */

/* places in the packed decision */
#define GAIA_WORD_ARG_SHIFT (0) /* 32 bits: milliseconds, or an index */
#define GAIA_WORD_STATUS_SHIFT (32) /* 10 bits: status of a denial, 0 is 429 */
#define GAIA_WORD_HANDLE_SHIFT (42) /* 6 bits: which limiter_admit of this hook it stands for, set by the host; 0 none */
#define GAIA_WORD_REASON_SHIFT (48) /* 8 bits: index, from 1, into the manifest's reasons; 0 none */
#define GAIA_WORD_ACTION_SHIFT (56) /* 4 bits: the action */
#define GAIA_WORD_EXT_BIT (62) /* records follow in the answer area */
#define GAIA_WORD_ERROR_BIT (63) /* the guest failed */

/* records of the answer area: u16 tag, u16 length, value */
#define GAIA_RECORD_UPSTREAM (1) /* text: name of an upstream */
#define GAIA_RECORD_TIMEOUT (2) /* i64: ns that the attempt may take */
#define GAIA_RECORD_COST (3) /* i64: units */
#define GAIA_RECORD_PRIORITY (4) /* i32: 0 to 9 */
#define GAIA_RECORD_KEY (5) /* text: configured limits count on it */
#define GAIA_RECORD_HEADER (6) /* u16 length of the name, name, value: set on the request to the upstream; may be repeated */
#define GAIA_RECORD_REASON (7) /* text: why */
#define GAIA_RECORD_DELAY (8) /* i64: ns, in place of the milliseconds of the packed decision */

/* errors of imported functions */
#define GAIA_ERROR_ABSENT (-1) /* there is no such value */
#define GAIA_ERROR_ARGUMENT (-2) /* an unknown identifier or a value out of range */
#define GAIA_ERROR_PHASE (-3) /* declaring in a hook, or using a limiter or writing state while loading */
#define GAIA_ERROR_GRANT (-4) /* not granted by the operator */
#define GAIA_ERROR_FULL (-5) /* too large, or no room */
#define GAIA_ERROR_CONTEXT (-6) /* there is no request or no answer in this hook */
#define GAIA_ERROR_KIND (-7) /* the stored value is of another kind */

/* kinds of limiter */
#define GAIA_LIMITER_TOKEN_BUCKET (1) /* rate, per, burst, maxWait */
#define GAIA_LIMITER_CONCURRENCY (2) /* max, maxQueue, maxWait, order */
#define GAIA_LIMITER_UPSTREAM (3) /* learns from the upstream's answers: unit, maxWait */
#define GAIA_LIMITER_FIXED_WINDOW (4) /* max, per, unit, maxWait */
#define GAIA_LIMITER_SLIDING_WINDOW (5) /* max, per, unit, maxWait */
#define GAIA_LIMITER_SLIDING_LOG (6) /* max, per, maxWait */
#define GAIA_LIMITER_ADAPTIVE (7) /* algorithm, min, max */
#define GAIA_LIMITER_THROTTLE (8) /* ratio, min, per */
#define GAIA_LIMITER_RETRY_BUDGET (9) /* ratio, min, per */
#define GAIA_LIMITER_FAIR (10) /* rate, per, burst, weights, maxWait */
#define GAIA_LIMITER_CALENDAR (11) /* max, every, zone, maxWait */

/* kinds of a policy's own number */
#define GAIA_METRIC_COUNTER (0) /* only grows */
#define GAIA_METRIC_GAUGE (1) /* goes up and down */

/* kinds of values in the state */
#define GAIA_VALUE_NONE (0) /* absent */
#define GAIA_VALUE_NUMBER (1) /* an f64, finite */
#define GAIA_VALUE_TEXT (2) /* UTF-8 */
#define GAIA_VALUE_BOOL (3) /* true or false */
#define GAIA_VALUE_BYTES (4) /* anything */

/* levels of log */
#define GAIA_LEVEL_DEBUG (-4)
#define GAIA_LEVEL_INFO (0)
#define GAIA_LEVEL_WARN (4)
#define GAIA_LEVEL_ERROR (8)

/* texts of request_text */
#define GAIA_TEXT_ACTION (0)
#define GAIA_TEXT_KEY (1)
#define GAIA_TEXT_METHOD (2)
#define GAIA_TEXT_HOST (3)
#define GAIA_TEXT_TENANT (4)
#define GAIA_TEXT_PATH (5)
#define GAIA_TEXT_URL (6)

/* A text in the scratch area. */
typedef struct { uint32_t offset, length; } gaia_ref;

/* header of the frame area; tables and texts follow it */
typedef struct {
  uint32_t length; /* bytes of the frame: header, tables and texts */
  uint16_t minor; /* minor version of the host */
  uint16_t flags; /* see the flags of a frame */
  uint32_t hook; /* which hook this is */
  uint32_t subsystem; /* who asks: 0 api, 1 files, 2 browser, 3 process, 4 network */
  uint32_t attempt; /* 1 for the first */
  int32_t priority; /* 0 to 9, 5 is normal */
  int64_t now; /* the clock, in ns since 1970 */
  int64_t deadline; /* when the caller gives up, in ns since 1970; 0 never */
  int64_t cost; /* units of the limits, 1 unless told */
  int64_t size; /* bytes of the body, -1 unknown */
  uint64_t key_hash; /* hash of key, as the import hash gives it */
  uint64_t tenant_hash; /* hash of tenant */
  gaia_ref action; /* request, read, launch, ... */
  gaia_ref key; /* what limits count on */
  gaia_ref method; /* as in HTTP */
  gaia_ref host; /* lower case, with a port only where it is not the default */
  gaia_ref tenant; /* whom the operation is for */
  gaia_ref path; /* of the URL or file */
  gaia_ref url; /* as it will be sent, without credentials */
  int64_t in_flight; /* operations of this subsystem and key that are under way */
  int64_t queued; /* operations that wait to start */
  double rate; /* ended operations per second */
  double error_rate; /* share of them that failed, 0 to 1 */
  int64_t p50; /* median duration in ns */
  int64_t p95; /* 95th percentile of the durations in ns */
  uint32_t upstreams; /* route hook: offset of upstream[upstream_count], else 0 */
  uint32_t upstream_count; /* route hook: how many are in the frame */
  uint32_t status; /* response and done hooks: the status, 0 where there was no answer */
  uint32_t reserved; /* 0 */
  int64_t duration; /* since the attempt started, in ns */
  int64_t bytes; /* of the answer's body, -1 while it is not known */
  int64_t retry_after; /* as the upstream asked, in ns; 0 where it did not */
  int64_t sent; /* when the attempt left, in ns since 1970 */
  gaia_ref error; /* kind of failure, empty where there was an answer */
  gaia_ref upstream; /* name of the upstream that answered */
} gaia_frame;
_Static_assert(offsetof(gaia_frame, length) == 0, "layout");
_Static_assert(offsetof(gaia_frame, minor) == 4, "layout");
_Static_assert(offsetof(gaia_frame, flags) == 6, "layout");
_Static_assert(offsetof(gaia_frame, hook) == 8, "layout");
_Static_assert(offsetof(gaia_frame, subsystem) == 12, "layout");
_Static_assert(offsetof(gaia_frame, attempt) == 16, "layout");
_Static_assert(offsetof(gaia_frame, priority) == 20, "layout");
_Static_assert(offsetof(gaia_frame, now) == 24, "layout");
_Static_assert(offsetof(gaia_frame, deadline) == 32, "layout");
_Static_assert(offsetof(gaia_frame, cost) == 40, "layout");
_Static_assert(offsetof(gaia_frame, size) == 48, "layout");
_Static_assert(offsetof(gaia_frame, key_hash) == 56, "layout");
_Static_assert(offsetof(gaia_frame, tenant_hash) == 64, "layout");
_Static_assert(offsetof(gaia_frame, action) == 72, "layout");
_Static_assert(offsetof(gaia_frame, key) == 80, "layout");
_Static_assert(offsetof(gaia_frame, method) == 88, "layout");
_Static_assert(offsetof(gaia_frame, host) == 96, "layout");
_Static_assert(offsetof(gaia_frame, tenant) == 104, "layout");
_Static_assert(offsetof(gaia_frame, path) == 112, "layout");
_Static_assert(offsetof(gaia_frame, url) == 120, "layout");
_Static_assert(offsetof(gaia_frame, in_flight) == 128, "layout");
_Static_assert(offsetof(gaia_frame, queued) == 136, "layout");
_Static_assert(offsetof(gaia_frame, rate) == 144, "layout");
_Static_assert(offsetof(gaia_frame, error_rate) == 152, "layout");
_Static_assert(offsetof(gaia_frame, p50) == 160, "layout");
_Static_assert(offsetof(gaia_frame, p95) == 168, "layout");
_Static_assert(offsetof(gaia_frame, upstreams) == 176, "layout");
_Static_assert(offsetof(gaia_frame, upstream_count) == 180, "layout");
_Static_assert(offsetof(gaia_frame, status) == 184, "layout");
_Static_assert(offsetof(gaia_frame, reserved) == 188, "layout");
_Static_assert(offsetof(gaia_frame, duration) == 192, "layout");
_Static_assert(offsetof(gaia_frame, bytes) == 200, "layout");
_Static_assert(offsetof(gaia_frame, retry_after) == 208, "layout");
_Static_assert(offsetof(gaia_frame, sent) == 216, "layout");
_Static_assert(offsetof(gaia_frame, error) == 224, "layout");
_Static_assert(offsetof(gaia_frame, upstream) == 232, "layout");
_Static_assert(sizeof(gaia_frame) == 240, "layout");

/* one candidate of the route hook */
typedef struct {
  gaia_ref name; /* what a decision names */
  gaia_ref host; /* its host */
  int32_t weight; /* its configured weight */
  uint32_t healthy; /* 1 healthy, 0 not */
  int64_t in_flight; /* operations under way */
  double error_rate; /* share of operations that failed, 0 to 1 */
  int64_t p50; /* median duration in ns */
  int64_t p95; /* 95th percentile of the durations in ns */
  int64_t remaining; /* what its limits have left, -1 unknown */
} gaia_upstream;
_Static_assert(offsetof(gaia_upstream, name) == 0, "layout");
_Static_assert(offsetof(gaia_upstream, host) == 8, "layout");
_Static_assert(offsetof(gaia_upstream, weight) == 16, "layout");
_Static_assert(offsetof(gaia_upstream, healthy) == 20, "layout");
_Static_assert(offsetof(gaia_upstream, in_flight) == 24, "layout");
_Static_assert(offsetof(gaia_upstream, error_rate) == 32, "layout");
_Static_assert(offsetof(gaia_upstream, p50) == 40, "layout");
_Static_assert(offsetof(gaia_upstream, p95) == 48, "layout");
_Static_assert(offsetof(gaia_upstream, remaining) == 56, "layout");
_Static_assert(sizeof(gaia_upstream) == 64, "layout");

/* header of the metrics area; f64[count] follow it */
typedef struct {
  uint64_t version; /* changes with every block; 0: there was none yet */
  uint32_t count; /* how many numbers follow */
  uint32_t layout; /* hash of their names: a guest can refuse a layout it was not built for */
} gaia_metrics;
_Static_assert(offsetof(gaia_metrics, version) == 0, "layout");
_Static_assert(offsetof(gaia_metrics, count) == 8, "layout");
_Static_assert(offsetof(gaia_metrics, layout) == 12, "layout");
_Static_assert(sizeof(gaia_metrics) == 16, "layout");

/* what limiter_peek writes */
typedef struct {
  int64_t wait; /* ns to wait: before acting where there is enough, until there is where not */
  int64_t limit; /* burst, maximum or learned quota; 0 unknown */
  int64_t remaining; /* whole units left, -1 unknown */
  int64_t reset; /* ns until it is full again */
} gaia_peek;
_Static_assert(offsetof(gaia_peek, wait) == 0, "layout");
_Static_assert(offsetof(gaia_peek, limit) == 8, "layout");
_Static_assert(offsetof(gaia_peek, remaining) == 16, "layout");
_Static_assert(offsetof(gaia_peek, reset) == 24, "layout");
_Static_assert(sizeof(gaia_peek) == 32, "layout");

/* what state_get writes */
typedef struct {
  double number; /* a number; a bool as 0 or 1 */
  uint32_t length; /* full bytes of a text or of bytes, whatever the buffer took */
  uint32_t kind; /* see the kinds of values */
} gaia_value;
_Static_assert(offsetof(gaia_value, number) == 0, "layout");
_Static_assert(offsetof(gaia_value, length) == 8, "layout");
_Static_assert(offsetof(gaia_value, kind) == 12, "layout");
_Static_assert(sizeof(gaia_value) == 16, "layout");

/* a text in the guest's own memory: an entry of the list given to pick */
typedef struct {
  uint32_t pointer; /* where it starts */
  uint32_t length; /* its bytes */
} gaia_span;
_Static_assert(offsetof(gaia_span, pointer) == 0, "layout");
_Static_assert(offsetof(gaia_span, length) == 4, "layout");
_Static_assert(sizeof(gaia_span) == 8, "layout");

/* Functions of the host. */

/* declare a limiter while loading; params is a JSON object: its identifier */
__attribute__((import_module("gaia_v1"), import_name("limiter_open")))
int32_t gaia_host_limiter_open(int32_t kind, const void *name, int32_t name_len, const void *params, int32_t params_len);

/* take: a packed decision to return as it is, or a negative number */
__attribute__((import_module("gaia_v1"), import_name("limiter_admit")))
int64_t gaia_host_limiter_admit(int32_t id, const void *key, int32_t key_len, int64_t cost, int64_t max_wait);

/* take if it is there now: 1 taken, 0 not */
__attribute__((import_module("gaia_v1"), import_name("limiter_take")))
int32_t gaia_host_limiter_take(int32_t id, const void *key, int32_t key_len, int64_t cost);

/* look: 1 there is enough, 0 not; writes a peek structure */
__attribute__((import_module("gaia_v1"), import_name("limiter_peek")))
int32_t gaia_host_limiter_peek(int32_t id, const void *key, int32_t key_len, int64_t cost, void *out);

/* read what the answer says about limits: 0 */
__attribute__((import_module("gaia_v1"), import_name("limiter_learn")))
int32_t gaia_host_limiter_learn(int32_t id, const void *key, int32_t key_len);

/* close a key for a while, 0 opens it: 0 */
__attribute__((import_module("gaia_v1"), import_name("limiter_pause")))
int32_t gaia_host_limiter_pause(int32_t id, const void *key, int32_t key_len, int64_t duration);

/* replace the estimate by the true cost: 1, or 0 where nothing was taken */
__attribute__((import_module("gaia_v1"), import_name("limiter_settle")))
int32_t gaia_host_limiter_settle(int32_t id, const void *key, int32_t key_len, int64_t cost);

/* change parameters, a JSON object, and keep the counts: 0 */
__attribute__((import_module("gaia_v1"), import_name("limiter_set")))
int32_t gaia_host_limiter_set(int32_t id, const void *params, int32_t params_len);

/* read: the kind of the value; writes a value structure, and a text or bytes into buf */
__attribute__((import_module("gaia_v1"), import_name("state_get")))
int32_t gaia_host_state_get(const void *key, int32_t key_len, void *out, void *buf, int32_t cap);

/* write, with a time to live, 0 for ever: 0 */
__attribute__((import_module("gaia_v1"), import_name("state_set")))
int32_t gaia_host_state_set(const void *key, int32_t key_len, int32_t kind, double num, const void *text, int32_t text_len, int64_t ttl);

/* remove: 1 it was there, 0 not */
__attribute__((import_module("gaia_v1"), import_name("state_delete")))
int32_t gaia_host_state_delete(const void *key, int32_t key_len);

/* add to a number, absent counts as 0: the sum, NaN on failure */
__attribute__((import_module("gaia_v1"), import_name("state_incr")))
double gaia_host_state_incr(const void *key, int32_t key_len, double by, int64_t ttl);

/* write if the value is as expected (none: absent; writing none removes): 1 written, 0 not */
__attribute__((import_module("gaia_v1"), import_name("state_compare_and_set")))
int32_t gaia_host_state_compare_and_set(const void *key, int32_t key_len, int32_t old_kind, double old_num, const void *old_text, int32_t old_text_len, int32_t kind, double num, const void *text, int32_t text_len, int64_t ttl);

/* write if there is no value: 1 written, 0 not */
__attribute__((import_module("gaia_v1"), import_name("state_set_if_absent")))
int32_t gaia_host_state_set_if_absent(const void *key, int32_t key_len, int32_t kind, double num, const void *text, int32_t text_len, int64_t ttl);

/* declare a number of the policy's own while loading: its identifier */
__attribute__((import_module("gaia_v1"), import_name("metric_open")))
int32_t gaia_host_metric_open(int32_t kind, const void *name, int32_t name_len);

/* add to it: 0 */
__attribute__((import_module("gaia_v1"), import_name("metric_add")))
int32_t gaia_host_metric_add(int32_t id, double by);

/* set a gauge: 0 */
__attribute__((import_module("gaia_v1"), import_name("metric_set")))
int32_t gaia_host_metric_set(int32_t id, double to);

/* one of the host's numbers now; NaN where there is none */
__attribute__((import_module("gaia_v1"), import_name("metric_get")))
double gaia_host_metric_get(int32_t subsystem, const void *name, int32_t name_len);

/* stable hash of 53 bits, the same as in JavaScript */
__attribute__((import_module("gaia_v1"), import_name("hash")))
int64_t gaia_host_hash(const void *text, int32_t text_len);

/* rendezvous hashing over count spans: the index, -1 for an empty list */
__attribute__((import_module("gaia_v1"), import_name("pick")))
int32_t gaia_host_pick(const void *key, int32_t key_len, const gaia_span *list, int32_t count);

/* one of the operator's parameters as JSON: its length, or absent */
__attribute__((import_module("gaia_v1"), import_name("param")))
int32_t gaia_host_param(const void *name, int32_t name_len, void *buf, int32_t cap);

/* a granted environment variable: its length, or absent */
__attribute__((import_module("gaia_v1"), import_name("env")))
int32_t gaia_host_env(const void *name, int32_t name_len, void *buf, int32_t cap);

/* write a log line, rate-limited */
__attribute__((import_module("gaia_v1"), import_name("log")))
void gaia_host_log(int32_t level, const void *text, int32_t text_len);

/* give up with a message: the hook ends here */
__attribute__((import_module("gaia_v1"), import_name("fail")))
void gaia_host_fail(const void *text, int32_t text_len);

/* a field of the request: its length, or absent */
__attribute__((import_module("gaia_v1"), import_name("request_header")))
int32_t gaia_host_request_header(const void *name, int32_t name_len, void *buf, int32_t cap);

/* a body scalar of the request: its length, or absent */
__attribute__((import_module("gaia_v1"), import_name("request_body")))
int32_t gaia_host_request_body(const void *name, int32_t name_len, void *buf, int32_t cap);

/* a field of the answer: its length, or absent */
__attribute__((import_module("gaia_v1"), import_name("response_header")))
int32_t gaia_host_response_header(const void *name, int32_t name_len, void *buf, int32_t cap);

/* a body scalar of the answer: its length, or absent */
__attribute__((import_module("gaia_v1"), import_name("response_body")))
int32_t gaia_host_response_body(const void *name, int32_t name_len, void *buf, int32_t cap);

/* a text of the frame, whole: its length */
__attribute__((import_module("gaia_v1"), import_name("request_text")))
int32_t gaia_host_request_text(int32_t which, void *buf, int32_t cap);

/* while loading: make one limiter of at most 8, named by i32 identifiers; its own */
__attribute__((import_module("gaia_v1"), import_name("limiter_all")))
int32_t gaia_host_limiter_all(const int32_t *ids, int32_t count);

/* limiter_admit of such a limiter with an i64 cost for each */
__attribute__((import_module("gaia_v1"), import_name("limiter_admit_costs")))
int64_t gaia_host_limiter_admit_costs(int32_t id, const void *key, int32_t key_len, const int64_t *costs, int32_t count, int64_t max_wait);

#endif
