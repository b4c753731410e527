//! Command line: its commands and flags as plain structs. It decides nothing.

pub mod account;
pub mod bench;
pub mod callbacks;
pub mod check;
pub mod console;
pub mod control;
pub mod events;
pub mod groups;
pub mod kept;
pub mod login;
pub mod phones;
pub mod recordings;
pub mod reference;
pub mod rows;
pub mod serve;
pub mod settings;
pub mod simulate;
pub mod store;
pub mod trace;
pub mod trunk;
pub mod upgrade;
pub mod user;
mod values;
pub mod watch;

use std::{env, ffi::OsString};

use clap::{
    CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;

/// A conference call control engine: kick a caller, and their flow continues.
#[derive(Debug, Parser)]
#[command(name = "conflow", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Command of `conflow`, with its arguments.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Run the engine until it gets SIGTERM or SIGINT.
    #[command(after_help = serve::AFTER_HELP, after_long_help = serve::AFTER_LONG_HELP)]
    Serve(Box<serve::ServeArgs>),
    /// Run the engine as the child of a small process that holds its sockets: for upgrades without a
    /// lost call, and a start after a crash, where there is no systemd.
    #[command(after_help = upgrade::AFTER_SUPERVISE)]
    Supervise(Box<upgrade::SuperviseArgs>),
    /// Let a new program take the place of a running engine; its calls go on.
    #[command(after_help = upgrade::AFTER_UPGRADE)]
    Upgrade(Box<upgrade::UpgradeArgs>),
    /// Try out a flow: callers do what a file says, an hour takes milliseconds, and the output
    /// tells what each caller heard.
    #[command(after_help = simulate::AFTER_HELP)]
    Simulate(Box<simulate::SimulateArgs>),
    /// Ask a running engine what a call did, element by element, and why.
    #[command(after_help = trace::AFTER_HELP)]
    Trace(Box<trace::TraceArgs>),
    /// Manage accounts of the voice API and their tokens, also while the engine runs.
    #[command(subcommand, after_help = account::AFTER_HELP)]
    Account(Box<account::AccountCommand>),
    /// Manage phones that register, also while the engine runs.
    #[command(subcommand, after_help = rows::AFTER_HELP)]
    Endpoint(Box<rows::EndpointCommand>),
    /// List and remove the applications that accounts make by the API, also while the engine runs.
    #[command(subcommand, after_help = rows::AFTER_HELP)]
    Application(Box<rows::ApplicationCommand>),
    /// Manage called numbers and their flows, also while the engine runs.
    #[command(subcommand, after_help = rows::AFTER_HELP)]
    Number(Box<rows::NumberCommand>),
    /// Manage trunks to other networks, also while the engine runs.
    #[command(subcommand, after_help = rows::AFTER_HELP)]
    Trunk(Box<rows::TrunkCommand>),
    /// Check flows before a caller hears them: errors, warnings, and where a call ends.
    #[command(after_help = check::AFTER_HELP)]
    Check(check::CheckArgs),
    /// Print the flow language: every element and attribute, with defaults and examples.
    Reference(reference::ReferenceArgs),
    /// Manage people and their tokens, for groups. The engine must not run on the folder meanwhile.
    #[command(subcommand)]
    User(Box<user::UserCommand>),
    /// Check or back up the store of a data folder; an engine may be running on it.
    #[command(subcommand)]
    Store(Box<store::StoreCommand>),
    /// List, verify and delete the recordings of a data folder.
    #[command(subcommand, after_help = recordings::AFTER_HELP)]
    Recordings(Box<recordings::RecordingsCommand>),
    /// Watch the rooms of a running server, live: who is in them, and what each caller hears.
    #[command(after_help = watch::AFTER_HELP)]
    Watch(Box<watch::WatchArgs>),
    /// List the conferences of a running server.
    #[command(after_help = control::ROOMS_AFTER_HELP)]
    Rooms(Box<control::RoomsArgs>),
    /// List the members of a conference.
    Members(Box<control::MembersArgs>),
    /// Take members out of a conference: each one's flow continues.
    #[command(after_help = control::KICK_AFTER_HELP)]
    Kick(Box<control::KickArgs>),
    /// Mute members of a conference, or unmute them with --off.
    Mute(Box<control::SwitchArgs>),
    /// Let members of a conference hear nothing, or hear again with --off.
    Deaf(Box<control::SwitchArgs>),
    /// Put members of a conference on hold, or take them off with --off.
    Hold(Box<control::SwitchArgs>),
    /// Speak a text to members of a conference.
    Say(Box<control::SayArgs>),
    /// Play a sound to members of a conference.
    Play(Box<control::PlayArgs>),
    /// List the live calls of a running server.
    Calls(Box<control::CallsArgs>),
    /// Call a number, and run a document when it answers.
    Call(Box<control::CallArgs>),
    /// End a live call at once.
    Hangup(Box<control::HangupArgs>),
    /// Print the events of calls and conferences of a running server: those that are kept, and new
    /// ones as they happen.
    #[command(after_help = events::AFTER_HELP)]
    Events(Box<events::EventsArgs>),
    /// List the callbacks of a running server with their last attempts, and send one again.
    #[command(after_help = callbacks::AFTER_HELP)]
    Callbacks(Box<callbacks::CallbacksArgs>),
    /// Measure the engine on this machine, and compare it with what the machine is capable of.
    #[command(after_help = bench::AFTER_HELP)]
    Bench(Box<bench::BenchArgs>),
    /// Print a script that completes commands and flags in a shell.
    #[command(after_help = COMPLETIONS_AFTER_HELP)]
    Completions {
        /// The shell that runs the script.
        shell: Shell,
    },
    /// The engine that `conflow bench` measures: it ends when its standard input does.
    #[command(name = ENGINE, hide = true)]
    Engine(Box<serve::EngineArgs>),
    /// A bare HTTP server that `conflow bench` compares the engine with.
    #[command(name = CEILING, hide = true)]
    Ceiling,
    /// Read a text from standard input aloud: WAV on standard output. The engine starts one process
    /// for each text, since the built-in voices are C code and may never return.
    #[command(name = READ_ALOUD, hide = true)]
    ReadAloud {
        /// Folder of the voices.
        folder: String,
        /// Language of the text, such as en-US.
        language: String,
    },
}

/// Text below the help of `conflow completions`.
const COMPLETIONS_AFTER_HELP: &str = "\
Examples:
  conflow completions bash > ~/.local/share/bash-completion/completions/conflow
  conflow completions zsh > ~/.zfunc/_conflow
  conflow completions fish > ~/.config/fish/completions/conflow.fish";

/// The script that completes commands and flags in this shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "conflow", &mut script);
    script
}

/// Hidden command: `serve`, for a benchmark.
pub const ENGINE: &str = "bench-engine";

/// Hidden command: the server that a benchmark compares with.
pub const CEILING: &str = "bench-ceiling";

/// Hidden command: reads a text aloud.
pub const READ_ALOUD: &str = "read-aloud";

/// Parses a command line, program name first, and the `CONFLOW_*` variables.
///
/// # Errors
///
/// [`clap::Error`]: the text to print instead, and its exit code. Help and version count as errors
/// here, with exit code 0; a mistake has 2.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let matches = command().try_get_matches_from(&arguments);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    cli.map(|cli| cli.command).map_err(|error| name_variable(error, &arguments))
}

/// Whether a command reads this `CONFLOW_*` variable.
pub fn is_variable(name: &str) -> bool {
    let mut cli = command();
    cli.build();
    let serve = cli.find_subcommand("serve").expect("it is a command");
    let watch = cli.find_subcommand("watch").expect("it is a command");
    let is_setting = |it: &clap::Arg| it.get_env().is_some_and(|it| it == name);
    let mut settings = serve.get_arguments().chain(watch.get_arguments());
    [AUTH_TOKEN, OPS_TOKEN].contains(&name) || settings.any(is_setting)
}

/// Variable of the development account's token, and of the token that `watch` uses. There is no
/// flag, since others could see a command line.
pub const AUTH_TOKEN: &str = "CONFLOW_AUTH_TOKEN";

/// Variable of the token for `/metrics`. There is no flag either.
pub const OPS_TOKEN: &str = "CONFLOW_OPS_TOKEN";

/// Hides the variables in the help: they follow one rule, which the help states.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|it| it.mut_args(|argument| argument.hide_env(true)))
}

/// If the invalid value comes from the environment, the message names the variable.
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

/// The variable of a flag: `--log-format` is `CONFLOW_LOG_FORMAT`.
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
            // Acts of one start. A lasting variable would make `--new-store` worthless.
            let is_action = ["help", "new-store", "no-restore", "print-config"].contains(&flag);
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
        check("conflow sevre", 2, "similar subcommands exist: 'events', 'store', 'user', 'serve'");
        check("conflow serve --htpp x", 2, "a similar argument exists: '--http'");
        check("conflow serve --http 8080", 2, "such as 127.0.0.1:8080");
        check("conflow serve --drain=-1", 2, "--drain");
        check("conflow serve --log-format xml", 2, "[possible values: pretty, json]");
    }
}
