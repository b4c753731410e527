//! Command `conflow trace`: its arguments and help.

use std::path::PathBuf;

use clap::Args;

use super::login::TrustArgs;
use crate::base::ids::{AccountId, CallId};

/// Arguments of `conflow trace`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TraceArgs {
    /// The call's call_uuid: of a live call, or of one that ended within 7 days (traces.keep).
    pub call: CallId,
    /// URL of the running engine.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// What is trusted in addition to the public authorities.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// The call's account [default: the development account]. Its token is in CONFLOW_AUTH_TOKEN,
    /// or in the data folder's dev-token.
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// Print the API's JSON response.
    #[arg(long)]
    pub json: bool,
}

/// Text below the help: examples and the format of the output.
pub const AFTER_HELP: &str = "\
Examples:
  conflow trace 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10
  CONFLOW_AUTH_TOKEN=… conflow trace UUID --url https://conflow.example --account MA…

Each element is a line: start and end (ms since the call began), line and column, and why it ended;
then its causes, back to the request of the API. The element's line of the document is below it, and
those whom a <Dial> has called: each is a call with a trace of its own.";
