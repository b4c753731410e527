//! Configuration of the log: the table `[log]`.

use serde::Serialize;

use crate::{
    cli::settings::{LogFormat, LogLevel, LogSettings},
    fetch::HIDE_DEFAULT,
};

/// Checked values of the table `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogConfig {
    /// Text for people, or JSON for programs.
    pub format: LogFormat,
    /// Least severe level that is logged.
    pub level: LogLevel,
    /// Query parameters of URLs whose values neither the log nor traces show.
    pub hide: Vec<String>,
}

impl LogConfig {
    pub(super) fn new(layer: LogSettings) -> Self {
        let usual = || HIDE_DEFAULT.iter().map(|it| (*it).to_owned()).collect();
        Self {
            format: layer.format.unwrap_or_default(),
            level: layer.level.unwrap_or_default(),
            hide: layer.hide.unwrap_or_else(usual),
        }
    }
}
