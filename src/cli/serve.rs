//! Command `conflow serve`: its arguments and help.

use std::path::PathBuf;

use clap::Args;

use super::settings::Settings;

/// Arguments of `conflow serve`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ServeArgs {
    /// Configuration file [default: conflow.toml in the working directory, if there is one].
    ///
    /// Without a file, conflow is in development mode: one account (MACONFLOWDEV00000000) with a
    /// random token in DATA/dev-token, simulated phones, and no rate limit.
    #[arg(long, env = "CONFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings in effect as a configuration file, and exit.
    #[arg(long)]
    pub print_config: bool,
    /// Start with an empty database although the data folder has an account-key, so it had one.
    #[arg(long)]
    pub new_store: bool,
    /// End the calls that the last process has left, instead of restoring them.
    #[arg(long)]
    pub no_restore: bool,
    /// Settings from flags and environment.
    #[command(flatten)]
    pub settings: Settings,
}

/// Arguments of the engine that `conflow bench` starts.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct EngineArgs {
    /// Arguments of `conflow serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Keep events and callbacks in memory only, to measure the cost of the state log.
    #[arg(long)]
    pub without_state_log: bool,
}

/// Text below the short help.
pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow serve                                  try it: simulated phones, a token of its own
  conflow serve --http 127.0.0.1:0               on any free port; the log says which
  conflow serve --config conflow.toml --drain 60
  conflow serve --print-config > my.toml         a file to begin with

Precedence: flags, environment, conflow.toml, defaults. For --log-format, the variable is
CONFLOW_LOG_FORMAT, and the key in the file is format in [log]. More with --help.";

/// Text below the long help.
pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  conflow serve
      Development mode: http://127.0.0.1:8080, the flows in ./flows, simulated phones. The banner
      has the first commands to try, ready to paste.

  conflow serve --http 127.0.0.1:0 --data /tmp/conflow
      Any free port; the log says which. Data (the token, member ids) in a separate folder.

  conflow serve --config /etc/conflow.toml --drain 60 --log-format json
      The file's settings, except for these flags. After a SIGTERM, calls have a minute to end.

  conflow serve --print-config > my.toml
      A file to start from. Replace each \"…\" by a token.

  CONFLOW_HTTP=0.0.0.0:8080 CONFLOW_SIM=true conflow serve --config conflow.toml
      Environment variables, for containers.

Settings:
  Precedence: flags, environment, conflow.toml, defaults. The variable of --log-format is
  CONFLOW_LOG_FORMAT, and so on. The key in the file is the flag's name with _ for -: --rate-limit
  is rate_limit. In a table it is shorter: --log-format is format in [log], --sim is on in [sim].
  Accounts and numbers are in the file only: see conflow.example.toml. In development mode,
  CONFLOW_AUTH_TOKEN sets the account's token.

Shutdown:
  SIGTERM or SIGINT: no new calls, /readyz answers 503, calls may continue for --drain seconds.
  Then all members leave their conferences, goodbyes play for at most 5 seconds, and the remaining
  calls are hung up. A second signal ends conflow at once. Exit codes: 0 done, 1 failure, 2 usage.

Reload:
  SIGHUP reads the file again. If it has an error, nothing changes and the log says why. Otherwise
  accounts with their tokens, numbers, endpoints, trunks, log.level, fetch.allow, trusted_proxies,
  cors.origins, members_max, call_time_limit, the limits of accounts, and of [recordings] accounts,
  keep_days, keep_gb, url and url_ttl take effect; calls go on with what they had. Certificates whose files have changed are read again, too. The log names changes that need a restart.

Upgrade:
  SIGUSR2, or conflow upgrade: a new program takes the place of this one, and its calls go on. It needs
  systemd with FileDescriptorStoreMax=, or conflow supervise: see conflow upgrade --help.";
