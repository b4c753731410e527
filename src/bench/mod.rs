//! Benchmarks (`conflow bench`): cost of the engine on this machine, compared with a bare server.
//!
//! The engine is a second process with one worker, used over HTTP with simulated phones. Every
//! response is checked, and afterwards its effect.

pub mod ceiling;
mod churn;
mod clock;
mod external;
mod fetch;
mod filled;
mod idle;
mod join;
mod kick;
mod link;
mod load;
mod media;
mod noise;
mod notices;
mod parse;
mod plot;
pub mod process;
mod progress;
mod received;
mod receiver;
mod report;
mod requests;
mod soak;
mod state;
mod stream;
mod target;

use std::{
    fs,
    io::Write,
    process::Command,
    thread::available_parallelism,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use tokio::select;

use self::{
    external::{ExternalEngine, external},
    load::{LoadPace, Measurement},
    progress::BenchProgress,
    report::{BenchReport, Machine, ReportRow, ReportedEngine},
    state::Bench,
};
use super::client::{login::login, signals::EndSignals};
use crate::{
    cli::bench::{BenchArgs as Flags, SECONDS, Scenario},
    engine::inbound::wall_clock,
};

/// Runs the scenarios and prints the report. `token` is the account's, from the environment.
///
/// # Errors
///
/// The second process does not start, a response is wrong, or a signal ended the bench.
pub fn bench(flags: Flags, token: Option<String>, out: &mut impl Write) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system has no threads for it")?;
    if let Some(folder) = &flags.plot {
        fs::create_dir_all(folder).with_context(|| format!("--plot {}", folder.display()))?;
    }
    let scenarios = match flags.scenarios.is_empty() {
        true => Scenario::default_set(),
        false => flags.scenarios.clone(),
    };
    let report = BenchReport::new(machine(), flags.connections.into(), flags.rate);
    let progress = BenchProgress::new(scenarios.len() as u64 * u64::from(flags.runs))?;
    let mut bench = Bench { flags, report, progress, ceiling_before: None };
    let measured = runtime.block_on(bench.run(&scenarios, token));
    bench.progress.end();
    measured?;

    if let Some(folder) = &bench.flags.plot {
        plot::draw(&bench.report, folder)?;
    }
    match bench.flags.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&bench.report)?)?,
        false => out.write_all(bench.report.table().as_bytes())?,
    }
    Ok(())
}

impl Bench {
    /// Runs scenarios until the end or a signal. Then it ends all that it has started, also in an
    /// external engine; a second signal interrupts that.
    async fn run(&mut self, scenarios: &[Scenario], token: Option<String>) -> Result<()> {
        let mut signals = EndSignals::listen()?;
        let measured = select! {
            biased;
            () = signals.next() => bail_out(),
            measured = self.measure_all(scenarios, token) => measured,
        };
        let Some(external) = external() else { return measured };
        self.progress.say("removing the bench's calls from the engine");
        let left = select! {
            biased;
            () = signals.next() => bail_out(),
            left = external.leave() => left,
        };
        if let (Err(left), Err(_)) = (&left, &measured) {
            self.progress.print_line(&format!("{}: {left:#}", external.url));
        }
        measured.and(left)
    }

    async fn measure_all(&mut self, scenarios: &[Scenario], token: Option<String>) -> Result<()> {
        if let Some(url) = self.flags.url.clone() {
            let (account, token) = login(self.flags.login.clone(), token)?;
            let external = ExternalEngine::connect(&url, account, token).await?;
            self.report.engine = Some(ReportedEngine { url, version: external.version.clone() });
        } else if self.flags.login.account.is_some() {
            self.progress.print_line(
                "--account is ignored without --url: the bench measures its own engine",
            );
        }
        for _ in 0..self.flags.runs {
            for scenario in scenarios {
                let measured = self.measure_or_leave_out(*scenario).await;
                measured.with_context(|| scenario.to_string())?;
                self.progress.step();
            }
            self.report.end_run();
        }
        self.report.end();
        Ok(())
    }

    async fn measure_or_leave_out(&mut self, scenario: Scenario) -> Result<()> {
        target::keep_rows(self.flags.rows);
        if let Some(why) = external().and_then(|it| it.missing_for(scenario)) {
            self.progress.print_line(&format!("{scenario} is left out, since {why}"));
            self.report.leave_out(scenario, why);
            return Ok(());
        }
        if !self.flags.durability {
            return self.measure_beside_ceiling(scenario).await;
        }
        let first = self.report.rows.len();
        target::keep_events(false);
        self.measure_beside_ceiling(scenario).await?;
        target::keep_events(true);
        let second = self.report.rows.len();
        self.measure_beside_ceiling(scenario).await?;
        self.report.compare_durability(first, second);
        Ok(())
    }

    async fn measure_beside_ceiling(&mut self, scenario: Scenario) -> Result<()> {
        self.report.begin(scenario);
        self.measure(scenario).await?;
        let Some(before) = self.ceiling_before.take() else { return Ok(()) };
        let after = self.measure_ceiling("ceiling, measured again").await?;
        self.report.compare(&before, &after);
        Ok(())
    }

    async fn measure(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Callbacks => notices::callbacks(self).await,
            Scenario::Events => notices::events(self).await,
            Scenario::Fetch => fetch::fetch(self).await,
            Scenario::Get => requests::get(self).await,
            Scenario::Idle => idle::idle(self).await,
            Scenario::Join => join::join(self).await,
            Scenario::KickAll => kick::all(self).await,
            Scenario::KickList => kick::list(self).await,
            Scenario::KickOne => kick::one(self).await,
            Scenario::List => requests::list(self).await,
            Scenario::Media => media::media(self).await,
            Scenario::Mixed => requests::mixed(self).await,
            Scenario::Mute => requests::mute(self).await,
            Scenario::Parse => parse::parse(self).await,
            Scenario::Soak => soak::soak(self).await,
            Scenario::Start => idle::start(self).await,
        }
    }

    /// Measures the ceiling before a scenario that is compared with it. It is measured again after
    /// it, since a machine is never idle for long.
    async fn ceiling(&mut self) -> Result<()> {
        let measured = self.measure_ceiling("ceiling: bare axum JSON POST").await?;
        self.ceiling_before = Some(measured);
        Ok(())
    }

    async fn measure_ceiling(&mut self, name: &str) -> Result<Measurement> {
        self.say("the ceiling: a bare axum route");
        let pace = LoadPace { rate: None, ..self.pace(Some(self.seconds() / 2)) };
        let (measured, cpu) = ceiling::measure(pace).await?;
        self.report.add(ReportRow::new(name, &measured).cpu(cpu));
        Ok(measured)
    }

    fn pace(&self, time_max: Option<Duration>) -> LoadPace {
        LoadPace { connections: self.connections(), time_max, rate: self.flags.rate }
    }

    fn connections(&self) -> usize {
        self.flags.connections.into()
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.flags.seconds.unwrap_or(SECONDS).into())
    }

    /// Shows the current activity.
    fn say(&self, what: &str) {
        self.progress.say(what);
    }
}

fn bail_out() -> Result<()> {
    bail!("ended by a signal")
}

fn machine() -> Machine {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find(|it| it.starts_with("model name"));
    let name = name.and_then(|it| it.split(':').nth(1)).unwrap_or("unknown").trim();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let now = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
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

/// Commit that the builder names, or else that of the source folder.
fn commit() -> String {
    if let Some(commit) = option_env!("CONFLOW_COMMIT") {
        return commit.to_owned();
    }
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
        .output();
    let succeeded = output.ok().filter(|it| it.status.success());
    let text = succeeded.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    text.filter(|it| !it.is_empty()).unwrap_or_else(|| "unknown commit".to_owned())
}
