//! The twin of hooks.c without its host calls.
#![no_std]

mod gaia;

use gaia::*;

fn on_request(req: &Request) -> Decision {
    if req.path().starts_with(b"/admin") {
        return deny(403, 0);
    }
    if req.attempt() > 3 {
        return deny(429, 1000);
    }
    if req.in_flight() > 100 && req.priority() < 5 {
        return delay((req.in_flight() - 100) as u32);
    }
    allow()
}

policy!(on_request);
