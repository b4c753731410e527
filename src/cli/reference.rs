//! `conflow reference`: the flow language, as the engine itself knows it.

use clap::{Args, ValueEnum};

/// What is to be printed.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ReferenceArgs {
    /// For people, for programs, or for editors.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: ReferenceFormat,
}

/// For whom it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ReferenceFormat {
    /// Markdown.
    #[default]
    Md,
    /// JSON.
    Json,
    /// An XML Schema 1.0.
    Xsd,
}
