//! `conflow bench`: what can be typed behind it.

use std::{fmt, path::PathBuf};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser, value_parser};
use serde::Serialize;

use super::login::LoginArgs;

/// The flags of `conflow bench`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BenchArgs {
    /// What is measured [default: all of them but soak].
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<Scenario>,
    /// Members in all [default: as many as a scenario needs].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=2_000_000))]
    pub members: Option<u32>,
    /// Rooms, where a scenario does not come with rooms of its own.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=200_000))]
    pub rooms: Option<u32>,
    /// Connections that ask at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u16).range(1..=1_024))]
    pub connections: u16,
    /// How long a scenario asks that could go on for ever [default: 3; soak: 60].
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=3_600))]
    pub seconds: Option<u16>,
    /// Requests a second, whether or not the last is answered: a stall then counts for all that
    /// it held up [default: each connection asks as soon as it is answered].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// An engine that runs already is measured, in place of one of the bench's own: as
    /// http://127.0.0.1:8080. What the bench brings into it is gone afterwards.
    // Not from the environment: no server meets a bench by accident.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub url: Option<String>,
    /// For `--url`.
    #[command(flatten)]
    pub login: LoginArgs,
    /// So many times all of it; the table has the medians.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u8).range(1..=99))]
    pub runs: u8,
    /// Draw latencies, and what the size of a room costs, as SVG files in this folder.
    #[arg(long, value_name = "DIR")]
    pub plot: Option<PathBuf>,
    /// For programs: the medians as `rows`, and all `runs`.
    #[arg(long)]
    pub json: bool,
}

/// How long a scenario asks that could go on for ever, if nobody says.
pub const SECONDS: u16 = 3;

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// One member at a time is kicked, in rooms of 10, 100 and 1,000.
    KickOne,
    /// Lists of 10 members are kicked, in rooms of 100.
    KickList,
    /// All members of a room are kicked, in rooms of 10 to 10,000.
    KickAll,
    /// Nothing happens: memory, and what waiting costs.
    Idle,
    /// Simulated phones dial in.
    Join,
    /// Members are muted, and no longer, in rooms of 10.
    Mute,
    /// A room is shown, of 10, 100 and 1,000.
    Get,
    /// The names of 100 rooms are listed.
    List,
    /// Joins, kicks, mutes and looks at once.
    Mixed,
    /// A URL is told of enters and exits in 100 rooms, at 5,000 a second (or --rate).
    Callbacks,
    /// The same over the stream of events.
    Events,
    /// A flow is fetched over HTTP, beside a bare GET of the same document.
    Fetch,
    /// A flow is read, beside what reading XML takes.
    Parse,
    /// The engine starts.
    Start,
    /// Joins, leaves, kicks and mutes for long, and whether memory and gauges return to where they
    /// were. Only if it is named.
    Soak,
}

impl Scenario {
    /// Those that are measured if nobody says which.
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
  conflow bench                                  everything but soak, in about three minutes
  conflow bench kick-one kick-all
  conflow bench idle --members 1000000 --rooms 100000
  conflow bench soak --seconds 3600              whether an hour leaves anything behind
  conflow bench mute --rate 5000 --seconds 30    what 5,000 a second wait
  conflow bench kick-one --runs 3 --plot plots   medians of three runs, and pictures
  CONFLOW_AUTH_TOKEN=… conflow bench mute --url http://10.0.0.7:8080 --account MA1

The engine runs as a second process with one worker, as does what it is compared with: a bare axum
route that takes and gives JSON. Machines differ and are never quiet: the ratio counts.

An engine of --url needs simulated phones (--sim), no limits for the account (--rate-limit 0
--calls-max 0 --calls-per-second 0), and to be allowed to fetch flows from this machine
(--fetch-allow); in development mode, and on the same machine, it has all that. Its rooms are called
conflow-bench-…, and a Ctrl-C closes them as well. Its memory and processor time are not seen.";

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
        check("kick", None);
        check("mute --connections 0", None);
        check("mute --runs 0", None);
        check("mute --url=", None);
        check("idle --members 3000000", None);
    }
}
