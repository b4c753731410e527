//! `conflow check`: looks at flows before a caller does.

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::base::ids::Dialect;

/// What is to be looked at, and how it is told.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CheckArgs {
    /// Documents; folders, whose .xml files may lead to each other; or - for the standard input.
    #[arg(required = true, value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Whose defaults hold, and whose ways are remarked upon.
    #[arg(long, value_name = "VENDOR", default_value = "vobiz", value_parser = dialect())]
    pub dialect: Dialect,
    /// Text with a look at the source, or one JSON array.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: CheckFormat,
    /// A warning is reason enough for exit code 1.
    #[arg(long, alias = "deny-remarks")]
    pub deny_warnings: bool,
    /// Look again whenever a file is saved, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// By default, on a terminal and without NO_COLOR.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,
}

/// How findings are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Whatever is written to.
    Always,
    /// Nowhere.
    Never,
}

/// What stands below the help.
pub const AFTER_HELP: &str = "\
Exit codes: 0 without errors, 1 with an error (or a warning, with --deny-warnings), 2 for a mistake
in the command line or a file that cannot be read.

Examples:
  conflow check flows
  conflow check --dialect plivo --format json menu.xml
  conflow check --watch flows";

/// `plivo` or `vobiz`.
fn dialect() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(["plivo", "vobiz"]).map(|name| match name.as_str() {
        "plivo" => Dialect::Plivo,
        _ => Dialect::Vobiz,
    })
}
