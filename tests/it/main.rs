//! One binary, so that the crate links once. Run a part with `cargo test --test it simulation`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod actor;
mod allocations;
mod conference;
mod digits;
mod faulty;
mod flows;
#[path = "../fuzz/flow.rs"]
mod fuzz_flow;
#[path = "../fuzz/media.rs"]
mod fuzz_media;
mod harness;
mod plane;
mod races;
mod run;
mod simulation;
mod sip;
mod sip_agent;
mod tidy;
mod verbs;
