//! The command line: what was typed, as plain structs. It decides nothing.

pub mod account;
pub mod bench;
pub mod check;
pub mod groups;
pub mod login;
pub mod phones;
pub mod reference;
pub mod serve;
pub mod settings;
pub mod simulate;
pub mod store;
pub mod trace;
pub mod user;
mod values;
pub mod watch;

use std::{env, ffi::OsString};

use clap::{
    CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// A conference call control engine: kick a caller, and the script goes on.
#[derive(Debug, Parser)]
#[command(name = "conflow", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Run the engine until it gets SIGTERM or SIGINT.
    #[command(after_help = serve::AFTER_HELP, after_long_help = serve::AFTER_LONG_HELP)]
    Serve(Box<serve::ServeArgs>),
    /// Try a flow out: callers do what a file says, an hour takes milliseconds, and what each
    /// heard is told.
    #[command(after_help = simulate::AFTER_HELP)]
    Simulate(Box<simulate::SimulateArgs>),
    /// Ask a running engine what a call did, element by element, and why.
    #[command(after_help = trace::AFTER_HELP)]
    Trace(Box<trace::TraceArgs>),
    /// Accounts of the voice API and their tokens, also while the engine runs.
    #[command(subcommand, after_help = account::AFTER_HELP)]
    Account(Box<account::AccountCommand>),
    /// Look at flows before a caller does: what is wrong, what is odd, where a call ends.
    #[command(after_help = check::AFTER_HELP)]
    Check(check::CheckArgs),
    /// Print the flow language: every element and attribute, with defaults and examples.
    Reference(reference::ReferenceArgs),
    /// People and their tokens, for the groups. The engine must not run on the folder meanwhile.
    #[command(subcommand)]
    User(Box<user::UserCommand>),
    /// Check the store in a data folder, or back it up; an engine may be running on it.
    #[command(subcommand)]
    Store(Box<store::StoreCommand>),
    /// Look at the rooms of a running server, live: who is in them, and what each caller hears.
    #[command(after_help = watch::AFTER_HELP)]
    Watch(Box<watch::WatchArgs>),
    /// Measure the engine on this machine, beside what the machine can do at all.
    #[command(after_help = bench::AFTER_HELP)]
    Bench(Box<bench::BenchArgs>),
    /// The engine that `conflow bench` measures: it ends when its standard input does.
    #[command(name = ENGINE, hide = true)]
    Engine(Box<serve::ServeArgs>),
    /// What `conflow bench` compares the engine with: a bare HTTP server.
    #[command(name = CEILING, hide = true)]
    Ceiling,
    /// Read a text from the standard input aloud: WAV on the standard output. The engine calls
    /// this itself, one process for a text, since the built-in voices are C and may run for ever.
    #[command(name = READ_ALOUD, hide = true)]
    ReadAloud {
        /// Where the voices lie.
        folder: String,
        /// Such as en-US.
        language: String,
    },
}

/// The command that is `serve` for a benchmark.
pub const ENGINE: &str = "bench-engine";

/// The command that serves what a benchmark compares with.
pub const CEILING: &str = "bench-ceiling";

/// The command that reads a text aloud.
pub const READ_ALOUD: &str = "read-aloud";

/// Understands a command line, the program's name first, and the `CONFLOW_*` variables.
///
/// # Errors
///
/// What to print instead, and the exit code that goes with it: help and version count as errors
/// here, with exit code 0; a mistake has 2.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let matches = command().try_get_matches_from(&arguments);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    cli.map(|cli| cli.command).map_err(|error| name_variable(error, &arguments))
}

/// Whether a `CONFLOW_*` variable means anything.
pub fn is_variable(name: &str) -> bool {
    let mut cli = command();
    cli.build();
    let serve = cli.find_subcommand("serve").expect("it is a command");
    let watch = cli.find_subcommand("watch").expect("it is a command");
    let is_setting = |it: &clap::Arg| it.get_env().is_some_and(|it| it == name);
    let mut settings = serve.get_arguments().chain(watch.get_arguments());
    [AUTH_TOKEN, OPS_TOKEN].contains(&name) || settings.any(is_setting)
}

/// Gives the development account its token, and is shown by `watch`. Not typed, where others could
/// see it.
pub const AUTH_TOKEN: &str = "CONFLOW_AUTH_TOKEN";

/// Gives whoever shows it `/metrics`. Not typed either.
pub const OPS_TOKEN: &str = "CONFLOW_OPS_TOKEN";

/// With no variable beside each flag: the rule by which they are called is enough.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|it| it.mut_args(|argument| argument.hide_env(true)))
}

/// A value that was not typed stands in the environment: the message says in which variable.
fn name_variable(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(named)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let flag = named.split(['=', ' ', '[']).next().unwrap_or(named).to_owned();
    let is_typed = |it: &OsString| it.to_string_lossy().starts_with(&flag);
    let variable = variable(&flag);
    let is_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    if is_value && !arguments.iter().any(is_typed) && env::var_os(&variable).is_some() {
        let named = ContextValue::String(format!("{variable} (for {named})"));
        error.insert(ContextKind::InvalidArg, named);
    }
    error
}

/// `--log-format` is `CONFLOW_LOG_FORMAT`.
fn variable(flag: &str) -> String {
    flag.replacen("--", "CONFLOW_", 1).replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_commands_are_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own_name() {
        let mut cli = command();
        cli.build();
        let serve = cli.find_subcommand("serve").unwrap();
        for argument in serve.get_arguments() {
            let Some(flag) = argument.get_long() else { continue };
            let found = argument.get_env().map(|it| it.to_str().unwrap().to_owned());
            let expected = Some(variable(&format!("--{flag}")));
            let is_action = ["help", "print-config"].contains(&flag);
            assert_eq!(found, expected.filter(|_| !is_action), "{flag}");
            assert!(argument.get_help().is_some(), "--{flag} has no help");
        }
    }

    #[test]
    fn a_mistake_is_told_from_a_question() {
        let check = |line, code, expected: &str| {
            let error = parsed(line).unwrap_err();
            let text = error.render().to_string();
            assert_eq!(error.exit_code(), code, "{line}: {text}");
            assert!(text.contains(expected), "{line}: {text}");
        };
        check("conflow --version", 0, concat!("conflow ", env!("CARGO_PKG_VERSION")));
        check("conflow --help", 0, "Run the engine until");
        check("conflow serve --help", 0, "Examples:");
        check("conflow", 2, "Usage: conflow <COMMAND>");
        check("conflow sevre", 2, "similar subcommands exist: 'store', 'user', 'serve'");
        check("conflow serve --htpp x", 2, "a similar argument exists: '--http'");
        check("conflow serve --http 8080", 2, "such as 127.0.0.1:8080");
        check("conflow serve --drain=-1", 2, "--drain");
        check("conflow serve --log-format xml", 2, "[possible values: pretty, json]");
    }
}
