//! Table of rounds of calls to several servers in turn, with their rate and CPU time.

use std::time::Duration;

use crate::{
    caller,
    machine::Machine,
    measure::{median, say},
};

/// The results of one kind of server.
pub(crate) struct Row {
    name: &'static str,
    start: fn() -> Machine,
    rates: Vec<f64>,
    cpus: Vec<f64>,
    /// Retransmitted messages, in all rounds.
    pub(crate) again: u32,
}

const ROUNDS: usize = 3;
const CALLS: u32 = 10_000;
const CALLS_BEFORE: u32 = 1_000;
const AT_ONCE: usize = 100;

impl Row {
    pub(crate) fn new(name: &'static str, start: fn() -> Machine) -> Self {
        Self { name, start, rates: Vec::new(), cpus: Vec::new(), again: 0 }
    }

    fn round(&mut self) {
        let machine = (self.start)();
        caller::call(machine.address, 0..CALLS_BEFORE, AT_ONCE);
        let before = machine.cpu();
        let outcome = caller::call(machine.address, CALLS_BEFORE..CALLS_BEFORE + CALLS, AT_ONCE);
        let cpu = machine.cpu() - before;
        machine.stop();
        self.again += outcome.again;
        self.rates.push(f64::from(CALLS) / outcome.took.as_secs_f64());
        self.cpus.push(micros(cpu) / f64::from(CALLS));
    }

    /// Calls per second.
    pub(crate) fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    /// Microseconds of CPU time per call.
    pub(crate) fn cpu(&self) -> f64 {
        median(self.cpus.clone())
    }
}

/// Calls each server in turn, and prints a line for each.
pub(crate) fn run<const N: usize>(mut rows: [Row; N]) -> [Row; N] {
    for _ in 0..ROUNDS {
        rows.iter_mut().for_each(Row::round);
    }
    say(&format!(
        "INVITE, 200, ACK, BYE, 200 over UDP on loopback: {CALLS} calls, {AT_ONCE} at once, one \
         thread that\nanswers; the middle of {ROUNDS} rounds in turn\n"
    ));
    say("                              calls/s   CPU per call   sent again");
    for row in &rows {
        let (name, rate, cpu, again) = (row.name, row.rate(), row.cpu(), row.again);
        say(&format!("{name:28} {rate:8.0}   {cpu:9.1} µs   {again:10}"));
    }
    say("");
    rows
}

fn micros(it: Duration) -> f64 {
    it.as_secs_f64() * 1e6
}
