//! Command `conflow bench`: its arguments and help.

use std::{fmt, path::PathBuf};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser, value_parser};
use serde::Serialize;

use super::login::LoginArgs;

/// Arguments of `conflow bench`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BenchArgs {
    /// Scenarios to measure [default: all except soak].
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<Scenario>,
    /// Total number of members [default: as many as a scenario needs].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=2_000_000))]
    pub members: Option<u32>,
    /// Number of rooms, unless the scenario has its own.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=200_000))]
    pub rooms: Option<u32>,
    /// Connections that send requests concurrently.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u16).range(1..=1_024))]
    pub connections: u16,
    /// Duration of a scenario that has no end of its own [default: 3; soak: 60].
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=3_600))]
    pub seconds: Option<u16>,
    /// Requests a second, whether or not the last one is answered: a stall then delays every
    /// request that was due meanwhile [default: each connection sends the next request after a
    /// response].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Measure a running engine, such as http://127.0.0.1:8080, instead of one that the bench
    /// starts. The bench removes what it creates there.
    // Not from the environment: nobody should benchmark a server by accident.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub url: Option<String>,
    /// Account for the engine of `--url`.
    #[command(flatten)]
    pub login: LoginArgs,
    /// Measure each scenario twice in turn, first with an engine whose events and callbacks end with
    /// the process, and compare: that is the cost of the state log.
    #[arg(long, conflicts_with = "url")]
    pub durability: bool,
    /// Keep rows of calls, as of those of real phones (recovery.simulated): what it costs that calls outlive
    /// the process. With --durability, only in the second half.
    #[arg(long, conflicts_with = "url")]
    pub rows: bool,
    /// Repeat all of it this many times; the table shows the medians.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u8).range(1..=99))]
    pub runs: u8,
    /// Draw latencies, and the cost of a room's size, as SVG files in this folder.
    #[arg(long, value_name = "DIR")]
    pub plot: Option<PathBuf>,
    /// Print JSON for programs: the medians as `rows`, and all `runs`.
    #[arg(long)]
    pub json: bool,
}

/// Default duration of a scenario that has no end of its own, in seconds.
pub const SECONDS: u16 = 3;

/// Scenarios of `conflow bench`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Kick one member at a time, in rooms of 10, 100 and 1,000.
    KickOne,
    /// Kick lists of 10 members, in rooms of 100.
    KickList,
    /// Kick all members of a room, in rooms of 10 to 10,000.
    KickAll,
    /// Do nothing: memory and processor time of waiting members.
    Idle,
    /// Simulated phones call in and join rooms of 10 and of 10,000, without and with sounds.
    Join,
    /// Calls with G.711 sound in rooms of 3, 10 and 100, more and more, until a packet is late by 20
    /// ms.
    Media,
    /// Mute and unmute members, in rooms of 10.
    Mute,
    /// Get a room of 10, 100 and 1,000 members.
    Get,
    /// List the names of 100 rooms.
    List,
    /// Joins, kicks, mutes and reads at once.
    Mixed,
    /// Send enters and exits of 100 rooms to a URL, at 5,000 a second (or --rate).
    Callbacks,
    /// Send enters and exits of 100 rooms over the stream of events.
    Events,
    /// Fetch a flow over HTTP, compared with a bare GET of the document.
    Fetch,
    /// Parse a flow, compared with parsing its XML alone.
    Parse,
    /// Start the engine, ten times.
    Start,
    /// Join, leave, kick and mute for a long time; checks that memory and gauges return to where
    /// they were. Runs only if it is named.
    Soak,
}

impl Scenario {
    /// Scenarios that run if none is named: all except soak.
    pub fn default_set() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|it| *it != Self::Soak).collect()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("none is hidden");
        f.write_str(value.get_name())
    }
}

pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow bench                                  everything but soak, in about five minutes
  conflow bench kick-one kick-all
  conflow bench idle --members 1000000 --rooms 100000
  conflow bench soak --seconds 3600              look for leaks for an hour
  conflow bench kick-one join --durability       what it costs that events outlive the process
  conflow bench kick-one join --durability --rows    … and that calls do
  conflow bench mute --rate 5000 --seconds 30    latency at 5,000 requests a second
  conflow bench kick-one --runs 3 --plot plots   medians of three runs, and pictures
  CONFLOW_AUTH_TOKEN=… conflow bench mute --url http://10.0.0.7:8080 --account MA1

The engine runs as a second process with one worker, and so does the server that it is compared
with: a bare axum route that reads and writes JSON. Machines differ and are never idle: look at the
ratio. The route is measured before and after each scenario, and a ratio uses the mean. A row is
noisy if these two differ by more than 10 %, or if other processes took more than 5 % of the
machine: a target that it misses is then unclear, and the bench should be run again.

An engine of --url needs simulated phones (--sim), no limits for the account (--rate-limit 0
--calls-max 0 --calls-per-second 0), and access to flows on this machine (--fetch-allow); in
development mode on the same machine, it has all of them. Its rooms are called conflow-bench-…;
Ctrl-C closes them, too. Its memory and processor time are not measured.";

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};
    use super::*;

    #[test]
    fn scenarios_and_numbers_are_taken_and_others_are_not() {
        let check = |line: &str, expected: Option<&[Scenario]>| {
            let line = format!("conflow bench {line}");
            let parsed = parse(line.split_whitespace().map(Into::into));
            let found = match parsed {
                Ok(Command::Bench(bench)) => Some(bench.scenarios),
                Ok(_) | Err(_) => None,
            };
            assert_eq!(found.as_deref(), expected, "{line}");
        };
        check("", Some(&[]));
        check("kick-one idle", Some(&[Scenario::KickOne, Scenario::Idle]));
        check("mute --rate 100 --seconds 1 --json", Some(&[Scenario::Mute]));
        check("mute --url http://here --account MA1 --runs 3 --plot x", Some(&[Scenario::Mute]));
        check("join --durability", Some(&[Scenario::Join]));
        check("join --durability --rows", Some(&[Scenario::Join]));
        check("join --durability --url http://here", None);
        check("join --rows --url http://here", None);
        check("kick", None);
        check("mute --connections 0", None);
        check("mute --runs 0", None);
        check("mute --url=", None);
        check("idle --members 3000000", None);
    }
}
