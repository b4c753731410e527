//! SIP messages, one after another.
#![no_main]

use std::time::Instant;

#[path = "../sip.rs"]
mod sip;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sip::messages(Instant::now(), bytes));
