//! Configuration of the web console: values of the table `[console]`.

use serde::Serialize;

use super::ConfigError;
use crate::{
    cli::{console::ConsoleSettings, settings::WebOrigin},
    console::origins,
};

/// Checked values of the table `[console]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConsoleConfig {
    /// Whether there is a console.
    pub on: bool,
    /// Where it may be opened; empty: at this machine's names for itself.
    pub origins: Vec<WebOrigin>,
}

impl ConsoleConfig {
    pub(super) fn new(layer: ConsoleSettings, is_development: bool) -> Self {
        let origins = layer.origins.unwrap_or_default();
        Self { on: layer.on.unwrap_or(is_development), origins }
    }

    /// Checks that tokens and sessions are not sent in the clear.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.origins.iter().find(|it| !origins::is_private(&it.0)) {
            None => Ok(()),
            Some(origin) => Err(ConfigError::Incomplete(format!(
                "console.origins: {} would send tokens in the clear: write https://…, and put a TLS \
                 proxy before conflow or set http_cert and http_key; http:// is good for localhost",
                origin.0
            ))),
        }
    }
}
