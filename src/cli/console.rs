//! Settings of the web console: the table `[console]`.

use clap::{Args, builder::BoolishValueParser};
use serde::Deserialize;

use super::values::WebOrigin;

/// One layer of the table `[console]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Serve the web console, under /console/ [default: false; true in development].
    #[arg(
        id = "console", long, env = "CONFLOW_CONSOLE", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Console"
    )]
    pub on: Option<bool>,
    /// Origins (scheme, host and port) at which browsers may open the console, such as that of a TLS
    /// proxy [default: this machine's names for itself].
    #[arg(
        id = "console_origins",
        long = "console-origins",
        env = "CONFLOW_CONSOLE_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Console"
    )]
    pub origins: Option<Vec<WebOrigin>>,
}

impl ConsoleSettings {
    /// These settings; where they are None, those of `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self { on: self.on.or(below.on), origins: self.origins.or(below.origins) }
    }
}
