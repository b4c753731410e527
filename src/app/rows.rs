//! Rows: the endpoints, numbers, trunks and applications of the data folder.

use std::{
    collections::BTreeSet,
    fmt::Display,
    sync::{Arc, mpsc},
};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use toml::{Table as Keys, Value};

use super::random::random;
use crate::{
    accounts::{file::AccountStore, removal},
    base::ids::AccountId,
    cli::settings::Secret,
    config::{
        Config,
        rows::{ConfigRow, RowBody, RowKind, parse},
    },
    provisioning::{
        Command, EndpointEntry, EndpointPassword, ProvisioningError, ProvisioningTable, Refusal,
        RowChange,
    },
    store::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
};

/// The rows of a data folder.
pub(super) struct ConfigRows {
    store: Arc<dyn RowStore>,
    /// Encrypts the passwords.
    key: LessSafeKey,
    /// The rows and the accounts as [`ConfigRows::changed`] read them last.
    last: Mutex<Option<(Vec<StoredRow>, BTreeSet<AccountId>)>>,
}

/// A row, or why it cannot be read.
pub(super) type ReadRow = Result<ConfigRow, String>;

/// Rows of a data folder: each is in the memory of the engine, and looked for twice a second.
const ROWS_MAX: usize = 20_000;
/// The account of rows that belong to none. It has a blank, as no account's id has.
const NOBODY: &str = "no account";
/// Separates the key of the passwords from those that are made of the same secret.
const KEY_CONTEXT: &str = "conflow 2026-11 passwords of endpoints and trunks";

impl ConfigRows {
    /// The rows of a store; `secret` is the data folder's account-key.
    pub(super) fn new(store: Arc<dyn RowStore>, secret: [u8; 32]) -> Self {
        let key = blake3::derive_key(KEY_CONTEXT, &secret);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("it has the length of a key");
        Self { store, key: LessSafeKey::new(key), last: Mutex::default() }
    }

    /// All rows, in the order in which they were added; and for each that cannot be read, why.
    fn load(&self) -> Result<(Vec<ConfigRow>, Vec<String>), RowStoreError> {
        let (mut rows, mut reasons) = (Vec::new(), Vec::new());
        for (_, found) in self.read()? {
            match found {
                Ok(row) => rows.push(row),
                Err(why) => reasons.push(why),
            }
        }
        Ok((rows, reasons))
    }

    /// Adds the rows to a configuration. Those that cannot be used are left out, and the log says why.
    pub(super) fn merge(
        &self,
        config: &mut Config,
        accounts: &AccountStore,
    ) -> Result<(), RowStoreError> {
        let (rows, mut reasons) = self.load()?;
        let owners = accounts.load()?.into_iter().map(|it| it.id).collect();
        reasons.extend(config.add_rows(&rows, &owners));
        for why in reasons {
            tracing::warn!("a row of the data folder is left out: {why}");
        }
        Ok(())
    }

    /// Whether the rows, or the accounts that own them, differ from those of the last call.
    pub(super) fn changed(&self) -> Result<bool, RowStoreError> {
        let rows = self.store.load(Table::ConfigRows)?;
        let owners = match rows.is_empty() {
            true => BTreeSet::new(),
            false => self.store.load(Table::Accounts)?.into_iter().map(|it| it.account).collect(),
        };
        let (seen, mut last) = (Some((rows, owners)), self.last.lock());
        let is_same = *last == seen;
        *last = seen;
        Ok(!is_same)
    }

    /// All rows as they are stored and as they are read, in the order in which they were added.
    pub(super) fn read(&self) -> Result<Vec<(StoredRow, ReadRow)>, RowStoreError> {
        let mut stored = self.store.load(Table::ConfigRows)?;
        stored.sort_unstable_by_key(|it| (it.a, it.b));
        let rows = stored.into_iter().map(|it| {
            let row = self.open(&it);
            (it, row)
        });
        Ok(rows.collect())
    }

    fn open(&self, stored: &StoredRow) -> ReadRow {
        let (kind, body) = parse(stored).map_err(|error| error.to_string())?;
        let mut row = ConfigRow::new(kind, body.keys);
        if let Some(sealed) = body.password {
            let password = self.unseal(&row, sealed).ok_or_else(|| {
                let (kind, name) = (kind.name(), row.name());
                format!(
                    "{kind} {name}: its password was encrypted with another account-key: add it \
                     again, with --replace"
                )
            })?;
            row.password = Some(Secret(password));
        }
        Ok(row)
    }

    fn unseal(&self, row: &ConfigRow, mut sealed: Vec<u8>) -> Option<String> {
        let (nonce, rest) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(bound_to(row)), rest).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }

    fn seal(&self, row: &ConfigRow, password: &str) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = password.as_bytes().to_vec();
        let (once, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(bound_to(row)));
        let done = self.key.seal_in_place_append_tag(once, aad, &mut sealed);
        done.ok().context("the password is too long")?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Adds rows, all or none.
    pub(super) fn add(&self, rows: &[ConfigRow], replaces: bool) -> Result<()> {
        let (stored, mut writes) = (self.read()?, Vec::new());
        if ROWS_MAX < stored.len() + rows.len() {
            bail!("the data folder has {} rows: at most {ROWS_MAX} are kept", stored.len());
        }
        let last = stored.iter().map(|(it, _)| it.b).max().unwrap_or_default();
        let mut names = BTreeSet::new();
        for (number, row) in (last + 1..).zip(rows) {
            let (kind, name) = (row.kind.name(), row.name());
            row.check().map_err(|why| anyhow::anyhow!("{kind} {name}: {why}"))?;
            let is_same = |it: &&StoredRow| parse(it).is_ok_and(|it| is_named(it, row.kind, name));
            let same = stored.iter().map(|(it, _)| it).find(is_same);
            if !names.insert((row.kind, name)) || (same.is_some() && !replaces) {
                let article = match row.kind {
                    RowKind::Endpoint | RowKind::Application => "an",
                    RowKind::Number | RowKind::Trunk => "a",
                };
                bail!(
                    "there is {article} {kind} {name} already: --replace puts this one in its place"
                );
            }
            writes.extend(same.map(deletion));
            let password = match &row.password {
                Some(Secret(password)) => Some(self.seal(row, password)?),
                None => None,
            };
            let body = RowBody { keys: row.keys.clone(), password };
            let account = row.account().unwrap_or_else(|| NOBODY.parse().expect("it is a name"));
            let a = row.kind as u64;
            let write = RowWrite::put(Table::ConfigRows, &account, a, &body);
            writes.push(RowWrite { b: number, ..write });
        }
        Ok(removal::commit(&*self.store, writes)?)
    }

    /// Carries out a command of an account, in one transaction with `answer`. `fixed` is what the
    /// account has in the configuration file, `is_configured` whether it is itself there.
    pub(super) fn provision(
        &self,
        account: &AccountId,
        (fixed, is_configured): (ProvisioningTable, bool),
        command: Command,
        answer: Option<RowWrite>,
    ) -> Result<(), ProvisioningError> {
        // What it has is deleted when it is removed, and nothing may come after that.
        let is_present = || removal::is_present(&*self.store, account);
        if !is_configured && !is_present().map_err(|error| failed(&error))? {
            return Err(Refusal::NoAccount.into());
        }
        let stored = self.store.load(Table::ConfigRows).map_err(|error| failed(&error))?;
        let mut rows: Vec<_> = stored.iter().filter(|it| it.account == *account).collect();
        rows.sort_unstable_by_key(|it| (it.a, it.b));
        let mut table = fixed;
        for (kind, body) in rows.into_iter().filter_map(|it| parse(it).ok()) {
            let row = ConfigRow::new(kind, body.keys);
            match kind {
                // The file's comes first.
                RowKind::Endpoint if table.endpoints.iter().any(|it| it.user == row.name()) => (),
                RowKind::Endpoint => table.endpoints.push(row.to_entry()),
                RowKind::Application if table.application(row.name()).is_some() => (),
                RowKind::Application => table.applications.extend(row.to_application()),
                RowKind::Number | RowKind::Trunk => (),
            }
        }
        let changes = table.handle(command)?;
        let mut writes = Vec::from_iter(answer);
        let mut last = stored.iter().map(|it| it.b).max().unwrap_or_default();
        for change in changes {
            writes.push(self.write_of(account, change, &stored, &mut last)?);
        }
        let (tell, written) = mpsc::channel();
        self.store.commit(writes, Box::new(move |it| drop(tell.send(it))));
        Ok(written.recv().unwrap_or(Err(WriteError::Ended))?)
    }

    /// The write of a change. `last` is the highest number of a row.
    fn write_of(
        &self,
        account: &AccountId,
        change: RowChange,
        stored: &[StoredRow],
        last: &mut u64,
    ) -> Result<RowWrite, ProvisioningError> {
        let find = |kind: RowKind, name: &str| {
            stored.iter().find(|it| parse(it).is_ok_and(|it| is_named(it, kind, name)))
        };
        let gone = |kind, name: &str| {
            let found = find(kind, name).filter(|it| it.account == *account);
            found.map(deletion).ok_or(ProvisioningError::Failed)
        };
        let (row, password) = match change {
            RowChange::DeleteEndpoint(user) => return gone(RowKind::Endpoint, &user),
            RowChange::DeleteApplication(id) => return gone(RowKind::Application, &id),
            RowChange::PutEndpoint(entry, password) => {
                let old = find(RowKind::Endpoint, &entry.user).and_then(|it| parse(it).ok());
                let body = old.map(|it| it.1);
                let sealed = body.as_ref().and_then(|it| it.password.clone());
                let row = endpoint_row(account, entry, body.map(|it| it.keys).unwrap_or_default());
                let sealed = match password {
                    Some(EndpointPassword(new)) => {
                        Some(self.seal(&row, &new).map_err(|error| failed(&error))?)
                    }
                    None => sealed,
                };
                (row, sealed)
            }
            RowChange::PutApplication(application) => {
                (ConfigRow::of_application(&application), None)
            }
        };
        let number = match find(row.kind, row.name()) {
            Some(old) if old.account == *account => old.b,
            Some(_) => return Err(Refusal::Taken.into()),
            None if ROWS_MAX <= stored.len() => {
                return Err(Refusal::TooManyRows { max: ROWS_MAX }.into());
            }
            None => {
                *last += 1;
                *last
            }
        };
        let body = RowBody { keys: row.keys, password };
        let write = RowWrite::put(Table::ConfigRows, account, row.kind as u64, &body);
        Ok(RowWrite { b: number, ..write })
    }

    /// Removes the row of this name.
    pub(super) fn remove(&self, kind: RowKind, name: &str) -> Result<()> {
        let stored = self.store.load(Table::ConfigRows)?;
        let found = stored.iter().find(|it| parse(it).is_ok_and(|it| is_named(it, kind, name)));
        let Some(found) = found else {
            let kind = kind.name();
            bail!("there is no {kind} {name} in the data folder: conflow {kind} list shows them");
        };
        Ok(removal::commit(&*self.store, vec![deletion(found)])?)
    }
}

/// The row of an endpoint; `keys` are those of the row that it had.
fn endpoint_row(account: &AccountId, entry: EndpointEntry, mut keys: Keys) -> ConfigRow {
    let EndpointEntry { id, user, alias, application, is_fixed: _ } = entry;
    let text = |text: &str| Value::String(text.to_owned());
    keys.insert("account".to_owned(), text(account.as_str()));
    keys.insert("user".to_owned(), text(&user));
    keys.insert("id".to_owned(), text(&id));
    keys.insert("alias".to_owned(), text(&alias));
    match application {
        Some(id) => drop(keys.insert("application".to_owned(), text(&id))),
        None => drop(keys.remove("application")),
    }
    ConfigRow::new(RowKind::Endpoint, keys)
}

/// The error for a client; the log has the reason.
fn failed(why: &dyn Display) -> ProvisioningError {
    tracing::error!("the rows of the data folder cannot be changed: {why}");
    ProvisioningError::Failed
}

/// A password is of use in its own row only.
fn bound_to(row: &ConfigRow) -> String {
    format!("{} {}", row.kind.name(), row.name())
}

fn is_named((kind, body): (RowKind, RowBody), wanted: RowKind, name: &str) -> bool {
    kind == wanted && ConfigRow::new(kind, body.keys).name() == name
}

fn deletion(row: &StoredRow) -> RowWrite {
    let (account, a, b) = (row.account.clone(), row.a, row.b);
    RowWrite { table: Table::ConfigRows, account, a, b, body: None }
}

#[cfg(test)]
mod tests;
