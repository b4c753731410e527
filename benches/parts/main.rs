//! Parts of the engine, each compared in the same run with its ceiling, if it has one.
//!
//! `cargo bench --bench parts -- room` runs those with `room` in the name.

mod directory;
mod loaded_engine;
mod machine;
#[path = "../measure/mod.rs"]
mod measure;
mod parse;
mod registry;
mod request;
mod room;
mod roster;
mod signature;
mod took;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = benches;
    config = short();
    targets = machine::bench, room::bench, parse::bench, roster::bench, signature::bench,
        directory::bench, request::bench
}
criterion_main!(benches);

/// Settings for all of them in about a minute. For an important figure, select it by name and set a
/// longer `--measurement-time`.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
}

/// One thread does the work.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
