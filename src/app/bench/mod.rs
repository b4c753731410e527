//! `conflow bench`: what the engine costs on this machine, beside what the machine can do at all.
//!
//! The engine is a second process with one worker, asked over HTTP by simulated phones' owners;
//! every answer is checked, and afterwards whether it was true.

mod asks;
pub mod ceiling;
mod churn;
mod crowd;
mod fetch;
mod kick;
mod link;
mod load;
mod notices;
mod parse;
pub mod process;
mod receiver;
mod report;
mod site;
mod soak;
mod still;
mod stream;
mod told;

use std::{
    fs,
    io::{Write, stderr},
    process::Command,
    thread::available_parallelism,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use self::{
    load::{Pace, Taken},
    report::{Machine, Report, Row},
};
use crate::{
    actor::reception::wall,
    cli::bench::{Bench as Flags, SECONDS, Scenario},
};

/// What is to be measured, and what has been.
struct Bench {
    flags: Flags,
    report: Report,
}

/// Measures, and writes what has come of it.
///
/// # Errors
///
/// A second process that does not start, or an answer that is wrong.
pub fn bench(flags: Flags, out: &mut impl Write) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system has no threads for it")?;
    let scenarios = match flags.scenarios.is_empty() {
        true => Scenario::usual(),
        false => flags.scenarios.clone(),
    };
    let report = Report::new(machine(), flags.connections.into(), flags.rate);
    let mut bench = Bench { flags, report };
    for scenario in scenarios {
        runtime.block_on(bench.measure(scenario)).with_context(|| format!("{scenario:?}"))?;
    }
    match bench.flags.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&bench.report)?)?,
        false => out.write_all(bench.report.table().as_bytes())?,
    }
    Ok(())
}

impl Bench {
    async fn measure(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Callbacks => notices::callbacks(self).await,
            Scenario::Events => notices::events(self).await,
            Scenario::Fetch => fetch::fetch(self).await,
            Scenario::Get => asks::get(self).await,
            Scenario::Idle => still::idle(self).await,
            Scenario::Join => still::join(self).await,
            Scenario::KickAll => kick::all(self).await,
            Scenario::KickList => kick::list(self).await,
            Scenario::KickOne => kick::one(self).await,
            Scenario::List => asks::list(self).await,
            Scenario::Mixed => asks::mixed(self).await,
            Scenario::Mute => asks::mute(self).await,
            Scenario::Parse => parse::parse(self),
            Scenario::Soak => soak::soak(self).await,
            Scenario::Start => still::start(self).await,
        }
    }

    /// What a bare route answers now, by the same client: a machine is never quiet for long.
    async fn ceiling(&mut self) -> Result<Taken> {
        self.say("the ceiling: a bare axum route");
        let pace = Pace { rate: None, ..self.pace(Some(self.seconds() / 2)) };
        let (taken, cpu) = ceiling::measure(pace).await?;
        self.report.add(Row::new("ceiling: bare axum JSON POST", &taken).cpu(cpu));
        Ok(taken)
    }

    fn pace(&self, time_max: Option<Duration>) -> Pace {
        Pace { connections: self.connections(), time_max, rate: self.flags.rate }
    }

    fn connections(&self) -> usize {
        self.flags.connections.into()
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.flags.seconds.unwrap_or(SECONDS).into())
    }

    /// What is going on, for whoever waits.
    fn say(&self, what: &str) {
        // Nobody may be looking.
        drop(writeln!(stderr(), "{what}"));
    }
}

fn machine() -> Machine {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find(|it| it.starts_with("model name"));
    let name = name.and_then(|it| it.split(':').nth(1)).unwrap_or("unknown").trim();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let now = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    Machine {
        processor: name.to_owned(),
        cores: available_parallelism().map_or(1, Into::into),
        kernel: format!("Linux {}", kernel.trim()),
        conflow: env!("CARGO_PKG_VERSION"),
        commit: commit(),
        unix_time: now.as_secs(),
        is_optimized: !cfg!(debug_assertions),
    }
}

/// As whoever has built it says, else that of the clone where this is run.
fn commit() -> String {
    if let Some(commit) = option_env!("CONFLOW_COMMIT") {
        return commit.to_owned();
    }
    let asked = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let told = asked.ok().filter(|it| it.status.success());
    let text = told.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    text.filter(|it| !it.is_empty()).unwrap_or_else(|| "unknown commit".to_owned())
}
