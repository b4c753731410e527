//! One binary, so that the crate links once. Run a part with `cargo test --test it simulation`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod actor;
mod api;
mod conference;
mod digits;
mod faulty;
mod flows;
#[path = "../fuzz/flow.rs"]
mod fuzz_flow;
mod harness;
mod loops;
mod mutations;
mod places;
mod races;
mod run;
mod simulation;
mod tidy;
mod verbs;
