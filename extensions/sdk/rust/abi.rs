// Generated from extensions/wasm/abi by `go generate`; do not edit.
#![allow(dead_code)]

use super::{text, Limiter};

pub const MINOR: i32 = 1;
pub const SCRATCH_SIZE: usize = 16384;
pub const FRAME_AT: usize = 0;
pub const FRAME_AREA: usize = 8192;
pub const METRICS_AT: usize = 8192;
pub const METRICS_AREA: usize = 4096;
pub const ANSWER_AT: usize = 12288;
pub const ANSWER_AREA: usize = 4096;
pub const FRAME_UPSTREAMS: usize = 176;

// flags of a frame
pub const FLAG_TRUNCATED: i32 = 1; // a text did not fit and was cut; request_text gives the whole
pub const FLAG_UPSTREAMS_TRUNCATED: i32 = 2; // not all upstreams fit
pub const FLAG_METRICS_TRUNCATED: i32 = 4; // not all numbers fit into the metrics area

// hooks, and their bits in the result of gaia_hooks: 1 << hook
pub const HOOK_REQUEST: i32 = 0; // before an attempt
pub const HOOK_ROUTE: i32 = 1; // which upstream, where the request hook named none
pub const HOOK_RESPONSE: i32 = 2; // at the headers of the answer
pub const HOOK_DONE: i32 = 3; // at its end
pub const HOOK_TICK: i32 = 4; // once a second

// actions of a packed decision
pub const ACTION_NONE: i32 = 0; // no opinion
pub const ACTION_ALLOW: i32 = 1; // go, with the changes the decision names
pub const ACTION_DENY: i32 = 2; // do not go; the milliseconds say when to come back
pub const ACTION_DELAY: i32 = 3; // go after the milliseconds
pub const ACTION_ROUTE: i32 = 4; // go to an upstream: the record upstream names it; in the route hook the low 32 bits are its index where there is no such record
pub const ACTION_RETRY: i32 = 5; // response hook: try again after the milliseconds

// places in the packed decision
pub const WORD_ARG_SHIFT: i32 = 0; // 32 bits: milliseconds, or an index
pub const WORD_STATUS_SHIFT: i32 = 32; // 10 bits: status of a denial, 0 is 429
pub const WORD_HANDLE_SHIFT: i32 = 42; // 6 bits: which limiter_admit of this hook it stands for, set by the host; 0 none
pub const WORD_REASON_SHIFT: i32 = 48; // 8 bits: index, from 1, into the manifest's reasons; 0 none
pub const WORD_ACTION_SHIFT: i32 = 56; // 4 bits: the action
pub const WORD_EXT_BIT: i32 = 62; // records follow in the answer area
pub const WORD_ERROR_BIT: i32 = 63; // the guest failed

// records of the answer area: u16 tag, u16 length, value
pub const RECORD_UPSTREAM: i32 = 1; // text: name of an upstream
pub const RECORD_TIMEOUT: i32 = 2; // i64: ns that the attempt may take
pub const RECORD_COST: i32 = 3; // i64: units
pub const RECORD_PRIORITY: i32 = 4; // i32: 0 to 9
pub const RECORD_KEY: i32 = 5; // text: configured limits count on it
pub const RECORD_HEADER: i32 = 6; // u16 length of the name, name, value: set on the request to the upstream; may be repeated
pub const RECORD_REASON: i32 = 7; // text: why
pub const RECORD_DELAY: i32 = 8; // i64: ns, in place of the milliseconds of the packed decision

// errors of imported functions
pub const ERROR_ABSENT: i32 = -1; // there is no such value
pub const ERROR_ARGUMENT: i32 = -2; // an unknown identifier or a value out of range
pub const ERROR_PHASE: i32 = -3; // declaring in a hook, or using a limiter or writing state while loading
pub const ERROR_GRANT: i32 = -4; // not granted by the operator
pub const ERROR_FULL: i32 = -5; // too large, or no room
pub const ERROR_CONTEXT: i32 = -6; // there is no request or no answer in this hook
pub const ERROR_KIND: i32 = -7; // the stored value is of another kind

// kinds of limiter
pub const LIMITER_TOKEN_BUCKET: i32 = 1; // rate, per, burst, maxWait
pub const LIMITER_CONCURRENCY: i32 = 2; // max, maxQueue, maxWait, order
pub const LIMITER_UPSTREAM: i32 = 3; // learns from the upstream's answers: unit, maxWait
pub const LIMITER_FIXED_WINDOW: i32 = 4; // max, per, unit, maxWait
pub const LIMITER_SLIDING_WINDOW: i32 = 5; // max, per, unit, maxWait
pub const LIMITER_SLIDING_LOG: i32 = 6; // max, per, maxWait
pub const LIMITER_ADAPTIVE: i32 = 7; // algorithm, min, max
pub const LIMITER_THROTTLE: i32 = 8; // ratio, min, per
pub const LIMITER_RETRY_BUDGET: i32 = 9; // ratio, min, per
pub const LIMITER_FAIR: i32 = 10; // rate, per, burst, weights, maxWait
pub const LIMITER_CALENDAR: i32 = 11; // max, every, zone, maxWait

// kinds of a policy's own number
pub const METRIC_COUNTER: i32 = 0; // only grows
pub const METRIC_GAUGE: i32 = 1; // goes up and down

// kinds of values in the state
pub const VALUE_NONE: i32 = 0; // absent
pub const VALUE_NUMBER: i32 = 1; // an f64, finite
pub const VALUE_TEXT: i32 = 2; // UTF-8
pub const VALUE_BOOL: i32 = 3; // true or false
pub const VALUE_BYTES: i32 = 4; // anything

// levels of log
pub const LEVEL_DEBUG: i32 = -4;
pub const LEVEL_INFO: i32 = 0;
pub const LEVEL_WARN: i32 = 4;
pub const LEVEL_ERROR: i32 = 8;

// texts of request_text
pub const TEXT_ACTION: i32 = 0;
pub const TEXT_KEY: i32 = 1;
pub const TEXT_METHOD: i32 = 2;
pub const TEXT_HOST: i32 = 3;
pub const TEXT_TENANT: i32 = 4;
pub const TEXT_PATH: i32 = 5;
pub const TEXT_URL: i32 = 6;

/// an operation that somebody asks for; valid until the hook returns
#[repr(C, align(8))]
pub struct Request([u8; 240]);

impl Request {
    /// minor version of the host
    #[inline(always)]
    pub fn minor(&self) -> u16 {
        self.at(4)
    }
    /// see the flags of a frame
    #[inline(always)]
    pub fn flags(&self) -> u16 {
        self.at(6)
    }
    /// which hook this is
    #[inline(always)]
    pub fn hook(&self) -> u32 {
        self.at(8)
    }
    /// who asks: 0 api, 1 files, 2 browser, 3 process, 4 network
    #[inline(always)]
    pub fn subsystem(&self) -> u32 {
        self.at(12)
    }
    /// 1 for the first
    #[inline(always)]
    pub fn attempt(&self) -> u32 {
        self.at(16)
    }
    /// 0 to 9, 5 is normal
    #[inline(always)]
    pub fn priority(&self) -> i32 {
        self.at(20)
    }
    /// the clock, in ns since 1970
    #[inline(always)]
    pub fn now(&self) -> i64 {
        self.at(24)
    }
    /// when the caller gives up, in ns since 1970; 0 never
    #[inline(always)]
    pub fn deadline(&self) -> i64 {
        self.at(32)
    }
    /// units of the limits, 1 unless told
    #[inline(always)]
    pub fn cost(&self) -> i64 {
        self.at(40)
    }
    /// bytes of the body, -1 unknown
    #[inline(always)]
    pub fn size(&self) -> i64 {
        self.at(48)
    }
    /// hash of key, as the import hash gives it
    #[inline(always)]
    pub fn key_hash(&self) -> u64 {
        self.at(56)
    }
    /// hash of tenant
    #[inline(always)]
    pub fn tenant_hash(&self) -> u64 {
        self.at(64)
    }
    /// request, read, launch, ...
    #[inline(always)]
    pub fn action(&self) -> &[u8] {
        text(self.at(72), self.at(76))
    }
    /// what limits count on
    #[inline(always)]
    pub fn key(&self) -> &[u8] {
        text(self.at(80), self.at(84))
    }
    /// as in HTTP
    #[inline(always)]
    pub fn method(&self) -> &[u8] {
        text(self.at(88), self.at(92))
    }
    /// lower case, with a port only where it is not the default
    #[inline(always)]
    pub fn host(&self) -> &[u8] {
        text(self.at(96), self.at(100))
    }
    /// whom the operation is for
    #[inline(always)]
    pub fn tenant(&self) -> &[u8] {
        text(self.at(104), self.at(108))
    }
    /// of the URL or file
    #[inline(always)]
    pub fn path(&self) -> &[u8] {
        text(self.at(112), self.at(116))
    }
    /// as it will be sent, without credentials
    #[inline(always)]
    pub fn url(&self) -> &[u8] {
        text(self.at(120), self.at(124))
    }
    /// operations of this subsystem and key that are under way
    #[inline(always)]
    pub fn in_flight(&self) -> i64 {
        self.at(128)
    }
    /// operations that wait to start
    #[inline(always)]
    pub fn queued(&self) -> i64 {
        self.at(136)
    }
    /// ended operations per second
    #[inline(always)]
    pub fn rate(&self) -> f64 {
        self.at(144)
    }
    /// share of them that failed, 0 to 1
    #[inline(always)]
    pub fn error_rate(&self) -> f64 {
        self.at(152)
    }
    /// median duration in ns
    #[inline(always)]
    pub fn p50(&self) -> i64 {
        self.at(160)
    }
    /// 95th percentile of the durations in ns
    #[inline(always)]
    pub fn p95(&self) -> i64 {
        self.at(168)
    }
    /// route hook: how many are in the frame
    #[inline(always)]
    pub fn upstream_count(&self) -> u32 {
        self.at(180)
    }
    #[inline(always)]
    pub(super) fn at<T: Copy>(&self, offset: usize) -> T {
        unsafe { (self.0.as_ptr().add(offset) as *const T).read() }
    }
}

/// how an attempt ended; valid until the hook returns
#[repr(C, align(8))]
pub struct Response([u8; 240]);

impl Response {
    /// response and done hooks: the status, 0 where there was no answer
    #[inline(always)]
    pub fn status(&self) -> u32 {
        self.at(184)
    }
    /// since the attempt started, in ns
    #[inline(always)]
    pub fn duration(&self) -> i64 {
        self.at(192)
    }
    /// of the answer's body, -1 while it is not known
    #[inline(always)]
    pub fn bytes(&self) -> i64 {
        self.at(200)
    }
    /// as the upstream asked, in ns; 0 where it did not
    #[inline(always)]
    pub fn retry_after(&self) -> i64 {
        self.at(208)
    }
    /// when the attempt left, in ns since 1970
    #[inline(always)]
    pub fn sent(&self) -> i64 {
        self.at(216)
    }
    /// kind of failure, empty where there was an answer
    #[inline(always)]
    pub fn error(&self) -> &[u8] {
        text(self.at(224), self.at(228))
    }
    /// name of the upstream that answered
    #[inline(always)]
    pub fn upstream(&self) -> &[u8] {
        text(self.at(232), self.at(236))
    }
    #[inline(always)]
    pub(super) fn at<T: Copy>(&self, offset: usize) -> T {
        unsafe { (self.0.as_ptr().add(offset) as *const T).read() }
    }
}

/// a second has passed
#[repr(C, align(8))]
pub struct Tick([u8; 240]);

impl Tick {
    /// the clock, in ns since 1970
    #[inline(always)]
    pub fn now(&self) -> i64 {
        self.at(24)
    }
    #[inline(always)]
    pub(super) fn at<T: Copy>(&self, offset: usize) -> T {
        unsafe { (self.0.as_ptr().add(offset) as *const T).read() }
    }
}

/// one candidate of the route hook
#[repr(C, align(8))]
pub struct Upstream([u8; 64]);

impl Upstream {
    /// what a decision names
    #[inline(always)]
    pub fn name(&self) -> &[u8] {
        text(self.at(0), self.at(4))
    }
    /// its host
    #[inline(always)]
    pub fn host(&self) -> &[u8] {
        text(self.at(8), self.at(12))
    }
    /// its configured weight
    #[inline(always)]
    pub fn weight(&self) -> i32 {
        self.at(16)
    }
    /// 1 healthy, 0 not
    #[inline(always)]
    pub fn healthy(&self) -> u32 {
        self.at(20)
    }
    /// operations under way
    #[inline(always)]
    pub fn in_flight(&self) -> i64 {
        self.at(24)
    }
    /// share of operations that failed, 0 to 1
    #[inline(always)]
    pub fn error_rate(&self) -> f64 {
        self.at(32)
    }
    /// median duration in ns
    #[inline(always)]
    pub fn p50(&self) -> i64 {
        self.at(40)
    }
    /// 95th percentile of the durations in ns
    #[inline(always)]
    pub fn p95(&self) -> i64 {
        self.at(48)
    }
    /// what its limits have left, -1 unknown
    #[inline(always)]
    pub fn remaining(&self) -> i64 {
        self.at(56)
    }
    #[inline(always)]
    pub(super) fn at<T: Copy>(&self, offset: usize) -> T {
        unsafe { (self.0.as_ptr().add(offset) as *const T).read() }
    }
}

/// what limiter_peek writes
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Peek {
    /// ns to wait: before acting where there is enough, until there is where not
    pub wait: i64,
    /// burst, maximum or learned quota; 0 unknown
    pub limit: i64,
    /// whole units left, -1 unknown
    pub remaining: i64,
    /// ns until it is full again
    pub reset: i64,
}
const _: [(); 32] = [(); core::mem::size_of::<Peek>()];

/// what state_get writes
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Value {
    /// a number; a bool as 0 or 1
    pub number: f64,
    /// full bytes of a text or of bytes, whatever the buffer took
    pub length: u32,
    /// see the kinds of values
    pub kind: u32,
}
const _: [(); 16] = [(); core::mem::size_of::<Value>()];

/// a text in the guest's own memory: an entry of the list given to pick
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Span {
    /// where it starts
    pub pointer: u32,
    /// its bytes
    pub length: u32,
}
const _: [(); 8] = [(); core::mem::size_of::<Span>()];

// Limiters, one constructor for each kind; params is a JSON object.

/// rate, per, burst, maxWait
pub const fn token_bucket(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_TOKEN_BUCKET, name, params)
}

/// max, maxQueue, maxWait, order
pub const fn concurrency(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_CONCURRENCY, name, params)
}

/// learns from the upstream's answers: unit, maxWait
pub const fn upstream_limiter(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_UPSTREAM, name, params)
}

/// max, per, unit, maxWait
pub const fn fixed_window(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_FIXED_WINDOW, name, params)
}

/// max, per, unit, maxWait
pub const fn sliding_window(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_SLIDING_WINDOW, name, params)
}

/// max, per, maxWait
pub const fn sliding_log(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_SLIDING_LOG, name, params)
}

/// algorithm, min, max
pub const fn adaptive(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_ADAPTIVE, name, params)
}

/// ratio, min, per
pub const fn throttle(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_THROTTLE, name, params)
}

/// ratio, min, per
pub const fn retry_budget(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_RETRY_BUDGET, name, params)
}

/// rate, per, burst, weights, maxWait
pub const fn fair(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_FAIR, name, params)
}

/// max, every, zone, maxWait
pub const fn calendar(name: &'static str, params: &'static str) -> Limiter {
    Limiter::new(LIMITER_CALENDAR, name, params)
}

/// Functions of the host.
pub mod host {
    #[link(wasm_import_module = "gaia_v1")]
    extern "C" {
        /// declare a limiter while loading; params is a JSON object: its identifier
        pub fn limiter_open(kind: i32, name: *const u8, name_len: i32, params: *const u8, params_len: i32) -> i32;
        /// take: a packed decision to return as it is, or a negative number
        pub fn limiter_admit(id: i32, key: *const u8, key_len: i32, cost: i64, max_wait: i64) -> i64;
        /// take if it is there now: 1 taken, 0 not
        pub fn limiter_take(id: i32, key: *const u8, key_len: i32, cost: i64) -> i32;
        /// look: 1 there is enough, 0 not; writes a peek structure
        pub fn limiter_peek(id: i32, key: *const u8, key_len: i32, cost: i64, out: *mut u8) -> i32;
        /// read what the answer says about limits: 0
        pub fn limiter_learn(id: i32, key: *const u8, key_len: i32) -> i32;
        /// close a key for a while, 0 opens it: 0
        pub fn limiter_pause(id: i32, key: *const u8, key_len: i32, duration: i64) -> i32;
        /// replace the estimate by the true cost: 1, or 0 where nothing was taken
        pub fn limiter_settle(id: i32, key: *const u8, key_len: i32, cost: i64) -> i32;
        /// change parameters, a JSON object, and keep the counts: 0
        pub fn limiter_set(id: i32, params: *const u8, params_len: i32) -> i32;
        /// read: the kind of the value; writes a value structure, and a text or bytes into buf
        pub fn state_get(key: *const u8, key_len: i32, out: *mut u8, buf: *mut u8, cap: i32) -> i32;
        /// write, with a time to live, 0 for ever: 0
        pub fn state_set(key: *const u8, key_len: i32, kind: i32, num: f64, text: *const u8, text_len: i32, ttl: i64) -> i32;
        /// remove: 1 it was there, 0 not
        pub fn state_delete(key: *const u8, key_len: i32) -> i32;
        /// add to a number, absent counts as 0: the sum, NaN on failure
        pub fn state_incr(key: *const u8, key_len: i32, by: f64, ttl: i64) -> f64;
        /// write if the value is as expected (none: absent; writing none removes): 1 written, 0 not
        pub fn state_compare_and_set(key: *const u8, key_len: i32, old_kind: i32, old_num: f64, old_text: *const u8, old_text_len: i32, kind: i32, num: f64, text: *const u8, text_len: i32, ttl: i64) -> i32;
        /// write if there is no value: 1 written, 0 not
        pub fn state_set_if_absent(key: *const u8, key_len: i32, kind: i32, num: f64, text: *const u8, text_len: i32, ttl: i64) -> i32;
        /// declare a number of the policy's own while loading: its identifier
        pub fn metric_open(kind: i32, name: *const u8, name_len: i32) -> i32;
        /// add to it: 0
        pub fn metric_add(id: i32, by: f64) -> i32;
        /// set a gauge: 0
        pub fn metric_set(id: i32, to: f64) -> i32;
        /// one of the host's numbers now; NaN where there is none
        pub fn metric_get(subsystem: i32, name: *const u8, name_len: i32) -> f64;
        /// stable hash of 53 bits, the same as in JavaScript
        pub fn hash(text: *const u8, text_len: i32) -> i64;
        /// rendezvous hashing over count spans: the index, -1 for an empty list
        pub fn pick(key: *const u8, key_len: i32, list: *const super::Span, count: i32) -> i32;
        /// one of the operator's parameters as JSON: its length, or absent
        pub fn param(name: *const u8, name_len: i32, buf: *mut u8, cap: i32) -> i32;
        /// a granted environment variable: its length, or absent
        pub fn env(name: *const u8, name_len: i32, buf: *mut u8, cap: i32) -> i32;
        /// write a log line, rate-limited
        pub fn log(level: i32, text: *const u8, text_len: i32);
        /// give up with a message: the hook ends here
        pub fn fail(text: *const u8, text_len: i32);
        /// a field of the request: its length, or absent
        pub fn request_header(name: *const u8, name_len: i32, buf: *mut u8, cap: i32) -> i32;
        /// a body scalar of the request: its length, or absent
        pub fn request_body(name: *const u8, name_len: i32, buf: *mut u8, cap: i32) -> i32;
        /// a field of the answer: its length, or absent
        pub fn response_header(name: *const u8, name_len: i32, buf: *mut u8, cap: i32) -> i32;
        /// a body scalar of the answer: its length, or absent
        pub fn response_body(name: *const u8, name_len: i32, buf: *mut u8, cap: i32) -> i32;
        /// a text of the frame, whole: its length
        pub fn request_text(which: i32, buf: *mut u8, cap: i32) -> i32;
        /// while loading: make one limiter of at most 8, named by i32 identifiers; its own
        pub fn limiter_all(ids: *const i32, count: i32) -> i32;
        /// limiter_admit of such a limiter with an i64 cost for each
        pub fn limiter_admit_costs(id: i32, key: *const u8, key_len: i32, costs: *const i64, count: i32, max_wait: i64) -> i64;
    }
}
