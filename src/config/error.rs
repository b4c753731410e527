//! Errors of a configuration.

use std::{io, path::PathBuf};

/// Why there is no configuration to go by.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No line of a file is at fault, but the whole is.
    #[error("{0}")]
    Incomplete(String),
    /// A line of the file.
    #[error("{}, line {line}: {key}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From one.
        line: usize,
        /// What stands before the `=` there. The value might be a secret.
        key: String,
        /// What is wrong, and what is allowed.
        why: String,
    },
    /// The file is not to be had.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
