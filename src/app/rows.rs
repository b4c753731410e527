//! Rows: the endpoints, numbers and trunks of the data folder, and the commands that change them.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, Read, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use toml::{Table as Keys, Value};

use super::{
    accounts,
    random::{random, random_hex},
};
use crate::{
    accounts::{file::AccountStore, removal},
    base::ids::AccountId,
    cli::{
        rows::{AddEndpoint, AddNumber, AddTrunks, EndpointCommand, NumberCommand, TrunkCommand},
        settings::Secret,
    },
    config::{
        Config,
        rows::{ConfigRow, RowBody, RowKind, parse},
    },
    store::{
        folder::DataFolder,
        rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table},
    },
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
type ReadRow = Result<ConfigRow, String>;

/// Rows of a data folder: each is in the memory of the engine, and looked for twice a second.
const ROWS_MAX: usize = 20_000;
/// The account of rows that belong to none.
const NOBODY: &str = "folder";
/// Separates the key of the passwords from those that are made of the same secret.
const KEY_CONTEXT: &str = "conflow 2026-11 passwords of endpoints and trunks";
/// 80 bits as hexadecimal digits, which no digest reveals to a guesser.
const PASSWORD_BYTES: usize = 10;
/// A longer password file is a mistake.
const PASSWORD_FILE_MAX: u64 = 4_096;
/// A longer file of trunks is a mistake.
const TRUNK_FILE_MAX: u64 = 4 << 20;

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

    fn read(&self) -> Result<Vec<(StoredRow, ReadRow)>, RowStoreError> {
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
    fn add(&self, rows: &[ConfigRow], replaces: bool) -> Result<()> {
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
                let article = if row.kind == RowKind::Endpoint { "an" } else { "a" };
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

    fn remove(&self, kind: RowKind, name: &str) -> Result<()> {
        let stored = self.store.load(Table::ConfigRows)?;
        let found = stored.iter().find(|it| parse(it).is_ok_and(|it| is_named(it, kind, name)));
        let Some(found) = found else {
            let kind = kind.name();
            bail!("there is no {kind} {name} in the data folder: conflow {kind} list shows them");
        };
        Ok(removal::commit(&*self.store, vec![deletion(found)])?)
    }
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

/// Runs `conflow endpoint`; an engine may be running on the folder.
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn endpoint(command: EndpointCommand, out: &mut impl Write) -> Result<()> {
    let rows = open(command.data())?;
    match command {
        EndpointCommand::Add(it) => add_endpoint(&rows, &it, out),
        EndpointCommand::List(_) => list(&rows, RowKind::Endpoint, out),
        EndpointCommand::Remove(it) => remove(&rows, RowKind::Endpoint, &it.name, out),
    }
}

/// Runs `conflow number`, as [`endpoint`].
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn number(command: NumberCommand, out: &mut impl Write) -> Result<()> {
    let rows = open(command.data())?;
    match command {
        NumberCommand::Add(it) => {
            rows.add(&[number_row(&it)], it.replace)?;
            Ok(writeln!(out, "{} is added", it.called)?)
        }
        NumberCommand::List(_) => list(&rows, RowKind::Number, out),
        NumberCommand::Remove(it) => remove(&rows, RowKind::Number, &it.name, out),
    }
}

/// Runs `conflow trunk`, as [`endpoint`].
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn trunk(command: TrunkCommand, out: &mut impl Write) -> Result<()> {
    let rows = open(command.data())?;
    match command {
        TrunkCommand::Add(it) => {
            let trunks = trunk_rows(&it)?;
            rows.add(&trunks, it.replace)?;
            for trunk in trunks {
                writeln!(out, "{} is added", trunk.name())?;
            }
            Ok(())
        }
        TrunkCommand::List(_) => list(&rows, RowKind::Trunk, out),
        TrunkCommand::Remove(it) => remove(&rows, RowKind::Trunk, &it.name, out),
    }
}

/// One change at a time: the lock is held while the folder is.
fn open(data: &Path) -> Result<HeldRows> {
    let folder = DataFolder::hold_accounts(data)?;
    let store = super::store::rows(&folder)?;
    let key = accounts::key(&folder, &*store)?;
    Ok(HeldRows { rows: ConfigRows::new(store, key), _folder: folder })
}

struct HeldRows {
    rows: ConfigRows,
    _folder: DataFolder,
}

impl std::ops::Deref for HeldRows {
    type Target = ConfigRows;

    fn deref(&self) -> &ConfigRows {
        &self.rows
    }
}

fn add_endpoint(rows: &ConfigRows, wanted: &AddEndpoint, out: &mut impl Write) -> Result<()> {
    let (password, is_made) = match &wanted.password_file {
        Some(file) => (first_line(&read(file, PASSWORD_FILE_MAX)?), false),
        None => (random_hex::<PASSWORD_BYTES>()?, true),
    };
    let mut keys = keys([
        ("user", Some(wanted.user.as_str())),
        ("account", Some(wanted.account.as_str())),
        ("srtp", wanted.srtp.as_deref()),
    ]);
    keys.insert("password".to_owned(), Value::String(password.clone()));
    rows.add(&[ConfigRow::new(RowKind::Endpoint, keys)], wanted.replace)?;
    match is_made {
        true => writeln!(out, "{password}")?,
        false => writeln!(out, "{} is added", wanted.user)?,
    }
    Ok(())
}

fn number_row(wanted: &AddNumber) -> ConfigRow {
    let method = wanted.answer_method.as_ref().map(|it| it.to_ascii_uppercase());
    let keys = keys([
        ("called", Some(wanted.called.as_str())),
        ("account", Some(wanted.account.as_str())),
        ("flow", wanted.flow.as_deref()),
        ("answer_url", wanted.answer_url.as_deref()),
        ("answer_method", method.as_deref()),
        ("fallback_url", wanted.fallback_url.as_deref()),
        ("hangup_url", wanted.hangup_url.as_deref()),
        ("dialect", wanted.dialect.as_deref()),
    ]);
    ConfigRow::new(RowKind::Number, keys)
}

fn keys<const N: usize>(keys: [(&str, Option<&str>); N]) -> Keys {
    let set = keys.into_iter().filter_map(|(key, value)| Some((key, value?)));
    set.map(|(key, value)| (key.to_owned(), Value::String(value.to_owned()))).collect()
}

/// The rows of a file that has nothing but trunks.
fn trunk_rows(wanted: &AddTrunks) -> Result<Vec<ConfigRow>> {
    let (path, name) = (wanted.file.display(), RowKind::Trunk.name());
    let text = read(&wanted.file, TRUNK_FILE_MAX)?;
    let mut file: Keys = text.parse().with_context(|| format!("{path} is no TOML"))?;
    let rows = file.remove(name);
    if let Some(other) = file.keys().next() {
        bail!("{path}: {other}: only [[trunk]] rows can be added");
    }
    let Some(Value::Array(rows)) = rows.filter(|it| it.as_array().is_some_and(|it| !it.is_empty()))
    else {
        bail!("{path} has no [[trunk]]: write one with a name, and addresses or targets");
    };
    let row = |row: Value| match row.try_into::<Keys>() {
        Ok(keys) => Ok(ConfigRow::new(RowKind::Trunk, keys)),
        Err(_) => bail!("{path}: trunk: write each one as a table, [[trunk]]"),
    };
    rows.into_iter().map(row).collect()
}

/// The text of a file, or of standard input for `-`.
fn read(path: &Path, bytes_max: u64) -> Result<String> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(bytes_max).read_to_string(&mut text),
        false => fs::File::open(path).and_then(|it| it.take(bytes_max).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

fn first_line(text: &str) -> String {
    text.as_bytes().lines().next().and_then(Result::ok).unwrap_or_default()
}

fn list(rows: &ConfigRows, kind: RowKind, out: &mut impl Write) -> Result<()> {
    for (stored, found) in rows.read()? {
        match found {
            Ok(row) if row.kind == kind => {
                let others = row.keys.iter().map(|(key, value)| format!("{key} = {value}"));
                writeln!(out, "{}", others.collect::<Vec<_>>().join(", "))?;
            }
            Ok(_) => (),
            Err(why) if stored.a == kind as u64 => writeln!(out, "{why}")?,
            Err(_) => (),
        }
    }
    Ok(())
}

fn remove(rows: &ConfigRows, kind: RowKind, name: &str, out: &mut impl Write) -> Result<()> {
    rows.remove(kind, name)?;
    Ok(writeln!(out, "{name} is removed")?)
}

#[cfg(test)]
mod tests;
