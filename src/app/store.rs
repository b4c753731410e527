//! Store: opens what an engine keeps in it, and runs `conflow store`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    recording_archive::OpenRecordings,
    row_seal::AccountKeySeal,
    state::{self, StateNames},
};
use crate::{
    accounts::file,
    base::boot_clock::BootClock,
    cdr::store::{self, CachedCdrStore},
    cli::{
        settings::{ByteSize, Count},
        store::{BackUpStore, CheckStore, RestoreStore, StoreCommand},
    },
    config::{Config, EventsConfig, TraceConfig, rows as config_rows},
    credentials,
    engine::{
        ban_list::{self, BanList, BansLeft},
        handover::CleanHandover,
        inbound::wall_clock,
        membership, recorder,
    },
    recording,
    state_log::{
        Line, Opened, RowRecord, StateLog, StateLogSettings,
        inspect::{self, LogSnapshot},
    },
    store::{
        StoredResponse,
        folder::DataFolder,
        idempotency::{self, StoredResponses},
        inspect::Inspection,
        member_ids::{self, MemberIdBlocks},
        rows::{OnCommit, RowStore, RowStoreError, StoredRow, Table},
        seal::RowSeal,
        sqlite::Sqlite,
        trunk_minutes,
    },
    trace::archive::{ArchiveSettings, TraceArchive},
};

/// Name of the store's file in the data folder.
pub(super) const STORE_FILE: &str = "conflow.db";
/// Folder of the state log in the data folder.
const STATE_FOLDER: &str = "state";
/// Folder of the traces in the data folder.
const TRACE_FOLDER: &str = "traces";
/// A segment of the state log: small enough to be read at a start without its index, and to be removed
/// as a whole.
const SEGMENT_BYTES_MAX: u32 = 64 << 20;
/// Segments of a log that is as large as it may be, at least.
const SEGMENTS_MIN: u64 = 8;
/// Events that wait while the disk is full.
const EVENTS_HELD_MAX: usize = 65_536;
/// Calls are restored if the last sign of their process is no older, in microseconds: phones give up
/// after as long a silence.
const RESTORED_WITHIN: u64 = 60_000_000;
/// CDRs may be so much older than the setting says.
const CDRS_SWEPT_EVERY: Duration = Duration::from_secs(60);
/// File in the data folder, without which the tokens of stored accounts are lost.
pub(super) const KEY_FILE: &str = "account-key";
/// Errors that are printed; further ones tell nothing new.
const ERRORS_SHOWN_MAX: usize = 20;

/// Stores that outlive calls: bans, member ids, call detail records, traces, recordings, idempotency
/// keys.
pub(super) struct Stores {
    pub(super) rows: Arc<dyn RowStore>,
    pub(super) ban_list: Arc<BanList>,
    pub(super) member_ids: Arc<MemberIdBlocks>,
    pub(super) cdrs: Arc<CachedCdrStore>,
    pub(super) idempotency_keys: Arc<StoredResponses>,
    pub(super) state_log: Arc<StateLog>,
    pub(super) traces: Arc<TraceArchive>,
    pub(super) recordings: Arc<OpenRecordings>,
    /// For the rows of calls in the state log.
    pub(super) seal: Arc<dyn RowSeal>,
}

/// What the last process has left in the state log.
pub(super) struct StateRemains {
    pub(super) rows: Vec<RowRecord>,
    pub(super) last_sign: u64,
    /// Whether it has all that the last process has written.
    is_complete: bool,
    /// Whether that process has ended a moment ago, and the machine has not been started since.
    pub(super) is_of_now: bool,
}

impl StateRemains {
    /// Whether the last process has handed its calls over.
    pub(super) fn is_handover(&self) -> bool {
        self.is_of_now && CleanHandover::of(&self.rows).is_some()
    }
}

impl Stores {
    /// Opens the stores with the data of the last process. `http` is the bound address, and `secret` the
    /// account-key.
    pub(super) fn open(
        folder: &DataFolder,
        rows: &Arc<dyn RowStore>,
        (config, http): (&Config, SocketAddr),
        secret: &[u8; 32],
    ) -> Result<(Self, StateRemains)> {
        let (now, wall) = (Instant::now().into_std(), wall_clock());
        let cdrs = Duration::from_secs(config.cdrs.keep.get().into());
        let (state_log, remains) = open_state_log(folder, config.events)?;
        let idempotency_keys = Arc::new(StoredResponses::open(rows.clone(), now, wall)?);
        settle(&idempotency_keys, now, &state_log, &remains);
        let bans_left = BansLeft {
            state_log: state_log.clone(),
            rows: &remains.rows,
            is_complete: remains.is_complete && config.has_state_log,
        };
        let stores = Self {
            rows: rows.clone(),
            ban_list: Arc::new(BanList::open_after(bans_left, rows.clone(), now, wall)?),
            member_ids: Arc::new(MemberIdBlocks::open(folder, rows.clone())?),
            cdrs: Arc::new(CachedCdrStore::open(rows.clone(), &folder.path(STORE_FILE), cdrs)?),
            idempotency_keys,
            state_log,
            traces: Arc::new(open_traces(folder, config.traces)?),
            recordings: OpenRecordings::open(
                folder,
                (rows.clone(), &folder.path(STORE_FILE)),
                secret,
                (config, http),
            )?,
            seal: Arc::new(AccountKeySeal::new(secret)?),
        };
        Ok((stores, remains))
    }
}

/// Opens the archive of traces of a data folder.
fn open_traces(
    folder: &DataFolder,
    TraceConfig { keep, bytes_max }: TraceConfig,
) -> Result<TraceArchive> {
    let path = folder.folder(TRACE_FOLDER)?;
    let keep = Duration::from_secs(keep.get().into());
    let settings = ArchiveSettings { folder: path.clone(), keep, bytes_max: bytes_max.get() };
    TraceArchive::open(settings).with_context(|| format!("the traces in {}", path.display()))
}

/// Removes old CDRs, in slices, as long as the process lives.
pub(super) async fn remove_old_cdrs(cdrs: Arc<CachedCdrStore>) {
    loop {
        match cdrs.remove_old(wall_clock()).await {
            // There may be more.
            Ok(1..) => continue,
            Ok(0) => (),
            Err(error) => tracing::error!("old call detail records stay: {error}"),
        }
        sleep(CDRS_SWEPT_EVERY).await;
    }
}

/// Opens the state log of a data folder.
fn open_state_log(
    folder: &DataFolder,
    events: EventsConfig,
) -> Result<(Arc<StateLog>, StateRemains)> {
    let path = folder.folder(STATE_FOLDER)?;
    let opened = StateLog::open(log_settings(&path, events), new_epoch(), boot_id());
    let opened = opened.with_context(|| format!("the state log in {}", path.display()))?;
    let Opened { log, rows, last_sign, was_closed, is_other_boot, findings } = opened;
    findings.iter().for_each(|it| tracing::warn!("the state log: {it}"));
    log.start().context("the thread of the state log")?;
    // A loss of power takes the last frames, and with them what a request did.
    let is_complete = was_closed || !is_other_boot;
    let gone_for = micros(wall_clock()).checked_sub(last_sign);
    let is_of_now = !is_other_boot && gone_for.is_some_and(|it| it <= RESTORED_WITHIN);
    // The clock may have been ahead.
    let last_sign = last_sign.min(micros(wall_clock()));
    Ok((Arc::new(log), StateRemains { rows, last_sign, is_complete, is_of_now }))
}

/// Gives the requests that the last process was carrying out the answers that the state log has.
fn settle(keys: &StoredResponses, now: StdInstant, log: &Arc<StateLog>, remains: &StateRemains) {
    let (mut answers, mut ids) = (BTreeMap::new(), Vec::new());
    for (id, bytes) in recorder::answers(&remains.rows) {
        ids.push(id);
        match StoredResponse::from_bytes(&bytes) {
            Some(answer) => _ = answers.insert(id, answer),
            None => tracing::error!("the answer of a request in the state log cannot be read"),
        }
    }
    let log = log.clone();
    let on_stored: OnCommit = Box::new(move |stored| match stored {
        Ok(()) => {
            let gone: Vec<_> =
                ids.into_iter().map(|id| Line::Gone(recorder::answer_key(id))).collect();
            if !gone.is_empty() {
                log.append(&gone, |_| ());
            }
        }
        Err(error) => tracing::error!("answers of the last process stay in the state log: {error}"),
    });
    keys.settle(now, &answers, remains.is_complete, on_stored);
}

fn log_settings(folder: &Path, EventsConfig { keep, bytes_max }: EventsConfig) -> StateLogSettings {
    let bytes_max = bytes_max.get();
    let segment_bytes = u32::try_from(bytes_max / SEGMENTS_MIN).unwrap_or(u32::MAX);
    StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: segment_bytes.min(SEGMENT_BYTES_MAX),
        bytes_max,
        keep_micros: u64::from(keep.get()) * 1_000_000,
        held_max: EVENTS_HELD_MAX,
    }
}

/// An epoch that no earlier log had: the time in milliseconds.
fn new_epoch() -> u64 {
    let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(1)
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The kernel's boot; 0 if it does not say.
fn boot_id() -> u128 {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().parse::<Uuid>().map_or(0, |it| it.as_u128())
}

/// The clock of the times in rows that a later process reads.
pub(super) fn boot_clock() -> BootClock {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    BootClock::new(Instant::now().into_std(), seconds * 1_000_000_000 + nanos)
}

/// Opens the rows of a data folder; its lock keeps other writers out. If the folder has an account
/// key and the store is missing or empty, the data is lost: that is an error.
pub(super) fn rows(folder: &DataFolder) -> Result<Arc<dyn RowStore>> {
    open(folder, false)
}

/// As [`rows`]; a lost store is accepted if `is_new`.
pub(super) fn open(folder: &DataFolder, is_new: bool) -> Result<Arc<dyn RowStore>> {
    let path = folder.path(STORE_FILE);
    if !is_new && folder.read(KEY_FILE)?.is_some() {
        let bytes = match path.metadata() {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        if bytes == 0 {
            bail!(
                "the data folder has an account-key and no database: restore {STORE_FILE} \
                 (conflow store restore), or start with --new-store, without the accounts, groups and \
                 bans that it had: {}",
                path.display()
            );
        }
    }
    Ok(Arc::new(Sqlite::open(&path)?))
}

/// Runs `conflow store`. An engine may have the folder.
///
/// # Errors
///
/// There is no store, it is damaged, or the backup failed.
pub fn store(command: StoreCommand, out: &mut impl Write) -> Result<()> {
    match command {
        StoreCommand::Check(CheckStore { file, data }) => {
            check(&file.unwrap_or_else(|| data.join(STORE_FILE)), out)
        }
        StoreCommand::State(wanted) => {
            let names = StateNames { store: STORE_FILE, folder: STATE_FOLDER };
            state::show(&wanted, names, out)
        }
        StoreCommand::Backup(BackUpStore { file, data }) => {
            // Before the store: a call that ends meanwhile is told twice rather than not at all.
            let folder = data.join(STATE_FOLDER);
            let log = LogSnapshot::take(&folder).with_context(|| folder.display().to_string())?;
            let (store, key) = (Inspection::open(&data.join(STORE_FILE))?, data.join(KEY_FILE));
            let key = match fs::read(&key) {
                Ok(key) => Some(key),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error).with_context(|| key.display().to_string()),
            };
            store.copy_to(&file, key.as_deref(), log.parts())?;
            let bytes = file.metadata().with_context(|| file.display().to_string())?.len();
            writeln!(out, "{}: {bytes} bytes", file.display())?;
            let about_key = match key {
                Some(_) => "it has the account-key, so it is as secret as the tokens",
                None => "there is no account-key, because there are no accounts yet",
            };
            Ok(writeln!(out, "{about_key}")?)
        }
        StoreCommand::Restore(RestoreStore { file, data }) => restore(&file, &data, out),
    }
}

/// Makes a data folder of a backup. The key is written first: without it, the engine would make
/// another one.
fn restore(file: &Path, data: &Path, out: &mut impl Write) -> Result<()> {
    check(file, &mut io::sink())?;
    let backup = Inspection::open(file)?;
    let folder = DataFolder::hold(data)?;
    let path = folder.path(STORE_FILE);
    if path.try_exists().with_context(|| path.display().to_string())? {
        bail!(
            "{} is there already: nothing was done (move it, its -wal and -shm files and account-key \
             away first)",
            path.display()
        );
    }
    let state = folder.folder(STATE_FOLDER)?;
    if inspect::has_log(&state).with_context(|| state.display().to_string())? {
        bail!("{} has a state log already: nothing was done (move it away first)", state.display());
    }
    let (key, found) = (backup.key()?, folder.read(KEY_FILE)?);
    match (&key, &found) {
        (Some(key), Some(found)) if key != found => bail!(
            "{} is another one than that of the backup: nothing was done (move it away first)",
            folder.path(KEY_FILE).display()
        ),
        (Some(key), None) => folder.write(KEY_FILE, key)?,
        (Some(_) | None, _) => (),
    }
    restore_log(&backup, &state)?;
    backup.restore_to(&path)?;
    writeln!(out, "{} is restored from {}", path.display(), file.display())?;
    let mut has_accounts = false;
    backup.for_each(Table::Accounts, |_| has_accounts = true)?;
    if key.or(found).is_none() && has_accounts {
        writeln!(
            out,
            "the backup has no account-key: put that file into {}, or run conflow account reset-key",
            data.display()
        )?;
    }
    Ok(())
}

/// Writes the state log of a backup to a folder. Events of a new epoch follow, since others have
/// happened after the backup.
fn restore_log(backup: &Inspection, folder: &Path) -> Result<()> {
    let mut has_log = false;
    backup.each_log_part(|number, frames| {
        has_log = true;
        inspect::restore_segment(folder, number, frames)
    })?;
    if has_log {
        let whole = EventsConfig { keep: Count::new(86_400), bytes_max: ByteSize::new(1 << 30) };
        let opened = StateLog::open(log_settings(folder, whole), new_epoch(), boot_id());
        let log = opened.with_context(|| folder.display().to_string())?.log;
        log.begin_epoch(new_epoch()).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

fn check(path: &Path, out: &mut impl Write) -> Result<()> {
    let store = Inspection::open(path)?;
    let (version, known) = store.versions();
    writeln!(out, "{}: version {version} of {known}", path.display())?;
    if version < known {
        writeln!(out, "the next start of an engine migrates it to version {known}")?;
    }
    let mut errors = store.errors()?;
    for table in Table::ALL {
        let mut rows = 0_u64;
        let found = store.for_each(table, |row| {
            rows += 1;
            errors.extend(check_row(table, &row).err().map(|it| it.to_string()));
        });
        match found {
            Ok(true) => writeln!(out, "{:<12} {rows} rows", table.name())?,
            Ok(false) => writeln!(out, "{:<12} not there yet", table.name())?,
            Err(error) => errors.push(error.to_string()),
        }
    }
    for error in errors.iter().take(ERRORS_SHOWN_MAX) {
        writeln!(out, "error: {error}")?;
    }
    match errors.len() {
        0 => Ok(writeln!(out, "no errors")?),
        1 => bail!("{} has an error: restore it from a backup", path.display()),
        n => bail!("{} has {n} errors: restore it from a backup", path.display()),
    }
}

/// Checks that the module that owns a table can read this row.
fn check_row(table: Table, row: &StoredRow) -> Result<(), RowStoreError> {
    match table {
        Table::People
        | Table::Groups
        | Table::Members
        | Table::Bans
        | Table::Applications
        | Table::Audit => membership::check(table, row),
        Table::Tokens | Table::Passwords | Table::Folder => credentials::check(table, row),
        Table::Cdrs => store::check(row),
        Table::IdempotencyKeys => idempotency::check(row),
        Table::MemberIdBlocks => member_ids::check(row),
        Table::Accounts => file::check(row),
        Table::RoomBans => ban_list::check(row),
        Table::ConfigRows => config_rows::check(row),
        Table::Recordings => recording::store::read(row).map(drop),
        Table::TrunkMinutes => trunk_minutes::check(row),
    }
}
