//! Target: SIP messages, one after another.
#![no_main]

use std::time::Instant;

#[expect(dead_code, reason = "each target has one body of the file")]
#[path = "../sip.rs"]
mod sip;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sip::messages(Instant::now(), bytes));
