//! `conflow check`: its arguments and help.

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::{
    base::ids::Dialect,
    flow::check::{Code, Levels, Severity, unknown},
};

/// Arguments of `conflow check`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CheckArgs {
    /// Documents; folders; or - for the standard input. A document's flow: links are followed within
    /// its folder, and only the documents named here are reported.
    #[arg(required_unless_present = "explain", value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Vendor whose defaults apply; differences to this vendor cause warnings.
    #[arg(long, value_name = "VENDOR", default_value = "vobiz", value_parser = dialect())]
    pub dialect: Dialect,
    /// Text with snippets of the source, or one JSON array.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: CheckFormat,
    /// Level of a code: error, warning, hint or off; it also counts over a document's comments
    /// (<!-- conflow-check CODE=off -->). Repeatable.
    #[arg(long = "level", value_name = "CODE=LEVEL", value_parser = Levels::parse)]
    pub levels: Vec<(Code, Option<Severity>)>,
    /// Print what a code means, and what to do.
    #[arg(long, value_name = "CODE", value_parser = code, exclusive = true)]
    pub explain: Option<Code>,
    /// Exit with code 1 for warnings too, not for hints.
    #[arg(long, alias = "deny-remarks")]
    pub deny_warnings: bool,
    /// Check again whenever a file is saved, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// When to use colour. By default, on a terminal unless NO_COLOR is set.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,
}

/// Output format of the findings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum CheckFormat {
    /// Findings with snippets, for people.
    #[default]
    Text,
    /// A JSON array, for programs.
    Json,
}

/// When the output has colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Also if the output is not a terminal.
    Always,
    /// Not even on a terminal.
    Never,
}

/// Text after the list of arguments in `--help`.
pub const AFTER_HELP: &str = "\
Exit codes: 0 without errors, 1 with an error (or a warning, with --deny-warnings), 2 for a mistake
in the command line or a file that cannot be read.

Examples:
  conflow check flows
  conflow check --dialect plivo --format json menu.xml
  conflow check --level alone-under-vobiz=off --deny-warnings flows
  conflow check --explain bad-url
  conflow check --watch flows";

fn code(text: &str) -> Result<Code, String> {
    Code::named(text).ok_or_else(|| unknown(text))
}

/// Accepts the vendors' names in lower case.
fn dialect() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(["plivo", "vobiz"]).map(|name| match name.as_str() {
        "plivo" => Dialect::Plivo,
        _ => Dialect::Vobiz,
    })
}
