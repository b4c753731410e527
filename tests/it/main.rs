//! One binary, so that the crate links once. Run a part with `cargo test media_mix`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod allocations;
#[path = "../fuzz/media.rs"]
mod fuzz_media;
mod media_jitter;
mod media_mix;
mod media_mutations;
mod media_playout;
mod media_sdp;
mod media_ticks;
