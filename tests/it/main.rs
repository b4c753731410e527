//! One binary, so that the crate links once. Run a part with `cargo test run`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod digits;
mod flows;
#[path = "../fuzz/flow.rs"]
mod fuzz_flow;
mod loops;
mod mutations;
mod places;
mod run;
mod verbs;
