//! Program `conflow`: runs the command that the command line names. Exit codes: 0 done, 1 failure,
//! 2 wrong usage.

use std::{
    env,
    ffi::OsString,
    io::{self, StdoutLock, Write},
    mem,
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use conflow::{
    app::{
        self,
        control::{self, Switch},
    },
    cli::{
        self, Command, bench::BenchArgs, control::SwitchArgs, reference::ReferenceFormat,
        serve::ServeArgs, upgrade::UpgradeArgs, user::UserCommand,
    },
    config::Config,
    flow::reference,
    holder::HeldSockets,
    log::LogThread,
    simulate::command::simulate,
    speech::pico,
};
use rustix::thread::disable_transparent_huge_pages;

/// Millions of calls come and go, in small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match cli::parse(env::args_os()) {
        Ok(command) => command,
        // clap prints help, version or error, and knows the exit code.
        Err(instead) => instead.exit(),
    };
    let done = match command {
        Command::ReadAloud { folder, language } => return pico::read_aloud(&folder, &language),
        Command::Bench(flags) => bench(*flags),
        Command::Engine(flags) => {
            conflow::bench::process::end_with_bench();
            serve(flags.serve, !flags.without_state_log)
        }
        Command::Ceiling => conflow::bench::ceiling::serve(),
        Command::Check(flags) => return conflow::check::check(&flags),
        Command::Reference(flags) => print(&reference(flags.format)),
        Command::Serve(flags) => serve(*flags, true),
        Command::Supervise(flags) => return supervise(flags.serve),
        Command::Upgrade(wanted) => upgrade(&wanted),
        Command::Account(account) => app::accounts::account(*account, &mut io::stdout().lock()),
        Command::Endpoint(it) => app::row_commands::endpoint(*it, &mut io::stdout().lock()),
        Command::Application(it) => app::row_commands::application(*it, &mut io::stdout().lock()),
        Command::Number(it) => app::row_commands::number(*it, &mut io::stdout().lock()),
        Command::Trunk(it) => app::row_commands::trunk(*it, &mut io::stdout().lock()),
        Command::Simulate(wanted) => match simulate(&wanted, &mut io::stdout().lock()) {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Command::Trace(it) => run(|token, out| block_on(app::trace::trace(*it, token, out))),
        Command::User(user) => user_command(*user),
        Command::Store(store) => app::store::store(*store, &mut io::stdout().lock()),
        Command::Recordings(it) => {
            app::recordings_command::recordings(&it, &mut io::stdout().lock())
        }
        Command::Watch(flags) => block_on(conflow::watch::terminal::watch(*flags, auth_token())),
        Command::Rooms(it) => run(|token, out| block_on(control::rooms(*it, token, out))),
        Command::Members(it) => run(|token, out| block_on(control::members(*it, token, out))),
        Command::Kick(it) => run(|token, out| block_on(control::kick(*it, token, out))),
        Command::Mute(it) => switch(Switch::Mute, *it),
        Command::Deaf(it) => switch(Switch::Deaf, *it),
        Command::Hold(it) => switch(Switch::Hold, *it),
        Command::Say(it) => run(|token, out| block_on(control::say(*it, token, out))),
        Command::Play(it) => run(|token, out| block_on(control::play(*it, token, out))),
        Command::Calls(it) => run(|token, out| block_on(control::calls(*it, token, out))),
        Command::Call(it) => run(|token, out| block_on(control::call(*it, token, out))),
        Command::Hangup(it) => run(|token, out| block_on(control::hangup(*it, token, out))),
        Command::Completions { shell } => {
            io::stdout().write_all(&cli::completions(shell)).map_err(Into::into)
        }
        Command::Events(it) => run(|token, out| block_on(app::events::events(*it, token, out))),
        Command::Callbacks(it) => {
            run(|token, out| block_on(app::events::callbacks(*it, token, out)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "conflow: {}", app::causes(&error)));
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: ServeArgs, has_state_log: bool) -> Result<()> {
    let prints = flags.print_config;
    // Text that is not UTF-8 is refused later as an invalid token.
    let token = auth_token();
    let ops_token = env::var_os(cli::OPS_TOKEN).map(|it| it.to_string_lossy().into_owned());
    let load = move || {
        let mut config = Config::load(flags.clone(), token.clone(), Path::new(""))?;
        config.has_state_log = has_state_log;
        config.with_ops_token(ops_token.clone())
    };
    let config = load()?;
    if prints {
        return Ok(io::stdout().write_all(config.to_toml().as_bytes())?);
    }

    // Before other threads start.
    let held = HeldSockets::from_env();
    app::supervise::end_with_supervisor();
    let log = LogThread::begin(config.log.clone())?;
    // Clearing a huge page takes milliseconds on machines that back memory by a file, and calls
    // wait meanwhile. An error costs nothing else, so it is ignored.
    disable_transparent_huge_pages(true).unwrap_or_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().event_interval(TURNS_PER_POLL).build();
    let runtime = runtime.context("the system has no threads for it")?;
    let done = runtime.block_on(app::serve(config, Box::new(load), log.sender(), held));
    // Dropping tasks one by one helps nobody: the process ends.
    mem::forget(runtime);
    drop(log);
    done
}

/// Number of task polls between two looks at IO events: some hundred microseconds. tokio's default
/// of 61 would be some milliseconds, since a poll here is a whole slice of work.
const TURNS_PER_POLL: u32 = 8;

fn reference(format: ReferenceFormat) -> String {
    match format {
        ReferenceFormat::Json => reference::json(),
        ReferenceFormat::Md => reference::markdown(),
        ReferenceFormat::Xsd => reference::xsd(),
    }
}

fn print(text: &str) -> Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn user_command(user: UserCommand) -> Result<()> {
    block_on(app::users::user(user, &mut io::stdout().lock()))
}

fn upgrade(wanted: &UpgradeArgs) -> Result<()> {
    block_on(app::upgrade_command::upgrade(wanted, &mut io::stdout().lock()))
}

/// The exit code is that of the engine.
fn supervise(arguments: Vec<OsString>) -> ExitCode {
    match block_on(app::supervise::supervise(arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            drop(writeln!(io::stderr(), "conflow: {}", app::causes(&error)));
            ExitCode::FAILURE
        }
    }
}

fn switch(what: Switch, args: SwitchArgs) -> Result<()> {
    run(|token, out| block_on(control::switch(what, args, token, out)))
}

/// Runs a command that asks a server and prints what it answers.
fn run(command: impl FnOnce(Option<String>, &mut StdoutLock<'_>) -> Result<()>) -> Result<()> {
    command(auth_token(), &mut io::stdout().lock())
}

fn bench(flags: BenchArgs) -> Result<()> {
    conflow::bench::bench(flags, auth_token(), &mut io::stdout().lock())
}

fn auth_token() -> Option<String> {
    env::var_os(cli::AUTH_TOKEN).map(|it| it.to_string_lossy().into_owned())
}

fn block_on<T>(done: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the system has no threads for it")?.block_on(done)
}
