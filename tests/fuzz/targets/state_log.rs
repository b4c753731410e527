//! Target: the files of a state log.
#![no_main]

#[path = "../state_log.rs"]
mod state_log;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = std::env::temp_dir().join(format!("conflow-fuzz-{}", std::process::id()));
    state_log::files(&folder, bytes);
});
