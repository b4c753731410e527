//! SIP as it comes over TCP.
#![no_main]

#[path = "../sip.rs"]
mod sip;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sip::stream(bytes));
