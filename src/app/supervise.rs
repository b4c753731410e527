//! Supervisor: `conflow supervise`, the small parent of an engine. It holds the sockets, starts the engine
//! again after a crash, and a new program at an upgrade.
//!
//! It speaks the protocols of systemd, so the engine knows no difference (see `holder`).

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    mem,
    os::{
        fd::AsRawFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::future::select_all;
use rustix::{
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    process::{Pid, Signal, kill_process, set_parent_process_death_signal},
};
use tokio::{
    select,
    signal::unix::{self, SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    random::random_hex,
    supervised_sockets::{ChildMessages, HolderSocket, NamedSocket},
};
use crate::{descriptors, holder::KEY};

/// Time for a new program to serve; then the previous one is started again.
const SERVES_WITHIN: Duration = Duration::from_secs(20);
/// First and last pause before the engine is started again after a crash.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Starts in a row of an engine that ends before it serves.
const FAILURES_MAX: u32 = 5;
/// An engine that has served for so long has not failed at its start.
const SETTLED_AFTER: Duration = Duration::from_secs(60);
/// Exit codes of a process that a signal has ended begin here, by the custom of shells.
const SIGNAL_CODES: i32 = 128;

/// Lets this process end by SIGTERM if the supervisor that has started it ends.
pub fn end_with_supervisor() {
    if env::var_os(KEY).is_some()
        && let Err(error) = set_parent_process_death_signal(Some(Signal::TERM))
    {
        say(&format!("the engine would outlive its supervisor: {error}"));
    }
}

/// Runs an engine with these arguments until it ends on purpose; returns its exit code.
///
/// # Errors
///
/// The system refuses what a supervisor needs, or there is no program to start.
pub async fn supervise(arguments: Vec<OsString>) -> Result<u8> {
    descriptors::raise();
    let mut signals = ParentSignals::take()?;
    let name = format!("conflow-{}-{}", process::id(), random_hex::<8>()?);
    let mut supervisor = Supervisor {
        program: super::upgrade::own_program().context("the path of the program")?,
        arguments,
        holder: HolderSocket::bind(&name).context("the socket of the supervisor")?,
        served: None,
        is_stopping: false,
    };
    let (mut failures, mut next) = (0, NextProgram::Newest);
    loop {
        let file = supervisor.open(next)?;
        let began = Instant::now();
        let ended = match supervisor.run(&file, next, &mut signals).await {
            Err(error) if next == NextProgram::Upgraded => {
                say(&format!("the new program has failed ({error:#}): the previous one goes on"));
                next = NextProgram::Served;
                continue;
            }
            ended => ended?,
        };
        if ended.messages.is_ready || next == NextProgram::Served {
            supervisor.served = Some(file);
        }
        if supervisor.is_stopping && !ended.messages.is_handover {
            return Ok(code(ended.status));
        }
        let has_settled = ended.messages.is_ready && SETTLED_AFTER < began.elapsed();
        failures = if has_settled { 0 } else { failures + 1 };
        next = match ended.messages {
            ChildMessages { is_handover: true, .. } => {
                failures = 0;
                NextProgram::Upgraded
            }
            ChildMessages { is_ready: false, .. } if next == NextProgram::Upgraded => {
                say(&format!(
                    "the new program has failed ({}): the previous one goes on",
                    ended.status
                ));
                NextProgram::Served
            }
            // It has ended on purpose, or has never served.
            _ if ended.status.success() => return Ok(code(ended.status)),
            _ if supervisor.served.is_none() || FAILURES_MAX <= failures => {
                return Ok(code(ended.status));
            }
            ChildMessages { .. } => {
                say(&format!("the engine has ended ({}): it is started again", ended.status));
                if !signals.pause(PAUSES.0 * 2_u32.pow(failures - 1).min(50)).await {
                    return Ok(code(ended.status));
                }
                NextProgram::Served
            }
        };
    }
}

/// The program that is started next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NextProgram {
    /// The one at our path, at the first start.
    Newest,
    /// The one at our path, after a handover.
    Upgraded,
    /// The one that has served last, even if another file has taken its place.
    Served,
}

struct Supervisor {
    program: PathBuf,
    arguments: Vec<OsString>,
    holder: HolderSocket,
    /// The file of the program that has served last.
    served: Option<File>,
    is_stopping: bool,
}

struct EndedChild {
    status: ExitStatus,
    messages: ChildMessages,
}

impl Supervisor {
    fn open(&mut self, next: NextProgram) -> Result<File> {
        match (next, self.served.take()) {
            (NextProgram::Served, Some(file)) => Ok(file),
            (_, served) => {
                self.served = served;
                File::open(&self.program).with_context(|| self.program.display().to_string())
            }
        }
    }

    /// Starts the engine, and holds its sockets until it ends.
    async fn run(
        &mut self,
        program: &File,
        next: NextProgram,
        signals: &mut ParentSignals,
    ) -> Result<EndedChild> {
        let key = random_hex::<16>()?;
        let mut child = match next {
            // The file itself: another one may have its name by now.
            NextProgram::Served => {
                let path = format!("/proc/self/fd/{}", program.as_raw_fd());
                self.start(Path::new(&path), &key)?
            }
            NextProgram::Newest | NextProgram::Upgraded => {
                self.start(&self.program.clone(), &key)?
            }
        };
        let pid = Pid::from_child(&child);
        let (mut messages, mut must_stop) = (ChildMessages::default(), self.is_stopping);
        let deadline = Instant::now() + SERVES_WITHIN;
        let ParentSignals { passed, child: child_ends } = signals;
        loop {
            if let Some(status) = child.try_wait()? {
                // It may have said something at last.
                self.holder.read(&key, &mut messages)?;
                return Ok(EndedChild { status, messages });
            }
            select! {
                readable = self.holder.readable() => {
                    readable?;
                    self.holder.read(&key, &mut messages)?;
                    // A signal has come while it took the place of another.
                    if messages.is_ready && mem::take(&mut must_stop) {
                        kill_process(pid, Signal::TERM).unwrap_or_default();
                    }
                }
                _ = child_ends.recv() => (),
                signal = next_of(passed) => {
                    self.is_stopping |= signal == Signal::TERM || signal == Signal::INT;
                    // It may have ended in this moment.
                    kill_process(pid, signal).unwrap_or_default();
                }
                () = sleep_until(deadline), if !messages.is_ready && next == NextProgram::Upgraded => {
                    say("the new program does not serve");
                    child.kill()?;
                }
            }
        }
    }

    fn start(&mut self, program: &Path, key: &str) -> Result<Child> {
        let mut command = Command::new(program);
        command.arg0("conflow").arg("serve").args(&self.arguments).stdin(Stdio::inherit());
        // A terminal sends its signals to us alone, and we pass them on.
        command.process_group(0);
        command.env("NOTIFY_SOCKET", self.holder.name()).env(KEY, key);
        ["FDSTORE", "LISTEN_PID"].into_iter().for_each(|name| _ = command.env_remove(name));
        let given = GivenSockets::new(self.holder.take()).context("the sockets for the engine")?;
        match given.sockets.first() {
            Some((_, first)) => {
                let names: Vec<_> = given.sockets.iter().map(|it| &*it.0).collect();
                command.env("LISTEN_FDS", given.sockets.len().to_string());
                command.env("LISTEN_FDNAMES", names.join(":"));
                // The descriptors from 3 on are ours.
                command.env("LISTEN_FDS_FIRST_FD", first.as_raw_fd().to_string());
            }
            None => _ = command.env_remove("LISTEN_FDS"),
        }
        let child = command.spawn();
        self.holder.hold(given.end()).context("the sockets of the engine")?;
        child.with_context(|| format!("{} cannot be started", self.program.display()))
    }
}

/// Sockets whose numbers follow each other, and which a program that is started gets.
struct GivenSockets {
    sockets: Vec<NamedSocket>,
}

impl GivenSockets {
    fn new(sockets: Vec<NamedSocket>) -> io::Result<Self> {
        // Beyond all descriptors there are no gaps, and no thread of ours opens another one meanwhile.
        let open = fs::read_dir("/proc/self/fd")?.flatten();
        let numbers = open.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
        let first = numbers.max().unwrap_or(2) + 1;
        let give = |(name, socket): NamedSocket| {
            let given = fcntl_dupfd_cloexec(socket, first)?;
            fcntl_setfd(&given, FdFlags::empty())?;
            Ok((name, given))
        };
        let given = sockets.into_iter().map(give).collect::<io::Result<_>>();
        Ok(Self { sockets: given? })
    }

    /// No other program gets them. Their numbers are low again.
    fn end(self) -> Vec<NamedSocket> {
        let keep = |(name, socket): NamedSocket| {
            let low = fcntl_dupfd_cloexec(&socket, 0).ok()?;
            Some((name, low))
        };
        self.sockets.into_iter().filter_map(keep).collect()
    }
}

/// Signals that are passed on, and the one that says that a child has ended.
struct ParentSignals {
    passed: Vec<(Signal, unix::Signal)>,
    child: unix::Signal,
}

impl ParentSignals {
    fn take() -> io::Result<Self> {
        let passed =
            [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1, Signal::USR2].into_iter();
        let passed = passed.map(|it| Ok((it, signal(SignalKind::from_raw(it.as_raw()))?)));
        let passed = passed.collect::<io::Result<_>>()?;
        Ok(Self { passed, child: signal(SignalKind::child())? })
    }

    /// Waits before a start. False: a signal ends the supervisor.
    async fn pause(&mut self, length: Duration) -> bool {
        let until = Instant::now() + length.min(PAUSES.1);
        loop {
            select! {
                () = sleep_until(until) => return true,
                signal = next_of(&mut self.passed) => if signal == Signal::TERM || signal == Signal::INT {
                    return false;
                },
            }
        }
    }
}

/// Waits for the next of these signals.
async fn next_of(signals: &mut [(Signal, unix::Signal)]) -> Signal {
    let waits = signals.iter_mut().map(|(signal, it)| {
        Box::pin(async move {
            it.recv().await;
            *signal
        })
    });
    select_all(waits).await.0
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|it| SIGNAL_CODES + it));
    code.and_then(|it| u8::try_from(it).ok()).unwrap_or(1)
}

/// Writes a line to standard error, which the engine has for its log.
fn say(what: &str) {
    drop(writeln!(io::stderr(), "conflow supervise: {what}"));
}
