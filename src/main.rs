//! The program `conflow`. Exit codes: 0 done, 1 failure, 2 wrong usage.

use std::{
    env,
    io::{self, Write},
    mem,
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use conflow::{
    app,
    cli::{
        self, Command, bench::Bench, reference::Format, serve::Serve, trace::Trace, user::User,
        watch::Watch,
    },
    config::Config,
    flow::reference,
    log::Log,
    speech::pico,
};
use rustix::thread::disable_transparent_huge_pages;

/// Calls come and go by the million, in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match cli::parse(env::args_os()) {
        Ok(command) => command,
        // Help, the version, or what is wrong: clap writes it, and knows the code.
        Err(instead) => instead.exit(),
    };
    let done = match command {
        Command::ReadAloud { folder, language } => return pico::read_aloud(&folder, &language),
        Command::Bench(flags) => bench(*flags),
        Command::Engine(flags) => {
            conflow::bench::process::end_with_bench();
            serve(*flags)
        }
        Command::Ceiling => conflow::bench::ceiling::serve(),
        Command::Check(flags) => return conflow::check::check(&flags),
        Command::Reference(flags) => print(&reference(flags.format)),
        Command::Serve(flags) => serve(*flags),
        Command::Account(account) => app::accounts::account(*account, &mut io::stdout().lock()),
        Command::Simulate(wanted) => {
            match conflow::simulate::command::simulate(&wanted, &mut io::stdout().lock()) {
                Ok(true) => return ExitCode::SUCCESS,
                Ok(false) => return ExitCode::FAILURE,
                Err(error) => Err(error),
            }
        }
        Command::Trace(wanted) => trace(&wanted),
        Command::User(user) => people(*user),
        Command::Store(store) => app::store::store(*store, &mut io::stdout().lock()),
        Command::Watch(flags) => watch(*flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "conflow: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: Serve) -> Result<()> {
    let prints = flags.print_config;
    // One that is no text is no token either, and is refused as such.
    let token = auth_token();
    let ops_token = env::var_os(cli::OPS_TOKEN).map(|it| it.to_string_lossy().into_owned());
    let config = Config::load(flags, token, Path::new(""))?.with_ops_token(ops_token)?;
    if prints {
        return Ok(io::stdout().write_all(config.to_toml().as_bytes())?);
    }

    let log = Log::begin(config.log)?;
    // To clear one takes milliseconds where a machine's memory is another's file, and calls wait.
    // Where the kernel cannot, nothing is lost but that.
    disable_transparent_huge_pages(true).unwrap_or_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().event_interval(TURNS_PER_LOOK).build();
    let runtime = runtime.context("the system has no threads for it")?;
    let done = runtime.block_on(app::serve(config, log.notes()));
    // To take tasks down one by one helps nobody: the process ends.
    mem::forget(runtime);
    drop(log);
    done
}

/// A busy worker takes so many turns before it looks for what has come on the wire: some hundred
/// microseconds. tokio's 61 are some milliseconds, since turns take whole slices of work here.
const TURNS_PER_LOOK: u32 = 8;

fn reference(format: Format) -> String {
    match format {
        Format::Json => reference::json(),
        Format::Md => reference::markdown(),
        Format::Xsd => reference::xsd(),
    }
}

fn print(text: &str) -> Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn trace(wanted: &Trace) -> Result<()> {
    block_on(app::trace::trace(wanted, &mut io::stdout().lock()))
}

fn people(user: User) -> Result<()> {
    block_on(app::people::user(user, &mut io::stdout().lock()))
}

fn watch(flags: Watch) -> Result<()> {
    block_on(conflow::watch::terminal::watch(flags, auth_token()))
}

fn bench(flags: Bench) -> Result<()> {
    conflow::bench::bench(flags, auth_token(), &mut io::stdout().lock())
}

fn auth_token() -> Option<String> {
    env::var_os(cli::AUTH_TOKEN).map(|it| it.to_string_lossy().into_owned())
}

fn block_on<T>(done: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the system has no threads for it")?.block_on(done)
}
