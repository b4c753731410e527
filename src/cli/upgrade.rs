//! Commands `conflow upgrade` and `conflow supervise`: their arguments and help.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::settings::Count;

/// Arguments of `conflow upgrade`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct UpgradeArgs {
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// Seconds to wait for the new process to serve.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub timeout: Count<1, 3_600>,
}

/// Arguments of `conflow supervise`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SuperviseArgs {
    /// Arguments of `conflow serve`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SERVE ARGUMENTS")]
    pub serve: Vec<OsString>,
}

/// Text below the help of `upgrade`.
pub(super) const AFTER_UPGRADE: &str = "\
Examples:
  conflow upgrade --data /var/lib/conflow
  docker exec conflow conflow upgrade

Put the new program in the place of the old one first. The engine asks it whether it accepts the
settings; if it does not, the old one goes on. Then the old process hands its sockets to systemd or to
conflow supervise, and ends; the new one goes on with all answered calls. Nobody is asked by a
re-INVITE, and HTTP connections wait. Exit code 1: nothing was changed, and the reason is printed, or
the new process does not serve in time. SIGUSR2 to the engine does the same, and the log says how it
went. docs/recovery.md has the unit for systemd, and what a container needs.";

/// Text below the help of `supervise`.
pub(super) const AFTER_SUPERVISE: &str = "\
Examples:
  conflow supervise --config /etc/conflow.toml
  conflow supervise -- --http 127.0.0.1:0        all that follows goes to conflow serve

It is for containers and other places without systemd. It holds the listening sockets, starts the engine
again after a crash, and the new program at conflow upgrade. If the new program ends before it serves,
the previous one is started again. SIGTERM, SIGINT, SIGHUP and SIGUSR2 are passed on to the engine, and
its exit code is that of this command.";
