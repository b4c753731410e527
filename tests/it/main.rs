//! One binary, so that the crate links once. Run a part with `cargo test --test it simulation`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod actor;
mod api;
mod callback;
mod conference;
mod delivery;
mod digits;
mod faulty;
mod fetch;
mod flows;
#[path = "../fuzz/flow.rs"]
mod fuzz_flow;
mod harness;
mod loops;
mod mutations;
mod net;
mod places;
mod races;
mod run;
mod simulation;
mod tidy;
mod verbs;
