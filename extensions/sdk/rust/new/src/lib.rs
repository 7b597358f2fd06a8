//! NAME: no host is asked more than ten times a second; callers wait up to two.
#![no_std]

mod gaia;

use gaia::*;

static PER_HOST: Limiter = token_bucket("per-host", r#"{"rate": 10, "burst": 20, "maxWait": "2s"}"#);

fn on_request(_req: &Request) -> Decision {
    PER_HOST.admit()
}

fn on_response(_req: &Request, _res: &Response) -> Decision {
    PER_HOST.learn();
    NONE
}

policy!(open PER_HOST; on_request, on_response);
