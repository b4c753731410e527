//! Target: RTP and RTCP of one leg.
#![no_main]

use std::time::Instant;

#[expect(dead_code, reason = "each target has one body of the file")]
#[path = "../media.rs"]
mod media;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| media::datagrams(Instant::now(), bytes));
