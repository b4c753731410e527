//! Upgrade: the new program is asked whether it accepts the settings; then this process hands its calls
//! over to it, and ends.

use std::{
    env,
    io::{self, Read},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    engine_note::EngineNote, kept_sockets::KeptSockets, phones::OpenPhones, store::boot_clock,
};
use crate::{
    engine::{handover::CleanHandover, journal::Journal},
    holder::{HANDOVER, SocketHolder},
    state_log::StateLog,
    store::{folder::DataFolder, member_ids::MemberIdBlocks, rows::RowStore},
};

/// Time for the new program to say whether it accepts the settings.
const CHECK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Time between two looks at whether it has ended.
const CHECK_POLL: Duration = Duration::from_millis(20);
/// Bytes of its error that are shown.
const ERROR_BYTES_MAX: u64 = 2_000;
/// Time for the store to write what waits.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// Time for the holder to take the sockets.
const HOLDER_WAIT_MAX: Duration = Duration::from_secs(2);

/// What this process needs to hand over to a new one.
pub(super) struct Upgrade {
    pub(super) folder: DataFolder,
    pub(super) sockets: Arc<KeptSockets>,
    /// Whether calls have rows.
    pub(super) has_rows: bool,
    note: EngineNote,
}

impl Upgrade {
    /// Of a process that serves. `conflow upgrade` finds it from now on.
    pub(super) fn new(
        folder: DataFolder,
        sockets: Arc<KeptSockets>,
        has_rows: bool,
        note: EngineNote,
    ) -> Self {
        note.write(&folder);
        Self { folder, sockets, has_rows, note }
    }

    /// Returns the holder of the sockets if this process may hand over. If not, the log and `conflow
    /// upgrade` say why.
    pub(super) async fn prepare(&mut self) -> Option<Arc<SocketHolder>> {
        match self.check().await {
            Ok(holder) => {
                tracing::info!("an upgrade: the new program takes the place of this process");
                Some(holder)
            }
            Err(error) => {
                tracing::error!("no upgrade: {error:#}");
                self.note.refused += 1;
                self.note.reason = Some(format!("{error:#}"));
                self.note.write(&self.folder);
                None
            }
        }
    }

    async fn check(&self) -> Result<Arc<SocketHolder>> {
        let holder = self.sockets.holder.clone().context(
            "nothing holds the sockets of this process: run conflow supervise instead of conflow serve, \
             or set FileDescriptorStoreMax= in the unit of systemd",
        )?;
        if !self.has_rows {
            bail!("calls are kept in memory only");
        }
        spawn_blocking(check_program).await.context("the check has panicked")??;
        Ok(holder)
    }
}

/// The parts of an engine that a handover stops.
pub(super) struct HandoverParts<'a> {
    pub(super) journal: &'a Journal,
    pub(super) ids: &'a MemberIdBlocks,
    pub(super) state_log: &'a StateLog,
    pub(super) rows: &'a dyn RowStore,
    /// None without real phones.
    pub(super) phones: Option<&'a mut OpenPhones>,
}

impl HandoverParts<'_> {
    /// Stops this process as it is. Nothing that can be heard or seen follows, so the process must end at
    /// once; if something goes wrong here, the next one finds what a crash would have left.
    pub(super) async fn hand_over(self, holder: Arc<SocketHolder>) -> Result<()> {
        // All that takes time comes before the sound stops.
        self.journal.close_traces();
        if let Err(error) = self.ids.close() {
            tracing::error!("the member ids will have a gap: {error}");
        }
        self.rows.flush(FLUSH_MAX);
        let stopped = match self.phones {
            Some(phones) => Some(phones.hand_over(holder.clone()).await),
            None => None,
        };
        match stopped.transpose() {
            Ok(stopped) => {
                let next_at = stopped.map_or_else(|| Instant::now().into_std(), |it| it.next_at);
                let stopped_at = boot_clock().nanos(next_at);
                self.journal.write_rows(&[CleanHandover { stopped_at }.row()]);
            }
            Err(error) => tracing::error!("calls are restored as after a crash: {error:#}"),
        }
        self.state_log.close().context("the last events may be lost if the power fails now")?;
        holder.tell(HANDOVER).context("the holder of the sockets")?;
        let told = timeout(HOLDER_WAIT_MAX, spawn_blocking(move || holder.wait())).await;
        told.context("the holder of the sockets does not read")??.context("the holder")?;
        tracing::info!("conflow has handed over");
        Ok(())
    }
}

/// Asks the program that is now in the place of this one whether it accepts the settings of this process.
fn check_program() -> Result<()> {
    let program = own_program().context("the path of the program")?;
    let mut arguments = env::args_os().skip(1).peekable();
    let Some(command) = arguments.next() else { bail!("this process has no arguments") };
    let mut asked = Command::new(&program);
    asked.arg(command).arg("--print-config").args(arguments);
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"] {
        asked.env_remove(name);
    }
    asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let shown = program.display();
    let mut child = asked.spawn().with_context(|| format!("{shown} cannot be started"))?;
    let end = Instant::now() + CHECK_WAIT_MAX;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < end => std::thread::sleep(CHECK_POLL),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("{shown} does not answer");
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut error = String::new();
    let stderr = child.stderr.take().context("its error")?;
    drop(stderr.take(ERROR_BYTES_MAX).read_to_string(&mut error));
    bail!("{shown} does not accept the settings ({status}): {}", error.trim());
}

/// The path of this program. If another file has taken its place, that one has it now.
pub(super) fn own_program() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    let replaced = path.to_str().and_then(|it| it.strip_suffix(" (deleted)"));
    Ok(replaced.map_or_else(|| path.clone(), PathBuf::from))
}
