//! All integration tests in one binary, so that the crate links once. The folders mirror `src`. Run
//! a part with `cargo test --test it simulation`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod allocations;
mod api;
mod app;
mod audio;
mod authority;
mod bench;
mod check;
mod conference;
mod corpus;
mod dns;
mod engine;
mod events;
mod fetch;
mod flow;
#[path = "../fuzz/flow.rs"]
mod fuzz_flow;
#[path = "../fuzz/media.rs"]
mod fuzz_media;
#[path = "../fuzz/sip.rs"]
mod fuzz_sip;
#[path = "../fuzz/state_log.rs"]
mod fuzz_state_log;
mod group;
mod harness;
mod lives;
mod media;
mod mutate;
mod net;
mod phone;
mod rtp;
mod rtp_engine;
mod simulate;
mod simulation;
mod sip;
mod small_disk;
mod sound;
mod state_log;
mod store;
mod tidy;
mod tls;
mod watch;
mod webhooks;
