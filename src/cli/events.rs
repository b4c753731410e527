//! Command `conflow events`: its arguments and help.

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use super::login::ServerArgs;
use crate::base::{
    ids::{CallId, ConferenceName},
    utc,
};

/// Arguments of `conflow events`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct EventsArgs {
    /// Server and account whose events are printed.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Wait for further events, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// Begin with the first event from this time on, in UTC (2026-11-30 07:16:44), or this long ago
    /// (90s, 10m, 2h, 1d).
    #[arg(long, value_name = "TIME|DURATION", conflicts_with = "after")]
    pub since: Option<Since>,
    /// Begin behind this event; 0: with the oldest that is kept [default: 0; with --follow: now].
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// Print only what is about this call.
    #[arg(long, value_name = "UUID")]
    pub call: Option<CallId>,
    /// Print only what is about conferences of this name.
    #[arg(long, value_name = "NAME")]
    pub conference: Option<ConferenceName>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Form of the output of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// Lines that people read.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// A point in the past.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// A time before now.
    Ago(Duration),
    /// A time in UTC, as the API writes it.
    At(String),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        for (unit, seconds) in units {
            let count = text.strip_suffix(unit).and_then(|it| it.parse::<u32>().ok());
            if let Some(count) = count {
                return Ok(Self::Ago(Duration::from_secs(u64::from(count) * seconds)));
            }
        }
        let time = utc::parse(text).map(|it| Self::At(utc::precise(it)));
        time.ok_or_else(|| {
            "give a time in UTC such as \"2026-11-30 07:16:44\", or how long ago: 90s, 10m, 2h, 1d"
                .to_owned()
        })
    }
}

/// Text below the help: examples and the format of the output.
pub const AFTER_HELP: &str = "\
Examples:
  conflow events --follow                        what happens from now on
  conflow events --since 10m --conference weekly
  conflow events --call 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10 --format json
  CONFLOW_AUTH_TOKEN=… conflow events --url https://example.com --account MA1 --after 1764000000-17

Each event is a line: its time (UTC), what happened, and its id, with which --after goes on. Events are
kept for a day (events.keep), over restarts. With --format json, a line is an object with id, event and
data, the fields of the callback. A read-only token is enough. If events are missing, because they are
no longer kept, a line \"gap\" says so. With --follow, a lost connection is opened again, and nothing is
missed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_the_past_is_a_time_or_a_duration() {
        let ago = |seconds| Ok(Since::Ago(Duration::from_secs(seconds)));
        assert_eq!("90s".parse(), ago(90));
        assert_eq!("10m".parse(), ago(600));
        assert_eq!("2h".parse(), ago(7_200));
        assert_eq!("1d".parse(), ago(86_400));
        let at = |text: &str| Ok(Since::At(text.to_owned()));
        assert_eq!("2026-11-30 07:16".parse(), at("2026-11-30 07:16:00.000000"));
        assert_eq!("2026-11-30T07:16:44Z".parse(), at("2026-11-30 07:16:44.000000"));
        for text in ["", "d", "1w", "-1s", "yesterday", "1.5h"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
