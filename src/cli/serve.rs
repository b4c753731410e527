//! `conflow serve`: what can be typed behind it.

use std::path::PathBuf;

use clap::Args;

use super::settings::Settings;

/// The flags of `conflow serve`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ServeArgs {
    /// The configuration file; else conflow.toml, if there is one here.
    ///
    /// Without a file, conflow is in development mode: one account (MACONFLOWDEV00000000) with a
    /// random token in DATA/dev-token, simulated phones, and no rate limit.
    #[arg(long, env = "CONFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings that hold, as a configuration file, and stop.
    #[arg(long)]
    pub print_config: bool,
    /// The settings that are typed, or in the environment.
    #[command(flatten)]
    pub settings: Settings,
}

/// Under the short help.
pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow serve                                  try it: simulated phones, a token of its own
  conflow serve --http 127.0.0.1:0               on any free port; the log says which
  conflow serve --config conflow.toml --drain 60
  conflow serve --print-config > my.toml         a file to begin with

A flag stands above its variable (CONFLOW_LOG_FORMAT for --log-format), that above the file
(format in [log]), that above the default. More with --help.";

/// Under the long help.
pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  conflow serve
      Development mode: http://127.0.0.1:8080, the flows in ./flows, simulated phones. The banner
      has the first commands to try, ready to paste.

  conflow serve --http 127.0.0.1:0 --data /tmp/conflow
      On any free port; the log says which. Data (the token, member ids) in a folder of its own.

  conflow serve --config /etc/conflow.toml --drain 60 --log-format json
      As in the file, but for what is typed. At a SIGTERM, calls get a minute to end by themselves.

  conflow serve --print-config > my.toml
      A file to begin with. Put tokens where it has \"…\".

  CONFLOW_HTTP=0.0.0.0:8080 CONFLOW_SIM=true conflow serve --config conflow.toml
      Variables, for containers.

Settings:
  A flag stands above its variable, that above the file, that above the default. The variable of
  --log-format is CONFLOW_LOG_FORMAT, and so on. The key in the file is the flag's name with _
  for -: --rate-limit is rate_limit; but --log-format is format in [log], and so it is with
  [voice] and [sim], where --sim is on. Accounts and numbers are in the file only: see
  conflow.example.toml. In development mode CONFLOW_AUTH_TOKEN gives the account its token.

End:
  SIGTERM or SIGINT: no new calls, /readyz answers 503, calls get the --drain seconds to end by
  themselves. Then all leave their conferences, goodbyes play for 5 seconds at most, and the rest
  is hung up. A second signal ends it at once. Exit codes: 0 done, 1 failure, 2 wrong usage.";
