//! The policy that every engine is held to, in Rust; policy.c and policy.js say the same.
#![no_std]

mod gaia;

use gaia::*;

static BUCKET: Limiter = token_bucket("bucket", r#"{"rate": 5, "per": "1s", "burst": 10, "maxWait": "1500ms"}"#);
static SLOTS: Limiter = concurrency("slots", r#"{"max": 3}"#);
static LINE: Limiter = concurrency("line", r#"{"max": 2, "maxQueue": 4, "maxWait": "1m"}"#);
static URGENT: Limiter = concurrency("urgent", r#"{"max": 1, "maxQueue": 3, "maxWait": "1m", "order": "priority"}"#);
static LEARNED: Limiter = upstream_limiter("learned", r#"{"maxWait": "2s"}"#);
static SEEN: Metric = counter("seen_total");
static LEVEL: Metric = gauge("level");

fn number(n: i64) -> Decision {
    allow().cost(n)
}

fn told(text: Option<&[u8]>) -> Decision {
    match text {
        Some(t) => allow().reason(t),
        None => number(99),
    }
}

struct Joined {
    text: [u8; 256],
    length: usize,
}

impl Joined {
    fn of(parts: &[&[u8]]) -> Joined {
        let mut j = Joined { text: [0; 256], length: 0 };
        for part in parts {
            j.text[j.length..j.length + part.len()].copy_from_slice(part);
            j.length += part.len();
        }
        j
    }
    fn get(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

fn limits(req: &Request, op: &[u8], arg: &[u8]) -> Decision {
    let attempt = req.attempt() as i64;
    match op {
        b"admit" => BUCKET.admit(),
        b"admitKey" => BUCKET.admit_key(arg, attempt),
        b"admitNow" => BUCKET.admit_within(arg, -1, 0),
        b"admitSlots" => SLOTS.admit(),
        b"admitLearned" => LEARNED.admit(),
        b"admitLine" => LINE.admit_key(arg, 1),
        b"admitUrgent" => URGENT.admit_within(b"all", 1, req.attempt() * 30000),
        b"take" => number(BUCKET.take() as i64),
        b"takeKey" => number(BUCKET.take_key(arg, attempt) as i64),
        b"peek" => {
            let (ok, level) = BUCKET.peek(arg, 1);
            number(level.remaining * 2 + ok as i64)
        }
        b"pause" => {
            BUCKET.pause(arg, req.attempt() * 100);
            NONE
        }
        b"settle" => {
            if BUCKET.take_key(req.key(), 2) {
                BUCKET.settle(attempt);
            }
            NONE
        }
        b"set" => {
            let mut burst = *b"{\"burst\": 5}";
            burst[10] += req.attempt() as u8;
            BUCKET.set(&burst);
            NONE
        }
        _ => NONE,
    }
}

fn states(req: &Request, op: &[u8], arg: &[u8]) -> Decision {
    let (number_key, text_key) = (Joined::of(&[b"n", arg]), Joined::of(&[b"t", arg]));
    let (n, t) = (number_key.get(), text_key.get());
    let (cost, attempt) = (Stored::Number(req.cost() as f64), Stored::Number(req.attempt() as f64));
    let mut buf = [0u8; 512];
    match op {
        b"setNumber" => {
            state::set(n, cost, req.attempt() * 1000);
            NONE
        }
        b"setText" => {
            state::set(t, Stored::Text(req.tenant()), 0);
            NONE
        }
        b"getNumber" => match state::get(n, &mut buf) {
            Stored::Number(n) => number(n as i64),
            _ => NONE,
        },
        b"getText" => match state::get(t, &mut buf) {
            Stored::Text(t) => told(Some(t)),
            _ => told(None),
        },
        b"remove" => number(state::delete(n) as i64),
        b"incr" => number(state::incr(n, req.attempt() as f64, 0) as i64),
        b"swap" => number(state::compare_and_set(n, cost, attempt, 0) as i64),
        b"absent" => number(state::set_if_absent(n, attempt, 0) as i64),
        _ => NONE,
    }
}

fn others(req: &Request, op: &[u8], arg: &[u8]) -> Decision {
    let name = core::str::from_utf8(arg).unwrap_or("");
    let mut buf = [0u8; 512];
    match op {
        b"count" => {
            SEEN.add(req.attempt() as f64);
            NONE
        }
        b"gauge" => {
            LEVEL.set(req.cost() as f64);
            NONE
        }
        b"metrics" => number(metric(0, "in_flight") as i64),
        b"hash" => number(hash(arg) % 1000003),
        b"pick" => {
            let names: [&[u8]; 3] = [b"one", b"two", b"three"];
            match pick(arg, &[Span::of(names[0]), Span::of(names[1]), Span::of(names[2])]) {
                Some(i) => allow().key(names[i]),
                None => NONE,
            }
        }
        b"params" => told(param(name, &mut buf)),
        b"env" => told(env(name, &mut buf)),
        b"log" => {
            log(LEVEL_WARN, "written by the guest");
            NONE
        }
        b"header" => told(header(name, &mut buf)),
        b"body" => told(body(name, &mut buf)),
        b"url" => told(request_text(TEXT_URL, &mut buf)),
        b"views" => {
            let key = Joined::of(&[req.key(), req.host(), req.path()]);
            number(req.in_flight() + req.queued() * 10 + req.p95() / 1_000_000 + req.size()).key(key.get()).priority(req.priority())
        }
        b"fail" => fail("cannot go on"),
        _ => NONE,
    }
}

fn decides(req: &Request, op: &[u8], arg: &[u8]) -> Decision {
    match op {
        b"deny" => deny(400 + req.attempt(), req.cost() as u32 * 10),
        b"denyWhy" => deny(503, 1000).reason(Joined::of(&[b"said ", arg]).get()),
        b"deny429" => deny(0, 0),
        b"delay" => delay(req.attempt() * 7),
        b"route" => route(Joined::of(&[b"to-", arg]).get()),
        b"all" => route(Joined::of(&[b"u-", arg]).get())
            .key(Joined::of(&[b"k-", arg]).get())
            .timeout(2500)
            .cost(req.cost())
            .priority(req.attempt() as i32)
            .reason(b"because")
            .header(b"x-a", arg)
            .header(b"x-b", b""),
        _ => NONE,
    }
}

fn on_request(req: &Request) -> Decision {
    let mut buf = [0u8; 64];
    let arg = header("arg", &mut buf).unwrap_or(b"");
    for part in [limits, states, others, decides] {
        let d = part(req, req.method(), arg);
        if d != NONE {
            return d;
        }
    }
    NONE
}

fn on_route(req: &Request) -> Decision {
    for (i, u) in upstreams(req).iter().enumerate() {
        if u.healthy() == 1 && u.remaining() > 0 && u.in_flight() < 3 {
            return route_index(i as u32);
        }
    }
    NONE
}

fn on_response(req: &Request, res: &Response) -> Decision {
    LEARNED.learn();
    if res.status() == 503 && req.attempt() < 3 {
        return retry(if res.retry_after() > 0 { (res.retry_after() / 1_000_000) as u32 } else { 250 });
    }
    let mut buf = [0u8; 16];
    if response_header("x-try", &mut buf) == Some(b"again") {
        return retry(0).upstream(b"spare");
    }
    NONE
}

fn on_done(_req: &Request, res: &Response) {
    if res.bytes() > 0 {
        SEEN.add(res.bytes() as f64);
    }
    let mut buf = [0u8; 16];
    if response_body("tokens", &mut buf) == Some(b"7") {
        SEEN.add(1.0);
    }
}

fn on_tick(tick: &Tick) {
    LEVEL.set((tick.now() / 1_000_000_000 % 1000) as f64);
}

policy!(open BUCKET, SLOTS, LINE, URGENT, LEARNED, SEEN, LEVEL; on_request, on_route, on_response, on_done, on_tick);
