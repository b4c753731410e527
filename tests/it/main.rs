//! One binary, so that the crate links once. Run a part with `cargo test --test it simulation`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod actor;
mod allocations;
mod conference;
mod harness;
mod plane;
mod races;
mod run;
mod simulation;
