//! `conflow reference`: its arguments.

use clap::{Args, ValueEnum};

/// Arguments of `conflow reference`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ReferenceArgs {
    /// Markdown for people, JSON for programs, or an XML Schema for editors.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: ReferenceFormat,
}

/// Output format of the reference.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ReferenceFormat {
    /// One page of Markdown.
    #[default]
    Md,
    /// One object of JSON.
    Json,
    /// An XML Schema 1.0 document.
    Xsd,
}
