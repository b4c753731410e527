//! Command `conflow callbacks`: its arguments and help.

use clap::{Args, Subcommand, builder::PossibleValuesParser};

use super::{
    events::{OutputFormat, Since},
    login::ServerArgs,
};
use crate::{base::ids::CallId, webhooks::history::DeliveryState};

/// Arguments of `conflow callbacks`.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CallbacksArgs {
    /// Another action than listing them.
    #[command(subcommand)]
    pub action: Option<CallbacksAction>,
    /// Filters and form of the list.
    #[command(flatten)]
    pub list: ListCallbacks,
}

/// Subcommands of `conflow callbacks`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum CallbacksAction {
    /// Send the callback of an event again, whether it has arrived or not.
    Repeat(RepeatCallback),
}

/// Arguments of `conflow callbacks` without a subcommand.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ListCallbacks {
    /// Server and account whose callbacks are listed.
    #[command(flatten)]
    pub server: ServerArgs,
    /// List only those in this state.
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(DeliveryState::NAMES))]
    pub state: Option<String>,
    /// List only those of events about this call.
    #[arg(long, value_name = "UUID")]
    pub call: Option<CallId>,
    /// List only those of events from this time on, in UTC, or this long ago (90s, 10m, 2h, 1d).
    #[arg(long, value_name = "TIME|DURATION")]
    pub since: Option<Since>,
    /// List at most this many, the latest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Arguments of `conflow callbacks repeat`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RepeatCallback {
    /// The id of the event, as the list and X-Conflow-Event-Id have it.
    #[arg(value_name = "EVENT_ID")]
    pub event_id: String,
    /// Server and account that has the event.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Text below the help: examples and the format of the output.
pub const AFTER_HELP: &str = "\
Examples:
  conflow callbacks --state failed
  conflow callbacks --call 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10
  conflow callbacks --state waiting --since 1h --format json
  conflow callbacks repeat 1764000000-17

Each callback is a line: the time of its event (UTC), its state, the event and its id, and the URL
without the values of its query. Below it are its last attempts, five at most: time, status, how long it
took, and why it failed.

  waiting     its turn has not come, or the next attempt has not
  in-flight   a request is under way
  arrived     the receiver has answered with 2xx
  failed      given up, after a day of attempts or because none can succeed
  dropped     there were too many

They are kept as long as events (events.keep, a day), over restarts: 50,000 that have arrived, and 50,000
failed or dropped ones. A read-only token is enough to list them, and not to repeat one.";

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};

    #[test]
    fn a_list_has_filters_and_a_repetition_an_event() {
        let check = |line: &str, expected| {
            let line = format!("conflow callbacks {line}");
            let parsed = parse(line.split_whitespace().map(Into::into));
            let is_good = matches!(parsed, Ok(Command::Callbacks(_)));
            assert_eq!(is_good, expected, "{line}: {parsed:?}");
        };
        check("", true);
        check("--state failed --since 2h --limit 3 --format json", true);
        check("--state gone", false);
        check("--call x", false);
        check("repeat 17-3", true);
        check("repeat 17-3 --url http://a --account MA1", true);
        check("repeat", false);
        check("repeat 17-3 --state failed", false);
        check("--state failed repeat 17-3", false);
    }
}
