//! SIP calls per second over real sockets, and the CPU time of each, compared with the bare SIP
//! crate (P7).

#[path = "../../sip/caller.rs"]
mod caller;
#[path = "../../sip/machine.rs"]
mod machine;
#[path = "../../measure/mod.rs"]
mod measure;
#[path = "../../sip/table.rs"]
mod table;

use machine::{ANSWER, Machine, Ready};
use measure::{say, verdict};
use table::Row;

fn main() {
    let [_, bare, _, engine] = table::run([
        Row::new("the plainest echo", || Machine::start(machine::echo)),
        Row::new("rsipstack 0.7.14, bare", || Machine::start(rsipstack)),
        Row::new("conflow, signalling alone", || Machine::start(machine::signalling)),
        Row::new("conflow, each call a flow", || Machine::start(machine::engine)),
    ]);
    let (rate, cpu) = (engine.rate() / bare.rate(), engine.cpu() / bare.cpu());
    let again = engine.again;
    say(&format!("P7 rate, at least 0.6 × the bare crate: {rate:.2} ×, {}", verdict(0.6 <= rate)));
    say(&format!("P7 CPU per call, at most 1.5 ×: {cpu:.2} ×, {}", verdict(cpu <= 1.5)));
    say(&format!("P7 without retransmission: {again} sent again, {}", verdict(again == 0)));
}

async fn rsipstack(ready: Ready) {
    conflow_bare_sip::answer(|address| ready.send(address).expect("a listener"), ANSWER).await;
}
