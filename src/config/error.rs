//! Errors of a configuration.

use std::{io, path::PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file as a whole is unusable, or flags and environment contradict it.
    #[error("{0}")]
    Incomplete(String),
    /// A line of the file is invalid.
    #[error("{}, line {line}: {key}: {why}", path.display())]
    Line {
        /// Path of the configuration file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Text before the `=` in that line. The value is left out, since it may be a secret.
        key: String,
        /// The error, and which values are allowed.
        why: String,
    },
    /// The file cannot be read, or is too large.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Path of the configuration file.
        path: PathBuf,
        /// Error of the system call.
        source: io::Error,
    },
}
