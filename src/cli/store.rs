//! Command `conflow store`: its arguments and help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::events::OutputFormat;

/// Subcommands of `conflow store`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum StoreCommand {
    /// Look for damage in the file, its version and every row. Exit code 1 if there is any.
    #[command(after_help = AFTER_CHECK)]
    Check(CheckStore),
    /// Show what the data folder keeps, how much and how old; an engine may be running on it.
    #[command(after_help = AFTER_STATE)]
    State(ShowState),
    /// Copy a consistent snapshot of the store to a new file.
    #[command(after_help = AFTER_BACKUP)]
    Backup(BackUpStore),
    /// Make a data folder of a backup: the store, the events and the account-key.
    #[command(after_help = AFTER_RESTORE)]
    Restore(RestoreStore),
}

/// Arguments of `store check`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CheckStore {
    /// A backup to check instead of the data folder's store.
    pub file: Option<PathBuf>,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `store state`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ShowState {
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Arguments of `store backup`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BackUpStore {
    /// Path of the backup. An existing file is not overwritten: that is an error.
    pub file: PathBuf,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `store restore`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RestoreStore {
    /// Path of the backup.
    pub file: PathBuf,
    /// Data folder that has no store: new, or one from which conflow.db was removed.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

const AFTER_CHECK: &str = "\
Examples:
  conflow store check
  conflow store check --data /var/lib/conflow
  conflow store check backup.db                  a backup

check changes nothing. An engine may be running on the folder.";

const AFTER_STATE: &str = "\
Examples:
  conflow store state
  conflow store state --data /var/lib/conflow --format json

It shows the free space; the state log with the events of each account, live calls and waiting callbacks;
the rows of each table of the database (records are calls that have ended, repeats are responses to
requests with an Idempotency-Key, marks are reserved member ids); and the other folders. It changes
nothing.";

const AFTER_BACKUP: &str = "\
Examples:
  conflow store backup backup.db
  conflow store backup --data /var/lib/conflow /backups/$(date +%F).db

A backup contains accounts and the account-key, so it is as secret as their tokens (only its owner
may read it); people, groups and their audit, their tokens and passwords (as hashes), bans, call
detail records, responses to requests with an Idempotency-Key, reserved member ids, and the events that
are kept, with the callbacks that wait; and the rows of recordings. It does not contain the
configuration, flows, traces (DATA/traces), the audio of recordings (DATA/recordings), or what conflow
makes again: the built-in voices (DATA/voices), and the development account's token (DATA/dev-token).

conflow store restore makes a data folder of it.";

const AFTER_RESTORE: &str = "\
Examples:
  conflow store restore backup.db --data /var/lib/conflow

The backup is checked first. If the data folder has a store already, nothing is done: stop the
engine, and move conflow.db, conflow.db-wal, conflow.db-shm, account-key and the folder state away. A
backup that an earlier version made has no account-key: put that file into the data folder, or run
conflow account reset-key.

The ids of all events get another epoch, so that no new event has the id of one that happened after the
backup; readers of the event stream get one gap. Calls that were up at the backup end with the cause
crashed, and callbacks that waited then are sent, although some may have arrived since.";

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};

    #[test]
    fn a_backup_needs_a_name_and_a_check_none() {
        let check = |line: &str, expected| {
            let line = format!("conflow store {line}");
            let parsed = parse(line.split_whitespace().map(Into::into));
            let is_store = matches!(parsed, Ok(Command::Store(_)));
            assert_eq!(is_store, expected, "{line}: {parsed:?}");
        };
        check("check", true);
        check("check b.db", true);
        check("check --data d", true);
        check("backup b.db --data d", true);
        check("state", true);
        check("state --data d --format json", true);
        check("state x", false);
        check("backup", false);
        check("backup b.db c.db", false);
        check("restore b.db --data d", true);
        check("restore", false);
        check("", false);
    }
}
