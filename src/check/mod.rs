//! `conflow check`: reads documents, looks at them, and tells what it found.

mod gather;
mod snippet;
pub(super) mod watch;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;

use self::gather::{Document, Gathered, gather};
use crate::{
    cli::check::{Check, Color, Format},
    flow::check::{Finding, Severity},
};

/// A fault, or a remark where that is reason enough.
const FOUND: u8 = 1;
/// A mistake in the command line, or a file that cannot be read.
const USAGE: u8 = 2;

/// Does what `conflow check` was asked for, on the standard input and output.
pub fn check(asked: &Check) -> ExitCode {
    let reads_stdin = asked.paths.iter().any(|path| path.as_os_str() == "-");
    if asked.watch && reads_stdin {
        drop(writeln!(
            io::stderr(),
            "conflow: --watch needs files: the standard input is read once"
        ));
        return ExitCode::from(USAGE);
    }

    let done = match asked.watch {
        true => watch::again_and_again(asked),
        false => once(asked),
    };
    // Nobody reads on: there is nobody to tell, either.
    done.unwrap_or(ExitCode::FAILURE)
}

/// # Errors
///
/// What is found cannot be written.
fn once(asked: &Check) -> io::Result<ExitCode> {
    let gathered = gather(&asked.paths, asked.dialect);
    let mut out = io::stdout().lock();
    match asked.format {
        Format::Json => tell_programs(&gathered, &mut out)?,
        Format::Text => tell_people(&gathered, is_coloured(asked.color), &mut out)?,
    }
    out.flush()?;
    for trouble in &gathered.troubles {
        writeln!(io::stderr(), "conflow: {trouble}")?;
    }
    Ok(ExitCode::from(code(&gathered, asked.deny_remarks)))
}

fn code(gathered: &Gathered, denies_remarks: bool) -> u8 {
    let mut findings = gathered.findings();
    match () {
        () if !gathered.troubles.is_empty() => USAGE,
        () if findings.any(|(_, it)| denies_remarks || it.code.severity() == Severity::Fault) => {
            FOUND
        }
        () => 0,
    }
}

/// One element of the JSON array.
#[derive(Serialize)]
struct Row<'a> {
    /// As it was given; `-` for the standard input.
    file: &'a str,
    line: u32,
    column: u32,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    advice: &'static str,
}

impl<'a> Row<'a> {
    fn of((document, finding): (&'a Document, &'a Finding)) -> Self {
        Self {
            file: &document.shown,
            line: finding.at.line,
            column: finding.at.column,
            severity: finding.code.severity().text(),
            code: finding.code.text(),
            message: &finding.message,
            advice: finding.code.advice(),
        }
    }
}

fn tell_programs(gathered: &Gathered, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<_> = gathered.findings().map(Row::of).collect();
    serde_json::to_writer_pretty(&mut *out, &rows)?;
    writeln!(out)
}

fn tell_people(gathered: &Gathered, is_coloured: bool, out: &mut impl Write) -> io::Result<()> {
    for (document, finding) in gathered.findings() {
        snippet::write(document, finding, is_coloured, out)?;
        writeln!(out)?;
    }
    let of =
        |severity| gathered.findings().filter(|(_, it)| it.code.severity() == severity).count();
    let (files, faults) = (gathered.documents.len(), of(Severity::Fault));
    let (files, faults) = (count(files, "document"), count(faults, "fault"));
    writeln!(out, "{files}: {faults}, {}", count(of(Severity::Remark), "remark"))
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// <https://no-color.org>: set, and not empty.
fn is_coloured(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Auto => {
            let is_unwanted = env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
            io::stdout().is_terminal() && !is_unwanted
        }
        Color::Never => false,
    }
}
