//! Target: a flow document, and a run of it.
#![no_main]

#[path = "../flow.rs"]
mod flow;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((seed, document)) = bytes.split_first_chunk() {
        flow::check(document, u64::from_be_bytes(*seed));
    }
});
