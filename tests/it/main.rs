//! One binary, so that the crate links once. Run a part with `cargo test --test it simulation`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod actor;
mod allocations;
mod api;
mod branches;
mod callback;
mod check;
mod conference;
mod delivery;
mod digits;
mod faulty;
mod fetch;
mod flows;
#[path = "../fuzz/flow.rs"]
mod fuzz_flow;
#[path = "../fuzz/media.rs"]
mod fuzz_media;
#[path = "../fuzz/sip.rs"]
mod fuzz_sip;
mod groups;
mod harness;
mod kick;
mod lives;
mod loops;
mod media_jitter;
mod media_mix;
mod media_mutations;
mod media_playout;
mod media_sdp;
mod media_ticks;
mod mutations;
mod net;
mod phone;
mod places;
mod plane;
mod program;
mod races;
mod reference;
mod restarts;
mod run;
mod simulate;
mod simulation;
mod sip;
mod sip_agent;
mod sip_mutations;
mod sounds;
mod spoil;
mod store;
mod tidy;
mod torture;
mod verbs;
mod wards;
