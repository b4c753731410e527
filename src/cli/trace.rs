//! `conflow trace`: asks a running engine what a call did, and why.

use std::path::PathBuf;

use clap::Args;

use crate::base::ids::{AccountId, CallId};

/// Which call, and whom to ask.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TraceArgs {
    /// The call's call_uuid; it is up, or one of the last 10,000 that are over.
    pub call: CallId,
    /// The engine.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Whose call it is: else the development account's. The token is in CONFLOW_AUTH_TOKEN, or in
    /// the data folder's dev-token.
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// As the API has it.
    #[arg(long)]
    pub json: bool,
}

/// Below the help.
pub const AFTER_HELP: &str = "\
Examples:
  conflow trace 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10
  CONFLOW_AUTH_TOKEN=… conflow trace UUID --url https://conflow.example --account MA…

A line for each element: from when to when (ms since the call began), line and column, and why it was
over; behind that, what led to it, back to the request of the API. Below it, the line of the document.";
