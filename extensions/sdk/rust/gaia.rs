//! The kit for gaia policies in Rust: no_std, no crates, nothing allocated.
//!
//! A policy declares what it needs as statics, has functions named after the hooks, and names both to one macro:
//!
//! ```ignore
//! static PER_HOST: Limiter = token_bucket("per-host", r#"{"rate": 10, "burst": 20, "maxWait": "2s"}"#);
//!
//! fn on_request(_req: &Request) -> Decision {
//!     PER_HOST.admit()
//! }
//!
//! gaia::policy!(open PER_HOST; on_request);
//! ```
//!
//! | function | |
//! |---|---|
//! | `fn setup() -> Result<(), &'static str>` | once for each instance, after `open`: read parameters; an error refuses to load |
//! | `fn on_request(&Request) -> Decision` | before an attempt |
//! | `fn on_route(&Request) -> Decision` | which of `upstreams(req)` |
//! | `fn on_response(&Request, &Response) -> Decision` | at the headers of the answer |
//! | `fn on_done(&Request, &Response)` | at its end |
//! | `fn on_tick(&Tick)` | once a second |
//!
//! Times in a request are nanoseconds, in builders milliseconds. Texts are bytes: what others send need not be UTF-8. Statics
//! belong to one instance of several, unless the policy's isolation is "single": what is shared goes into a limiter or the state.
#![allow(dead_code)]

mod abi;

pub use abi::*;

use core::cell::Cell;
use core::ptr::addr_of_mut;

#[repr(C, align(16))]
pub struct Area([u8; SCRATCH_SIZE]);

static mut AREA: Area = Area([0; SCRATCH_SIZE]);

/// The scratch area: a raw pointer, because the host writes to it.
#[inline(always)]
pub fn area() -> *mut u8 {
    unsafe { addr_of_mut!(AREA) as *mut u8 }
}

#[inline(always)]
fn text<'a>(offset: u32, length: u32) -> &'a [u8] {
    unsafe { core::slice::from_raw_parts(area().add(offset as usize), length as usize) }
}

/// Cut what a host call says it copied to what the buffer took; None where there is nothing.
fn copied(buf: &[u8], n: i32) -> Option<&[u8]> {
    if n < 0 {
        return None;
    }
    Some(&buf[..core::cmp::min(n as usize, buf.len())])
}

fn ns(ms: u32) -> i64 {
    ms as i64 * 1_000_000
}

// Decisions.

/// What a hook answers. `NONE` is no opinion.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Decision(pub u64);

pub const NONE: Decision = Decision(0);

const EXT: u64 = 1 << WORD_EXT_BIT;

const fn word(action: i32, status: u32, arg: u32) -> Decision {
    Decision((action as u64) << WORD_ACTION_SHIFT | (status as u64) << WORD_STATUS_SHIFT | arg as u64)
}

pub const fn allow() -> Decision {
    word(ACTION_ALLOW, 0, 0)
}

/// Refuse with a status, 0 is 429, and a time to come back.
pub const fn deny(status: u32, retry_after_ms: u32) -> Decision {
    word(ACTION_DENY, status, retry_after_ms)
}

pub const fn delay(ms: u32) -> Decision {
    word(ACTION_DELAY, 0, ms)
}

/// Response hook: try again.
pub const fn retry(after_ms: u32) -> Decision {
    word(ACTION_RETRY, 0, after_ms)
}

/// Route hook: the upstream with that index.
pub const fn route_index(index: u32) -> Decision {
    word(ACTION_ROUTE, 0, index)
}

/// Go to the upstream of that name.
pub fn route(name: &[u8]) -> Decision {
    word(ACTION_ROUTE, 0, 0).upstream(name)
}

/// Changes are written to the answer area: build one decision at a time, last before the hook returns.
impl Decision {
    /// The reason with that index, from 1, in the manifest's "reasons".
    pub const fn because(self, reason: u8) -> Decision {
        Decision(self.0 | (reason as u64) << WORD_REASON_SHIFT)
    }
    pub fn upstream(self, name: &[u8]) -> Decision {
        self.record(RECORD_UPSTREAM, &[name])
    }
    pub fn key(self, key: &[u8]) -> Decision {
        self.record(RECORD_KEY, &[key])
    }
    pub fn reason(self, why: &[u8]) -> Decision {
        self.record(RECORD_REASON, &[why])
    }
    pub fn timeout(self, ms: u32) -> Decision {
        self.record(RECORD_TIMEOUT, &[&ns(ms).to_le_bytes()])
    }
    pub fn cost(self, cost: i64) -> Decision {
        self.record(RECORD_COST, &[&cost.to_le_bytes()])
    }
    pub fn priority(self, priority: i32) -> Decision {
        self.record(RECORD_PRIORITY, &[&priority.to_le_bytes()])
    }
    /// Set a field of the request to the upstream.
    pub fn header(self, name: &[u8], value: &[u8]) -> Decision {
        self.record(RECORD_HEADER, &[&(name.len() as u16).to_le_bytes(), name, value])
    }

    fn record(self, tag: i32, parts: &[&[u8]]) -> Decision {
        let answer = unsafe { core::slice::from_raw_parts_mut(area().add(ANSWER_AT), ANSWER_AREA) };
        let mut used = 0;
        if self.0 & EXT != 0 {
            used = u32::from_le_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
        }
        let start = 4 + used;
        let mut at = start + 4;
        for part in parts {
            answer[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let size = (at - start - 4) as u16;
        answer[start..start + 2].copy_from_slice(&(tag as u16).to_le_bytes());
        answer[start + 2..start + 4].copy_from_slice(&size.to_le_bytes());
        answer[..4].copy_from_slice(&((at - 4) as u32).to_le_bytes());
        Decision(self.0 | EXT)
    }
}

// What a hook is about.

/// The candidates of the route hook.
pub fn upstreams(req: &Request) -> &[Upstream] {
    const AT: usize = FRAME_UPSTREAMS;
    let (offset, count): (u32, u32) = (req.at(AT), req.at(AT + 4));
    if offset == 0 {
        return &[];
    }
    unsafe { core::slice::from_raw_parts(area().add(offset as usize) as *const Upstream, count as usize) }
}

macro_rules! lookup {
    ($(#[$doc:meta])* $name:ident, $call:ident) => {
        $(#[$doc])*
        pub fn $name<'a>(name: &str, buf: &'a mut [u8]) -> Option<&'a [u8]> {
            let n = unsafe { host::$call(name.as_ptr(), name.len() as i32, buf.as_mut_ptr(), buf.len() as i32) };
            copied(buf, n)
        }
    };
}

lookup!(/** A field of the request, cut to the buffer. */ header, request_header);
lookup!(/** A body scalar of the request that the options ask for. */ body, request_body);
lookup!(/** A field of the answer. */ response_header, response_header);
lookup!(/** A body scalar of the answer. */ response_body, response_body);
lookup!(/** One of the operator's parameters, as JSON. */ param, param);
lookup!(/** A granted environment variable. */ env, env);

/// A text of the request that the frame had to cut, whole: `which` is one of TEXT_*.
pub fn request_text(which: i32, buf: &mut [u8]) -> Option<&[u8]> {
    let n = unsafe { host::request_text(which, buf.as_mut_ptr(), buf.len() as i32) };
    copied(buf, n)
}

/// One of the host's numbers now, by the number of the subsystem; NaN where there is none.
pub fn metric(subsystem: i32, name: &str) -> f64 {
    unsafe { host::metric_get(subsystem, name.as_ptr(), name.len() as i32) }
}

/// A stable hash of 53 bits, the same as in JavaScript.
pub fn hash(text: &[u8]) -> i64 {
    unsafe { host::hash(text.as_ptr(), text.len() as i32) }
}

impl Span {
    pub fn of(text: &[u8]) -> Span {
        Span { pointer: text.as_ptr() as u32, length: text.len() as u32 }
    }
}

/// Rendezvous hashing: the index of the entry that a key belongs to.
pub fn pick(key: &[u8], list: &[Span]) -> Option<usize> {
    let n = unsafe { host::pick(key.as_ptr(), key.len() as i32, list.as_ptr(), list.len() as i32) };
    if n < 0 {
        return None;
    }
    Some(n as usize)
}

/// Write a log line; level is one of LEVEL_*.
pub fn log(level: i32, text: &str) {
    unsafe { host::log(level, text.as_ptr(), text.len() as i32) }
}

/// Give up with a message: the hook ends here.
pub fn fail(text: &str) -> ! {
    unsafe {
        host::fail(text.as_ptr(), text.len() as i32);
    }
    core::arch::wasm32::unreachable()
}

// Limiters.

/// A limiter that lives in the host: a static, opened by the macro.
pub struct Limiter {
    kind: i32,
    name: &'static str,
    params: &'static str,
    id: Cell<i32>,
}

// A module has one thread.
unsafe impl Sync for Limiter {}

const REQUEST: i64 = -1;

/// One limiter of several: `static BOTH: Limiter = all();`, and in setup `BOTH.open_all(&[&A, &B])`.
pub const fn all() -> Limiter {
    Limiter::new(0, "", "")
}

impl Limiter {
    pub const fn new(kind: i32, name: &'static str, params: &'static str) -> Limiter {
        Limiter { kind, name, params, id: Cell::new(0) }
    }
    /// Declare it; while loading. A failure refuses to load.
    pub fn open(&self) {
        let (n, p) = (self.name, self.params);
        self.id.set(unsafe { host::limiter_open(self.kind, n.as_ptr(), n.len() as i32, p.as_ptr(), p.len() as i32) });
    }
    /// Declare one limiter of several opened ones, at most 8: a take is of all or of none. In setup.
    pub fn open_all(&self, of: &[&Limiter]) {
        let mut ids = [0i32; 8];
        for (id, l) in ids[..of.len()].iter_mut().zip(of) {
            *id = l.id.get();
        }
        self.id.set(unsafe { host::limiter_all(ids.as_ptr(), of.len() as i32) });
    }
    /// Take for the request, and return the result from the hook: allow, a wait, or a denial with the time to come back.
    #[inline]
    pub fn admit(&self) -> Decision {
        Decision(unsafe { host::limiter_admit(self.id.get(), core::ptr::null(), -1, REQUEST, -1) } as u64)
    }
    pub fn admit_key(&self, key: &[u8], cost: i64) -> Decision {
        Decision(unsafe { host::limiter_admit(self.id.get(), key.as_ptr(), key.len() as i32, cost, -1) } as u64)
    }
    /// As admit_key, with a longest wait other than the declared one.
    pub fn admit_within(&self, key: &[u8], cost: i64, max_wait_ms: u32) -> Decision {
        Decision(unsafe { host::limiter_admit(self.id.get(), key.as_ptr(), key.len() as i32, cost, ns(max_wait_ms)) } as u64)
    }
    /// Of open_all, with a cost for each.
    pub fn admit_costs(&self, costs: &[i64]) -> Decision {
        Decision(unsafe { host::limiter_admit_costs(self.id.get(), core::ptr::null(), -1, costs.as_ptr(), costs.len() as i32, -1) } as u64)
    }
    #[inline]
    pub fn take(&self) -> bool {
        unsafe { host::limiter_take(self.id.get(), core::ptr::null(), -1, REQUEST) == 1 }
    }
    pub fn take_key(&self, key: &[u8], cost: i64) -> bool {
        unsafe { host::limiter_take(self.id.get(), key.as_ptr(), key.len() as i32, cost) == 1 }
    }
    /// Look, consume nothing: whether there is enough, and the level.
    pub fn peek(&self, key: &[u8], cost: i64) -> (bool, Peek) {
        let mut level = Peek::default();
        let out = &mut level as *mut Peek as *mut u8;
        let ok = unsafe { host::limiter_peek(self.id.get(), key.as_ptr(), key.len() as i32, cost, out) == 1 };
        (ok, level)
    }
    /// Read what the answer of this hook says about limits.
    pub fn learn(&self) {
        unsafe { host::limiter_learn(self.id.get(), core::ptr::null(), -1) };
    }
    /// Close a key for a while; 0 opens it.
    pub fn pause(&self, key: &[u8], ms: u32) {
        unsafe { host::limiter_pause(self.id.get(), key.as_ptr(), key.len() as i32, ns(ms)) };
    }
    /// Replace the estimate for the request's key by the true cost.
    pub fn settle(&self, cost: i64) -> bool {
        unsafe { host::limiter_settle(self.id.get(), core::ptr::null(), -1, cost) == 1 }
    }
    /// New parameters, a JSON object; counts are kept.
    pub fn set(&self, params: &[u8]) -> bool {
        unsafe { host::limiter_set(self.id.get(), params.as_ptr(), params.len() as i32) == 0 }
    }
}

// State, shared by all instances.

#[derive(Clone, Copy, PartialEq)]
pub enum Stored<'a> {
    None,
    Number(f64),
    Text(&'a [u8]),
    Bool(bool),
    Bytes(&'a [u8]),
}

impl<'a> Stored<'a> {
    fn parts(self) -> (i32, f64, *const u8, i32) {
        match self {
            Stored::None => (VALUE_NONE, 0.0, core::ptr::null(), 0),
            Stored::Number(n) => (VALUE_NUMBER, n, core::ptr::null(), 0),
            Stored::Text(t) => (VALUE_TEXT, 0.0, t.as_ptr(), t.len() as i32),
            Stored::Bool(b) => (VALUE_BOOL, b as i32 as f64, core::ptr::null(), 0),
            Stored::Bytes(t) => (VALUE_BYTES, 0.0, t.as_ptr(), t.len() as i32),
        }
    }
}

pub mod state {
    use super::*;

    /// Read a value; a text is cut to the buffer.
    pub fn get<'a>(key: &[u8], buf: &'a mut [u8]) -> Stored<'a> {
        let mut v = Value::default();
        let out = &mut v as *mut Value as *mut u8;
        let kind = unsafe { host::state_get(key.as_ptr(), key.len() as i32, out, buf.as_mut_ptr(), buf.len() as i32) };
        let text = &buf[..core::cmp::min(v.length as usize, buf.len())];
        match kind {
            VALUE_NUMBER => Stored::Number(v.number),
            VALUE_TEXT => Stored::Text(text),
            VALUE_BOOL => Stored::Bool(v.number != 0.0),
            VALUE_BYTES => Stored::Bytes(text),
            _ => Stored::None,
        }
    }
    /// Write a value with a time to live, 0 for ever; false where it was refused.
    pub fn set(key: &[u8], value: Stored, ttl_ms: u32) -> bool {
        let (kind, num, text, len) = value.parts();
        unsafe { host::state_set(key.as_ptr(), key.len() as i32, kind, num, text, len, ns(ttl_ms)) == 0 }
    }
    /// Remove a value; whether there was one.
    pub fn delete(key: &[u8]) -> bool {
        unsafe { host::state_delete(key.as_ptr(), key.len() as i32) == 1 }
    }
    /// Add to a number; NaN where the value is no number.
    pub fn incr(key: &[u8], by: f64, ttl_ms: u32) -> f64 {
        unsafe { host::state_incr(key.as_ptr(), key.len() as i32, by, ns(ttl_ms)) }
    }
    /// Write only if the value is as expected; whether it was.
    pub fn compare_and_set(key: &[u8], old: Stored, new: Stored, ttl_ms: u32) -> bool {
        let (a, b) = (old.parts(), new.parts());
        let done = unsafe { host::state_compare_and_set(key.as_ptr(), key.len() as i32, a.0, a.1, a.2, a.3, b.0, b.1, b.2, b.3, ns(ttl_ms)) };
        done == 1
    }
    /// Write only if there is no value; whether there was none.
    pub fn set_if_absent(key: &[u8], value: Stored, ttl_ms: u32) -> bool {
        let (kind, num, text, len) = value.parts();
        unsafe { host::state_set_if_absent(key.as_ptr(), key.len() as i32, kind, num, text, len, ns(ttl_ms)) == 1 }
    }
}

// The policy's own numbers.

/// A number of the policy's own: a static, opened by the macro.
pub struct Metric {
    kind: i32,
    name: &'static str,
    id: Cell<i32>,
}

unsafe impl Sync for Metric {}

pub const fn counter(name: &'static str) -> Metric {
    Metric { kind: METRIC_COUNTER, name, id: Cell::new(0) }
}

pub const fn gauge(name: &'static str) -> Metric {
    Metric { kind: METRIC_GAUGE, name, id: Cell::new(0) }
}

impl Metric {
    pub fn open(&self) {
        self.id.set(unsafe { host::metric_open(self.kind, self.name.as_ptr(), self.name.len() as i32) });
    }
    pub fn add(&self, by: f64) {
        unsafe { host::metric_add(self.id.get(), by) };
    }
    pub fn set(&self, to: f64) {
        unsafe { host::metric_set(self.id.get(), to) };
    }
}

// What the host calls.

/// Leave a message for the host and refuse to load; used by the macro.
pub fn refuse(why: &str) -> i32 {
    let n = core::cmp::min(why.len(), ANSWER_AREA - 4);
    let answer = unsafe { core::slice::from_raw_parts_mut(area().add(ANSWER_AT), ANSWER_AREA) };
    answer[..4].copy_from_slice(&(n as u32).to_le_bytes());
    answer[4..4 + n].copy_from_slice(&why.as_bytes()[..n]);
    1
}

/// Makes a policy of functions with the names of hooks: `policy!(open A, B; setup, on_request, on_response)`. What stands after
/// `open` is declared before `setup`. Use it once, in the root of the crate.
#[macro_export]
macro_rules! policy {
    (open $($opened:ident),+; $($hook:ident),+ $(,)?) => { $crate::policy!(@all [$($opened),+] $($hook),+); };
    ($($hook:ident),+ $(,)?) => { $crate::policy!(@all [] $($hook),+); };
    (@all [$($opened:ident),*] $($hook:ident),+) => {
        #[no_mangle]
        pub extern "C" fn gaia_abi_1() -> i32 {
            $crate::gaia::MINOR
        }
        #[no_mangle]
        pub extern "C" fn gaia_scratch(size: i32) -> *mut u8 {
            if size as usize <= $crate::gaia::SCRATCH_SIZE { $crate::gaia::area() } else { core::ptr::null_mut() }
        }
        #[no_mangle]
        pub extern "C" fn gaia_configure(_length: i32) -> i32 {
            $($opened.open();)*
            $($crate::policy!(@setup $hook);)+
            0
        }
        #[no_mangle]
        pub extern "C" fn gaia_hooks() -> i32 {
            0 $(| $crate::policy!(@bit $hook))+
        }
        #[no_mangle]
        pub extern "C" fn gaia_on(hook: i32, _length: i32) -> u64 {
            $($crate::policy!(@call $hook hook);)+
            0
        }
    };
    (@setup setup) => { if let Err(why) = setup() { return $crate::gaia::refuse(why); } };
    (@setup $other:ident) => {};
    (@bit setup) => { 0 };
    (@bit on_request) => { 1 << $crate::gaia::HOOK_REQUEST };
    (@bit on_route) => { 1 << $crate::gaia::HOOK_ROUTE };
    (@bit on_response) => { 1 << $crate::gaia::HOOK_RESPONSE };
    (@bit on_done) => { 1 << $crate::gaia::HOOK_DONE };
    (@bit on_tick) => { 1 << $crate::gaia::HOOK_TICK };
    (@call setup $n:ident) => {};
    (@call on_request $n:ident) => { if $n == $crate::gaia::HOOK_REQUEST { return on_request($crate::policy!(@frame)).0; } };
    (@call on_route $n:ident) => { if $n == $crate::gaia::HOOK_ROUTE { return on_route($crate::policy!(@frame)).0; } };
    (@call on_response $n:ident) => { if $n == $crate::gaia::HOOK_RESPONSE { return on_response($crate::policy!(@frame), $crate::policy!(@frame)).0; } };
    (@call on_done $n:ident) => { if $n == $crate::gaia::HOOK_DONE { on_done($crate::policy!(@frame), $crate::policy!(@frame)); } };
    (@call on_tick $n:ident) => { if $n == $crate::gaia::HOOK_TICK { on_tick($crate::policy!(@frame)); } };
    (@frame) => { unsafe { &*($crate::gaia::area() as *const _) } };
}

/// A panic fails the hook with its place.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(at) = info.location() {
        let mut buf = [0u8; 160];
        let name = at.file().as_bytes();
        let mut n = core::cmp::min(name.len(), buf.len() - 32);
        buf[6..6 + n].copy_from_slice(&name[name.len() - n..]);
        buf[..6].copy_from_slice(b"panic ");
        n += 6;
        buf[n] = b':';
        n += 1;
        let (mut digits, mut line, mut d) = ([0u8; 10], at.line(), 0);
        while line > 0 && d < digits.len() {
            digits[d] = b'0' + (line % 10) as u8;
            line /= 10;
            d += 1;
        }
        while d > 0 {
            d -= 1;
            buf[n] = digits[d];
            n += 1;
        }
        unsafe { host::fail(buf.as_ptr(), n as i32) };
    }
    core::arch::wasm32::unreachable()
}
