//! Target: a TCP stream of SIP messages.
#![no_main]

#[expect(dead_code, reason = "each target has one body of the file")]
#[path = "../sip.rs"]
mod sip;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sip::stream(bytes));
