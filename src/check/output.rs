//! Output of `conflow check`: text or JSON, and the exit code.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::{
    gather::{Gathered, GatheredDocument, gather},
    snippet,
};
use crate::{
    cli::check::{CheckArgs, CheckFormat, ColorChoice},
    flow::check::{Code, Finding, Levels, Severity},
};

/// Exit code for an error, and for a warning with `--deny-warnings`.
pub(super) const FOUND: u8 = 1;

/// Exit code for a wrong command line or an unreadable file.
pub(super) const USAGE: u8 = 2;

/// # Errors
///
/// The findings cannot be written.
pub(super) fn check_once(arguments: &CheckArgs) -> io::Result<ExitCode> {
    let mut levels = Levels::default();
    arguments.levels.iter().for_each(|&(code, level)| levels.set(code, level));
    let gathered = gather(&arguments.paths, arguments.dialect, &levels);
    let mut out = io::stdout().lock();
    match arguments.format {
        CheckFormat::Json => write_json(&gathered, &mut out)?,
        CheckFormat::Text => write_text(&gathered, is_coloured(arguments.color), &mut out)?,
    }
    out.flush()?;
    for problem in &gathered.problems {
        writeln!(io::stderr(), "conflow: {problem}")?;
    }
    Ok(ExitCode::from(code(&gathered, arguments.deny_warnings)))
}

/// Prints what a code means, and what the author can do.
///
/// # Errors
///
/// The text cannot be written.
pub(super) fn explain(code: Code) -> io::Result<ExitCode> {
    let (level, name) = (code.severity().text(), code.text());
    let (doc, advice) = (code.doc().trim(), code.advice());
    writeln!(
        io::stdout(),
        "{name} ({level} by default): {doc}\nHelp: {advice}.\nAnother level: --level {name}=off (or \
         error, warning, hint), or <!-- conflow-check {name}=off --> in the document."
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn code(gathered: &Gathered, denies_warnings: bool) -> u8 {
    let mut findings = gathered.findings();
    match () {
        () if !gathered.problems.is_empty() => USAGE,
        () if findings.any(|(_, it)| match it.level {
            Severity::Error => true,
            Severity::Warning => denies_warnings,
            Severity::Hint => false,
        }) =>
        {
            FOUND
        }
        () => 0,
    }
}

/// One element of the JSON array.
#[derive(Serialize)]
pub(super) struct FindingRow<'a> {
    /// Path as given on the command line; `-` for the standard input.
    file: &'a str,
    line: u32,
    column: u32,
    level: &'static str,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    advice: &'static str,
}

impl<'a> FindingRow<'a> {
    fn of((document, finding): (&'a GatheredDocument, &'a Finding)) -> Self {
        Self {
            file: &document.shown,
            line: finding.at.line,
            column: finding.at.column,
            level: finding.level.text(),
            severity: finding.level.old_text(),
            code: finding.code.text(),
            message: &finding.message,
            advice: finding.code.advice(),
        }
    }
}

pub(super) fn write_json(gathered: &Gathered, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<_> = gathered.findings().map(FindingRow::of).collect();
    serde_json::to_writer_pretty(&mut *out, &rows)?;
    writeln!(out)
}

pub(super) fn write_text(
    gathered: &Gathered,
    is_coloured: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    for (document, finding) in gathered.findings() {
        snippet::write(document, finding, is_coloured, out)?;
        writeln!(out)?;
    }
    let of = |level| gathered.findings().filter(|(_, it)| it.level == level).count();
    let (files, errors) = (gathered.documents.len(), of(Severity::Error));
    let (files, errors) = (count(files, "document"), count(errors, "error"));
    write!(out, "{files}: {errors}, {}", count(of(Severity::Warning), "warning"))?;
    match of(Severity::Hint) {
        0 => writeln!(out),
        hints => writeln!(out, ", {}", count(hints, "hint")),
    }
}

pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// By <https://no-color.org>, `NO_COLOR` counts if it is not empty.
pub(super) fn is_coloured(color: ColorChoice) -> bool {
    match color {
        ColorChoice::Always => true,
        ColorChoice::Auto => {
            let is_unwanted = env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
            io::stdout().is_terminal() && !is_unwanted
        }
        ColorChoice::Never => false,
    }
}
