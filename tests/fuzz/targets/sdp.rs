//! An offer.
#![no_main]

#[path = "../media.rs"]
mod media;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| media::sdp(bytes));
