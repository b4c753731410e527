//! `conflow check`: checks documents and prints the findings.

mod gather;
mod output;
mod snippet;
pub(super) mod watch;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use self::output::{USAGE, check_once, explain};
use crate::cli::check::CheckArgs;

/// Runs `conflow check` with the standard input and output.
pub fn check(arguments: &CheckArgs) -> ExitCode {
    if let Some(code) = arguments.explain {
        return explain(code).unwrap_or(ExitCode::FAILURE);
    }
    let reads_stdin = arguments.paths.iter().any(|path| path.as_os_str() == "-");
    if arguments.watch && reads_stdin {
        drop(writeln!(
            io::stderr(),
            "conflow: --watch needs files: the standard input can be read only once"
        ));
        return ExitCode::from(USAGE);
    }

    let done = match arguments.watch {
        true => watch::watch(arguments),
        false => check_once(arguments),
    };
    // The reader of the output is gone, so there is nowhere to report it.
    done.unwrap_or(ExitCode::FAILURE)
}
