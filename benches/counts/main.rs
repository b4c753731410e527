//! Instruction counts: one hot path at a time, for `tests/counts`. It runs this in valgrind, which
//! counts the instructions of [`counted_by_callgrind`] and nothing else.
//!
//! Little is random: one thread does the work, the clock is virtual, and many rounds average out
//! the random numbers in hash tables and ids.

#[expect(dead_code, reason = "benches/parts has a use for the rest")]
#[path = "../parts/loaded_engine.rs"]
mod loaded_engine;
#[expect(dead_code, reason = "benches/parts has a use for the rest")]
#[path = "../measure/mod.rs"]
mod measure;
#[path = "../parts/registry.rs"]
mod registry;

use std::{env, hint::black_box, process::ExitCode};

use axum::body::Bytes;
use conflow::{
    base::ids::Dialect,
    cli::settings::{LogFormat, LogLevel},
    config,
    documents::cache::{DocumentCache, HashedText},
    flow::{Flow, FlowOrigin},
    log::LogThread,
};
use tokio::runtime::{Builder, Runtime};

use self::{
    loaded_engine::LoadedEngine,
    measure::say,
    registry::{full_registry, key, mute, wait_in},
};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A path's name, and the function that counts it.
type Row = (&'static str, fn());

const PATHS: [Row; 4] =
    [("kick", kick), ("mute", mute_one), ("parse", parse), ("parse-again", parse_again)];
const ROUNDS: u64 = 500;
/// About 1 KB: a menu, a conference with many attributes, and what follows it.
const FLOW: &str = include_str!("../../src/bench/parse.xml");

fn main() -> ExitCode {
    let asked = env::args().nth(1).unwrap_or_default();
    let Some((_, count)) = PATHS.iter().find(|(name, _)| *name == asked) else {
        say(&PATHS.map(|(name, _)| name).join("\n"));
        return ExitCode::from(2);
    };
    count();
    say(&format!("{ROUNDS} rounds"));
    ExitCode::SUCCESS
}

/// Runs once to warm up, and once to be counted.
fn count(mut rounds: impl FnMut()) {
    rounds();
    counted_by_callgrind(&mut rounds);
}

/// Valgrind finds it by its name, so it must not be inlined.
#[inline(never)]
fn counted_by_callgrind(rounds: &mut dyn FnMut()) {
    rounds();
    black_box(());
}

/// Kicks one of ten through the whole API without sockets, with log and journal on.
fn kick() {
    let (format, level) = (LogFormat::Json, LogLevel::Info);
    let log = config::LogConfig { format, level, hide: Vec::new() };
    let log = LogThread::begin(log).expect("a log");
    let mut loaded_engine = LoadedEngine::new(in_virtual_time(), 200, 10, Some(log.sender()));
    loaded_engine.fill();
    count(|| loaded_engine.kick(ROUNDS));
    loaded_engine.leave();
    drop(log);
}

/// Through the room's actor, from ask to reply.
fn mute_one() {
    let runtime = in_virtual_time();
    let registry = runtime.block_on(async { full_registry(10, &wait_in("weekly")) });
    let key = key("weekly");
    count(|| runtime.block_on(mute(&registry, &key, ROUNDS)));
    // Its calls are live, and a live call must not be dropped.
    std::mem::forget((registry, runtime));
}

fn parse() {
    count(|| {
        for _ in 0..ROUNDS {
            drop(black_box(Flow::parse(black_box(FLOW), Dialect::Vobiz).expect("a flow")));
        }
    });
}

fn parse_again() {
    let (documents, body) = (DocumentCache::default(), Bytes::from_static(FLOW.as_bytes()));
    let origin = |host: &str| FlowOrigin::Url(format!("http://{host}/flow").into());
    // Equal, and not the same: a URL is made into an origin for each fetch.
    let (first, origin) = (origin("app.example"), origin("app.example"));
    drop(documents.read(HashedText::from(body.clone()), &body, &first, Dialect::Vobiz));
    count(|| {
        for _ in 0..ROUNDS {
            let content = HashedText::from(body.clone());
            drop(black_box(documents.read(content, &body, &origin, Dialect::Vobiz)));
        }
    });
}

/// One thread does the work, and no timer depends on how slow valgrind is.
fn in_virtual_time() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime")
}
