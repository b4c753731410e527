//! `conflow bench`: what can be typed behind it.

use clap::{Args, ValueEnum, value_parser};

/// The flags of `conflow bench`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Bench {
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
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// How long a scenario asks that could go on for ever, if nobody says.
pub const SECONDS: u16 = 3;

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
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
    pub fn usual() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|it| *it != Self::Soak).collect()
    }
}

pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow bench                                  everything but soak, in about three minutes
  conflow bench kick-one kick-all
  conflow bench idle --members 1000000 --rooms 100000
  conflow bench soak --seconds 3600              whether an hour leaves anything behind
  conflow bench mute --rate 5000 --seconds 30    what 5,000 a second wait

The engine runs as a second process with one worker, as does what it is compared with: a bare axum
route that takes and gives JSON. Machines differ and are never quiet: the ratio counts.";

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
        check("kick", None);
        check("mute --connections 0", None);
        check("idle --members 3000000", None);
    }
}
