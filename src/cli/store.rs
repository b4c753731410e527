//! `conflow store`: what is kept in a data folder, looked at from outside.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What can be done about a store.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum StoreCommand {
    /// Look for damage: the file, its version, and every row. Exit code 1 if there is any.
    #[command(after_help = AFTER_CHECK)]
    Check(CheckStore),
    /// Copy it, as it is at one moment, to a file that is not there yet.
    #[command(after_help = AFTER_BACKUP)]
    Backup(BackUpStore),
}

/// Which store is looked at.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CheckStore {
    /// A backup, in place of the store in the data folder.
    pub file: Option<PathBuf>,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// From where to where.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BackUpStore {
    /// The backup; a file that is there already is left as it is, and told of.
    pub file: PathBuf,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

const AFTER_CHECK: &str = "\
Examples:
  conflow store check
  conflow store check --data /var/lib/conflow
  conflow store check backup.db                  a backup

Nothing is changed. An engine may be running on the folder.";

const AFTER_BACKUP: &str = "\
Examples:
  conflow store backup backup.db
  conflow store backup --data /var/lib/conflow /backups/$(date +%F).db

In it: people, groups, their audit, tokens and passwords (as hashes), records of calls, answers to
requests with an Idempotency-Key, member-id marks. Not in it: the configuration, flows, and the
development account's token (DATA/dev-token).

To go back to it: stop the engine; remove conflow.db, conflow.db-wal and conflow.db-shm in the data
folder; put the backup there as conflow.db.";

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
        check("backup", false);
        check("backup b.db c.db", false);
        check("", false);
    }
}
