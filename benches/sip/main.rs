//! SIP calls per second over real sockets, and the CPU time of each, compared with the simplest
//! server that answers.
//!
//! The comparison with a SIP crate (P7) is a separate package, because of its dependencies:
//! `cargo bench --manifest-path benches/bare-sip/Cargo.toml`.

mod caller;
mod machine;
#[path = "../measure/mod.rs"]
mod measure;
mod table;

use machine::Machine;
use measure::{say, verdict};
use table::Row;

fn main() {
    let [echo, _, engine] = table::run([
        Row::new("the plainest echo", || Machine::start(machine::echo)),
        Row::new("conflow, signalling alone", || Machine::start(machine::signalling)),
        Row::new("conflow, each call a flow", || Machine::start(machine::engine)),
    ]);
    let (rate, cpu) = (engine.rate() / echo.rate(), engine.cpu() / echo.cpu());
    say(&format!("conflow beside the echo: {rate:.2} × the rate, {cpu:.1} × the CPU"));
    say(&format!(
        "P7 without retransmission: {} sent again, {}",
        engine.again,
        verdict(engine.again == 0)
    ));
}
