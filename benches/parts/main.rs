//! The engine's parts, each beside its ceiling where it has one, in the same run.
//!
//! `cargo bench --bench parts -- room` is those whose name has `room` in it.

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

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = benches;
    config = short();
    targets = machine::bench, room::bench, parse::bench, roster::bench, signature::bench,
        directory::bench, request::bench
}
criterion_main!(benches);

/// All of them in about a minute; a figure that matters is had by name, with a longer
/// `--measurement-time`.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
}

/// One thread does it all.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
