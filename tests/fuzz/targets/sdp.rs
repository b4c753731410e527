//! Target: an SDP offer.
#![no_main]

#[expect(dead_code, reason = "each target has one body of the file")]
#[path = "../media.rs"]
mod media;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| media::sdp(bytes));
