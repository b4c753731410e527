//! Commands `conflow endpoint`, `application`, `number` and `trunk`: change the rows of a data folder.

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use toml::{Table as Keys, Value};

use super::{accounts, random::random_hex, rows::ConfigRows};
use crate::{
    cli::rows::{
        AddEndpoint, AddNumber, AddTrunks, ApplicationCommand, EndpointCommand, NumberCommand,
        TrunkCommand,
    },
    config::rows::{ConfigRow, RowKind},
    store::folder::DataFolder,
};

/// 80 bits as hexadecimal digits, which no digest reveals to a guesser.
const PASSWORD_BYTES: usize = 10;
/// A longer password file is a mistake.
const PASSWORD_FILE_MAX: u64 = 4_096;
/// A longer file of trunks is a mistake.
const TRUNK_FILE_MAX: u64 = 4 << 20;

/// Runs `conflow endpoint`; an engine may be running on the folder.
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn endpoint(command: EndpointCommand, out: &mut impl Write) -> Result<()> {
    match command {
        EndpointCommand::Add(it) => add_endpoint(&it, out),
        EndpointCommand::List(it) => list(&it.data, RowKind::Endpoint, out),
        EndpointCommand::Remove(it) => remove(&it.data, RowKind::Endpoint, &it.name, out),
    }
}

/// Runs `conflow application`, as [`endpoint`].
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn application(command: ApplicationCommand, out: &mut impl Write) -> Result<()> {
    match command {
        ApplicationCommand::List(it) => list(&it.data, RowKind::Application, out),
        ApplicationCommand::Remove(it) => remove(&it.data, RowKind::Application, &it.name, out),
    }
}

/// Runs `conflow number`, as [`endpoint`].
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn number(command: NumberCommand, out: &mut impl Write) -> Result<()> {
    match command {
        NumberCommand::Add(it) => {
            open(&it.data)?.add(&[number_row(&it)], it.replace)?;
            Ok(writeln!(out, "{} is added", it.called)?)
        }
        NumberCommand::List(it) => list(&it.data, RowKind::Number, out),
        NumberCommand::Remove(it) => remove(&it.data, RowKind::Number, &it.name, out),
    }
}

/// Runs `conflow trunk`, as [`endpoint`].
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn trunk(command: TrunkCommand, out: &mut impl Write) -> Result<()> {
    match command {
        TrunkCommand::Add(it) => {
            let trunks = trunk_rows(&it)?;
            open(&it.data)?.add(&trunks, it.replace)?;
            for trunk in trunks {
                writeln!(out, "{} is added", trunk.name())?;
            }
            Ok(())
        }
        TrunkCommand::List(it) => list(&it.data, RowKind::Trunk, out),
        TrunkCommand::Remove(it) => remove(&it.data, RowKind::Trunk, &it.name, out),
    }
}

/// One change at a time: the lock is held while the folder is. An engine that changes rows waits for
/// it, so nothing is read from files or people meanwhile.
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

fn add_endpoint(wanted: &AddEndpoint, out: &mut impl Write) -> Result<()> {
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
    open(&wanted.data)?.add(&[ConfigRow::new(RowKind::Endpoint, keys)], wanted.replace)?;
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

fn list(data: &Path, kind: RowKind, out: &mut impl Write) -> Result<()> {
    for (stored, found) in open(data)?.read()? {
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

fn remove(data: &Path, kind: RowKind, name: &str, out: &mut impl Write) -> Result<()> {
    open(data)?.remove(kind, name)?;
    Ok(writeln!(out, "{name} is removed")?)
}
