//! The store: what of it an engine has open, and `conflow store`.

use std::{io::Write, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::{
    accounts::file,
    cdr::store::{self, Ledger},
    cli::store::{Backup, Check, Store},
    credentials,
    engine::{
        ban_list::{self, Doors},
        inbound::wall,
        membership,
    },
    store::{
        folder::DataFolder,
        idempotency::{self, Answers},
        inspect::Inspection,
        member_ids::{self, Marks},
        rows::{Row, Rows, RowsError, Table},
        sqlite::Sqlite,
    },
};

/// The store's file in the data folder.
pub(super) const STORE: &str = "conflow.db";
/// Of rows that make no sense; more is no news any more.
const FAULTS_SHOWN_MAX: usize = 20;

/// What outlives calls: records of them, bans, answers to requests, and member ids.
pub(super) struct Stores {
    pub(super) doors: Arc<Doors>,
    pub(super) marks: Arc<Marks>,
    pub(super) records: Arc<Ledger>,
    pub(super) repeats: Arc<Answers>,
}

impl Stores {
    /// Takes them up where the last process left off.
    pub(super) fn open(folder: &DataFolder, rows: &Arc<dyn Rows>) -> Result<Self> {
        let (now, wall) = (Instant::now().into_std(), wall());
        Ok(Self {
            doors: Arc::new(Doors::open(rows.clone(), now, wall)?),
            marks: Arc::new(Marks::open(folder, rows.clone())?),
            records: Arc::new(Ledger::open(rows.clone(), wall)?),
            repeats: Arc::new(Answers::open(rows.clone(), now, wall)?),
        })
    }
}

/// Opens a data folder's rows; the folder is held, so nobody else writes.
pub(super) fn rows(folder: &DataFolder) -> Result<Arc<dyn Rows>> {
    Ok(Arc::new(Sqlite::open(&folder.path(STORE))?))
}

/// Does what `conflow store` was asked for. An engine may have the folder.
///
/// # Errors
///
/// There is no store, it is damaged, or what was asked for cannot be.
pub fn store(command: Store, out: &mut impl Write) -> Result<()> {
    match command {
        Store::Check(Check { file, data }) => check(&file.unwrap_or_else(|| data.join(STORE)), out),
        Store::Backup(Backup { file, data }) => {
            Inspection::open(&data.join(STORE))?.copy_to(&file)?;
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
        writeln!(out, "the next start of an engine brings it up to version {known}")?;
    }
    let mut faults = store.faults()?;
    for table in Table::ALL {
        let rows = match store.load(table) {
            Ok(Some(rows)) => rows,
            Ok(None) => {
                writeln!(out, "{:<12} not there yet", table.name())?;
                continue;
            }
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        writeln!(out, "{:<12} {} rows", table.name(), rows.len())?;
        let senseless = rows.iter().filter_map(|row| makes_sense(table, row).err());
        faults.extend(senseless.map(|it| it.to_string()));
    }
    for fault in faults.iter().take(FAULTS_SHOWN_MAX) {
        writeln!(out, "fault: {fault}")?;
    }
    match faults.len() {
        0 => Ok(writeln!(out, "no faults")?),
        1 => bail!("{} has a fault: bring it back from a backup", path.display()),
        n => bail!("{} has {n} faults: bring it back from a backup", path.display()),
    }
}

/// Whether the part that reads such rows at the start can read this one.
fn makes_sense(table: Table, row: &Row) -> Result<(), RowsError> {
    match table {
        Table::People
        | Table::Groups
        | Table::Members
        | Table::Bans
        | Table::Applications
        | Table::Audit => membership::check(table, row),
        Table::Tokens | Table::Passwords | Table::Folder => credentials::check(table, row),
        Table::Records | Table::Calls => store::check(table, row),
        Table::Repeats => idempotency::check(row),
        Table::Marks => member_ids::check(row),
        Table::Accounts => file::check(row),
        Table::RoomBans => ban_list::check(row),
    }
}
