//! Command `conflow store`: its arguments and help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Subcommands of `conflow store`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum StoreCommand {
    /// Look for damage in the file, its version and every row. Exit code 1 if there is any.
    #[command(after_help = AFTER_CHECK)]
    Check(CheckStore),
    /// Copy a consistent snapshot of the store to a new file.
    #[command(after_help = AFTER_BACKUP)]
    Backup(BackUpStore),
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

/// Arguments of `store backup`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BackUpStore {
    /// Path of the backup. An existing file is not overwritten: that is an error.
    pub file: PathBuf,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

const AFTER_CHECK: &str = "\
Examples:
  conflow store check
  conflow store check --data /var/lib/conflow
  conflow store check backup.db                  a backup

check changes nothing. An engine may be running on the folder.";

const AFTER_BACKUP: &str = "\
Examples:
  conflow store backup backup.db
  conflow store backup --data /var/lib/conflow /backups/$(date +%F).db

A backup contains people, groups and their audit, tokens and passwords (as hashes), call detail
records, responses to requests with an Idempotency-Key, and reserved member ids. It does not contain
the configuration, flows, or the development account's token (DATA/dev-token).

To restore it: stop the engine; remove conflow.db, conflow.db-wal and conflow.db-shm from the data
folder; copy the backup there as conflow.db.";

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
