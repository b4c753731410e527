//! Store: opens what an engine keeps in it, and runs `conflow store`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Write},
    path::Path,
    sync::Arc,
    time::{Instant as StdInstant, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    accounts::file,
    cdr::store::{self, CachedCdrStore},
    cli::store::{BackUpStore, CheckStore, RestoreStore, StoreCommand},
    credentials,
    engine::{
        ban_list::{self, BanList},
        inbound::wall_clock,
        membership, recorder,
    },
    state_log::{Line, Opened, RowRecord, StateLog, StateLogSettings},
    store::{
        StoredResponse,
        folder::DataFolder,
        idempotency::{self, StoredResponses},
        inspect::Inspection,
        member_ids::{self, MemberIdBlocks},
        rows::{OnCommit, RowStore, RowStoreError, StoredRow, Table},
        sqlite::Sqlite,
    },
};

/// Name of the store's file in the data folder.
pub(super) const STORE_FILE: &str = "conflow.db";
/// Folder of the state log in the data folder.
const STATE_FOLDER: &str = "state";
/// A segment of the state log: small enough to be read at a start without its index.
const SEGMENT_BYTES: u32 = 64 << 20;
/// Events are kept for a day, in microseconds …
const EVENTS_KEPT_MICROS: u64 = 24 * 3_600 * 1_000_000;
/// … and up to 1 GiB.
const EVENTS_BYTES_MAX: u64 = 1 << 30;
/// Events that wait while the disk is full.
const EVENTS_HELD_MAX: usize = 65_536;
/// File in the data folder, without which the tokens of stored accounts are lost.
pub(super) const KEY_FILE: &str = "account-key";
/// Errors that are printed; further ones tell nothing new.
const ERRORS_SHOWN_MAX: usize = 20;

/// Stores that outlive calls: bans, member ids, call detail records, idempotency keys.
pub(super) struct Stores {
    pub(super) rows: Arc<dyn RowStore>,
    pub(super) ban_list: Arc<BanList>,
    pub(super) member_ids: Arc<MemberIdBlocks>,
    pub(super) cdrs: Arc<CachedCdrStore>,
    pub(super) idempotency_keys: Arc<StoredResponses>,
    pub(super) state_log: Arc<StateLog>,
}

/// What the last process has left in the state log.
pub(super) struct StateRemains {
    pub(super) rows: Vec<RowRecord>,
    pub(super) last_sign: u64,
    /// Whether it has all that the last process has written.
    is_complete: bool,
}

impl Stores {
    /// Opens the stores with the data of the last process.
    pub(super) fn open(
        folder: &DataFolder,
        rows: &Arc<dyn RowStore>,
    ) -> Result<(Self, StateRemains)> {
        let (now, wall) = (Instant::now().into_std(), wall_clock());
        let (state_log, remains) = open_state_log(folder)?;
        let idempotency_keys = Arc::new(StoredResponses::open(rows.clone(), now, wall)?);
        settle(&idempotency_keys, now, &state_log, &remains);
        let stores = Self {
            rows: rows.clone(),
            ban_list: Arc::new(BanList::open(rows.clone(), now, wall)?),
            member_ids: Arc::new(MemberIdBlocks::open(folder, rows.clone())?),
            cdrs: Arc::new(CachedCdrStore::open(rows.clone(), wall)?),
            idempotency_keys,
            state_log,
        };
        Ok((stores, remains))
    }
}

/// Opens the state log of a data folder.
fn open_state_log(folder: &DataFolder) -> Result<(Arc<StateLog>, StateRemains)> {
    let path = folder.folder(STATE_FOLDER)?;
    let settings = StateLogSettings {
        folder: path.clone(),
        segment_bytes: SEGMENT_BYTES,
        bytes_max: EVENTS_BYTES_MAX,
        keep_micros: EVENTS_KEPT_MICROS,
        held_max: EVENTS_HELD_MAX,
    };
    let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = u64::try_from(since.as_millis()).unwrap_or(1);
    let opened = StateLog::open(settings, epoch, boot_id());
    let opened = opened.with_context(|| format!("the state log in {}", path.display()))?;
    let Opened { log, rows, last_sign, was_closed, is_other_boot, findings } = opened;
    findings.iter().for_each(|it| tracing::warn!("the state log: {it}"));
    log.start().context("the thread of the state log")?;
    // A loss of power takes the last frames, and with them what a request did.
    let is_complete = was_closed || !is_other_boot;
    Ok((Arc::new(log), StateRemains { rows, last_sign, is_complete }))
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

/// The kernel's boot; 0 if it does not say.
fn boot_id() -> u128 {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().parse::<Uuid>().map_or(0, |it| it.as_u128())
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
        StoreCommand::Backup(BackUpStore { file, data }) => {
            let (store, key) = (Inspection::open(&data.join(STORE_FILE))?, data.join(KEY_FILE));
            let key = match fs::read(&key) {
                Ok(key) => Some(key),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error).with_context(|| key.display().to_string()),
            };
            store.copy_to(&file, key.as_deref())?;
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
    let (key, found) = (backup.key()?, folder.read(KEY_FILE)?);
    match (&key, &found) {
        (Some(key), Some(found)) if key != found => bail!(
            "{} is another one than that of the backup: nothing was done (move it away first)",
            folder.path(KEY_FILE).display()
        ),
        (Some(key), None) => folder.write(KEY_FILE, key)?,
        (Some(_) | None, _) => (),
    }
    backup.restore_to(&path)?;
    writeln!(out, "{} is restored from {}", path.display(), file.display())?;
    if key.or(found).is_none() && backup.load(Table::Accounts)?.is_some_and(|it| !it.is_empty()) {
        writeln!(
            out,
            "the backup has no account-key: put that file into {}, or run conflow account reset-key",
            data.display()
        )?;
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
        let rows = match store.load(table) {
            Ok(Some(rows)) => rows,
            Ok(None) => {
                writeln!(out, "{:<12} not there yet", table.name())?;
                continue;
            }
            Err(error) => {
                errors.push(error.to_string());
                continue;
            }
        };
        writeln!(out, "{:<12} {} rows", table.name(), rows.len())?;
        let bad_rows = rows.iter().filter_map(|row| check_row(table, row).err());
        errors.extend(bad_rows.map(|it| it.to_string()));
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
        Table::Cdrs | Table::Calls => store::check(table, row),
        Table::IdempotencyKeys => idempotency::check(row),
        Table::MemberIdBlocks => member_ids::check(row),
        Table::Accounts => file::check(row),
        Table::RoomBans => ban_list::check(row),
    }
}
