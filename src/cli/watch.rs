//! `conflow watch`: the rooms of a running server, live.

use clap::{Args, builder::NonEmptyStringValueParser};

use super::login::Login;
use crate::base::ids::ConferenceName;

/// What is watched, and how.
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
    /// Whose rooms.
    #[command(flatten)]
    pub login: Login,
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
looks: nothing that is pressed changes anything in the server, and a read-only token will do.

Examples:
  conflow watch                                  on a server in development mode, in its folder
  conflow watch --once --room weekly
  CONFLOW_AUTH_TOKEN=… conflow watch --url https://example.com --account MA1";
