//! Command `conflow watch`: its arguments and help.

use clap::Args;

use super::login::ServerArgs;
use crate::base::ids::ConferenceName;

/// Arguments of `conflow watch`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct WatchArgs {
    /// Server and account whose rooms are shown.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Select this room first.
    #[arg(long, value_name = "NAME")]
    pub room: Option<ConferenceName>,
    /// Print one screen as plain text and exit; it needs no terminal.
    #[arg(long)]
    pub once: bool,
}

/// Text below the help: keys and examples.
pub const AFTER_HELP: &str = "\
Keys: arrows or hjkl select, Tab changes the list, PgUp, PgDn, Home and End move far, q quits.
No key changes anything on the server, and a read-only token is enough.

Examples:
  conflow watch                                  a server in development mode, in its folder
  conflow watch --once --room weekly
  CONFLOW_AUTH_TOKEN=… conflow watch --url https://example.com --account MA1";
