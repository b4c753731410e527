//! As whom a running server is asked: what can be typed about it.

use std::path::PathBuf;

use clap::Args;

use crate::base::ids::AccountId;

/// An account. Its token comes from CONFLOW_AUTH_TOKEN or a file: a typed one would be seen by
/// others.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct LoginArgs {
    /// As which account the server is asked [default: the development account].
    #[arg(long, env = "CONFLOW_AUTH_ID", value_name = "ID")]
    pub account: Option<AccountId>,
    /// Where the account's token is, unless CONFLOW_AUTH_TOKEN has it.
    #[arg(long, env = "CONFLOW_TOKEN_FILE", value_name = "FILE", default_value = "data/dev-token")]
    pub token_file: PathBuf,
}

/// The account of development mode; 20 characters, as Plivo's SDK wants it.
pub const DEVELOPMENT_ACCOUNT: &str = "MACONFLOWDEV00000000";
