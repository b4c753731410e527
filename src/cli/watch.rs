//! `conflow watch`: the rooms of a running server, live.

use std::path::PathBuf;

use clap::{Args, builder::NonEmptyStringValueParser};

use crate::ids::{AccountId, ConferenceName};

/// What is watched, and how. The token comes from CONFLOW_AUTH_TOKEN or a file: a typed one would
/// be seen by others.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Watch {
    /// Where the server is.
    #[arg(
        long,
        env = "CONFLOW_URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub url: String,
    /// Whose rooms [default: the development account's].
    #[arg(long, env = "CONFLOW_AUTH_ID", value_name = "ID")]
    pub account: Option<AccountId>,
    /// Where the account's token is, unless CONFLOW_AUTH_TOKEN has it; a read-only one will do.
    #[arg(long, env = "CONFLOW_TOKEN_FILE", value_name = "FILE", default_value = "data/dev-token")]
    pub token_file: PathBuf,
    /// Look into this one first.
    #[arg(long, value_name = "NAME")]
    pub room: Option<ConferenceName>,
    /// Print one screen as plain text, and be done; it needs no terminal.
    #[arg(long)]
    pub once: bool,
}

/// What stands below the help.
pub const AFTER_HELP: &str = "\
Keys: arrows or hjkl select, Tab changes the list, PgUp, PgDn, Home and End go far, q quits. It only
looks: nothing that is pressed changes anything in the server.

Examples:
  conflow watch                                  on a server in development mode, in its folder
  conflow watch --once --room weekly
  CONFLOW_AUTH_TOKEN=… conflow watch --url https://example.com --account MA1";
