//! Store: opens what an engine keeps in it, and runs `conflow store`.

use std::{io::Write, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::{
    accounts::file,
    cdr::store::{self, CachedCdrStore},
    cli::store::{BackUpStore, CheckStore, StoreCommand},
    credentials,
    engine::{
        ban_list::{self, BanList},
        inbound::wall_clock,
        membership,
    },
    store::{
        folder::DataFolder,
        idempotency::{self, StoredResponses},
        inspect::Inspection,
        member_ids::{self, MemberIdBlocks},
        rows::{RowStore, RowStoreError, StoredRow, Table},
        sqlite::Sqlite,
    },
};

/// Name of the store's file in the data folder.
pub(super) const STORE_FILE: &str = "conflow.db";
/// Errors that are printed; further ones tell nothing new.
const ERRORS_SHOWN_MAX: usize = 20;

/// Stores that outlive calls: bans, member ids, call detail records, idempotency keys.
pub(super) struct Stores {
    pub(super) ban_list: Arc<BanList>,
    pub(super) member_ids: Arc<MemberIdBlocks>,
    pub(super) cdrs: Arc<CachedCdrStore>,
    pub(super) idempotency_keys: Arc<StoredResponses>,
}

impl Stores {
    /// Opens the stores with the data of the last process.
    pub(super) fn open(folder: &DataFolder, rows: &Arc<dyn RowStore>) -> Result<Self> {
        let (now, wall) = (Instant::now().into_std(), wall_clock());
        Ok(Self {
            ban_list: Arc::new(BanList::open(rows.clone(), now, wall)?),
            member_ids: Arc::new(MemberIdBlocks::open(folder, rows.clone())?),
            cdrs: Arc::new(CachedCdrStore::open(rows.clone(), wall)?),
            idempotency_keys: Arc::new(StoredResponses::open(rows.clone(), now, wall)?),
        })
    }
}

/// Opens the rows of a data folder; its lock keeps other writers out.
pub(super) fn rows(folder: &DataFolder) -> Result<Arc<dyn RowStore>> {
    Ok(Arc::new(Sqlite::open(&folder.path(STORE_FILE))?))
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
            Inspection::open(&data.join(STORE_FILE))?.copy_to(&file)?;
            let bytes = file.metadata().with_context(|| file.display().to_string())?.len();
            Ok(writeln!(out, "{}: {bytes} bytes", file.display())?)
        }
    }
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
