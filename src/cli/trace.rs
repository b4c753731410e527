//! Command `conflow trace`: its arguments and help.

use clap::Args;

use super::control::ControlOptions;
use crate::base::ids::CallId;

/// Arguments of `conflow trace`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TraceArgs {
    /// The call's call_uuid: of a live call, or of one that ended within 7 days (traces.keep).
    pub call: CallId,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Text below the help: examples and the format of the output.
pub const AFTER_HELP: &str = "\
Examples:
  conflow trace 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10
  CONFLOW_AUTH_TOKEN=… conflow trace UUID --url https://conflow.example --account MA…

Each element is a line: start and end (ms since the call began), line and column, and why it ended;
then its causes, back to the request of the API. The element's line of the document is below it, and
those whom a <Dial> has called: each is a call with a trace of its own.";
