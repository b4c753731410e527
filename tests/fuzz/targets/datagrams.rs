//! RTP and RTCP of one leg.
#![no_main]

use std::time::Instant;

#[path = "../media.rs"]
mod media;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| media::datagrams(Instant::now(), bytes));
