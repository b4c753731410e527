//! `conflow check`: reads documents, looks at them, and tells what it found.

mod gather;
mod output;
mod snippet;
pub(super) mod watch;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use self::output::{USAGE, check_once};
use crate::cli::check::CheckArgs;

/// Does what `conflow check` was asked for, on the standard input and output.
pub fn check(arguments: &CheckArgs) -> ExitCode {
    let reads_stdin = arguments.paths.iter().any(|path| path.as_os_str() == "-");
    if arguments.watch && reads_stdin {
        drop(writeln!(
            io::stderr(),
            "conflow: --watch needs files: the standard input is read once"
        ));
        return ExitCode::from(USAGE);
    }

    let done = match arguments.watch {
        true => watch::watch(arguments),
        false => check_once(arguments),
    };
    // Nobody reads on: there is nobody to tell, either.
    done.unwrap_or(ExitCode::FAILURE)
}
