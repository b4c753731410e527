//! State report: what a data folder keeps, how much and how old, for `conflow store state`.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::{
    base::utc,
    cli::{events::OutputFormat, store::ShowState},
    engine::resume,
    state_log::inspect::LogInspection,
    store::inspect::{Inspection, TableSize},
};

/// Names in a data folder.
#[derive(Clone, Copy)]
pub(super) struct StateNames {
    /// File of the database.
    pub(super) store: &'static str,
    /// Folder of the state log.
    pub(super) folder: &'static str,
}

/// Writes the report of a data folder. An engine may have the folder.
pub(super) fn show(wanted: &ShowState, names: StateNames, out: &mut impl io::Write) -> Result<()> {
    let data = &wanted.data;
    if !data.is_dir() {
        bail!("{}: there is no such folder; --data names the folder of an engine", data.display());
    }
    let report = report(data, names)?;
    match wanted.format {
        OutputFormat::Json => writeln!(out, "{report:#}")?,
        OutputFormat::Text => out.write_all(text(&report, names).as_bytes())?,
    }
    Ok(())
}

fn report(data: &Path, names: StateNames) -> Result<Value> {
    let at = |path: &Path| path.display().to_string();
    let space = rustix::fs::statvfs(data).with_context(|| at(data))?;
    let state = data.join(names.folder);
    let log = LogInspection::of(&state).with_context(|| at(&state))?;
    let store = data.join(names.store);
    let database = match store.try_exists().with_context(|| at(&store))? {
        true => {
            let inspected = Inspection::open(&store)?;
            let bytes =
                files(&store)?.bytes + files(&data.join(format!("{}-wal", names.store)))?.bytes;
            let (version, _) = inspected.versions();
            let tables: Vec<_> = inspected.sizes()?.iter().map(table).collect();
            json!({ "bytes": bytes, "version": version, "tables": tables })
        }
        false => Value::Null,
    };
    Ok(json!({
        "data": at(data),
        "free_bytes": space.f_bavail.saturating_mul(space.f_frsize),
        "log": log_report(&log),
        "database": database,
        "folders": folders(data, names)?,
    }))
}

fn log_report(log: &LogInspection) -> Value {
    let LogInspection { bytes, segments, epoch, rows, accounts, newest } = log;
    let mut kinds = Map::new();
    for (kind, count) in rows {
        kinds.insert(resume::kind_name(*kind), (*count).into());
    }
    let oldest = accounts.iter().map(|it| it.oldest).min();
    let events: Vec<_> = accounts
        .iter()
        .map(|it| json!({ "account": it.account, "count": it.count, "oldest": when(it.oldest) }))
        .collect();
    json!({
        "bytes": bytes,
        "segments": segments,
        "epoch": epoch,
        "oldest_event": oldest.map(when),
        "newest_event": Some(*newest).filter(|it| 0 < *it).map(when),
        "rows": kinds,
        "events": events,
    })
}

fn table(TableSize { name, rows, bytes }: &TableSize) -> Value {
    json!({ "name": name, "rows": rows, "bytes": bytes })
}

/// The text of a time in microseconds since 1970.
fn when(micros: u64) -> String {
    utc::seconds(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
}

/// Files of a folder, or one file.
#[derive(Default)]
struct FileSizes {
    files: u64,
    bytes: u64,
    /// When the oldest was changed last.
    oldest: Option<SystemTime>,
}

/// The other folders of a data folder, such as those of traces and voices.
fn folders(data: &Path, names: StateNames) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data).with_context(|| data.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() || name == names.folder {
            continue;
        }
        let FileSizes { files, bytes, oldest } = files(&entry.path())?;
        let oldest = oldest.map(utc::seconds);
        found.push(json!({ "name": name, "files": files, "bytes": bytes, "oldest": oldest }));
    }
    found.sort_by_key(|it| it["name"].as_str().map(str::to_owned));
    Ok(found)
}

/// Sums up a path. What the engine removes meanwhile is not counted.
fn files(path: &Path) -> io::Result<FileSizes> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let about = match fs::symlink_metadata(path) {
        Err(error) if missing(&error) => return Ok(FileSizes::default()),
        about => about?,
    };
    if !about.is_dir() {
        return Ok(FileSizes { files: 1, bytes: about.len(), oldest: about.modified().ok() });
    }
    let mut sum = FileSizes::default();
    for entry in fs::read_dir(path)? {
        let inner = files(&entry?.path())?;
        sum.files += inner.files;
        sum.bytes += inner.bytes;
        sum.oldest = [sum.oldest, inner.oldest].into_iter().flatten().min();
    }
    Ok(sum)
}

fn text(report: &Value, StateNames { store, folder }: StateNames) -> String {
    let mut text = String::new();
    let mut line = |it: String| writeln!(text, "{it}").expect("a String takes everything");
    let log = &report["log"];
    line(format!(
        "{}: {} free",
        report["data"].as_str().unwrap_or("?"),
        size(&report["free_bytes"])
    ));
    line(format!(
        "state log ({folder}): {}, {} segments, epoch {}",
        size(&log["bytes"]),
        log["segments"],
        log["epoch"]
    ));
    for account in rows(&log["events"]) {
        let (name, oldest) = (word(&account["account"]), word(&account["oldest"]));
        line(format!("  {:<24} {} events since {oldest}", name, account["count"]));
    }
    for (kind, count) in log["rows"].as_object().into_iter().flatten() {
        line(format!("  {kind:<24} {count}"));
    }
    let database = &report["database"];
    match database.is_null() {
        true => line(format!("database ({store}): none yet")),
        false => line(format!(
            "database ({store}): {}, version {}",
            size(&database["bytes"]),
            database["version"]
        )),
    }
    for table in rows(&database["tables"]) {
        let (name, bytes) = (word(&table["name"]), size(&table["bytes"]));
        line(format!("  {:<24} {} rows, {bytes}", name, table["rows"]));
    }
    for folder in rows(&report["folders"]) {
        let (name, bytes) = (word(&folder["name"]), size(&folder["bytes"]));
        let since = match word(&folder["oldest"]) {
            "" => String::new(),
            oldest => format!(", the oldest of {oldest}"),
        };
        line(format!("{name}: {} files, {bytes}{since}", folder["files"]));
    }
    text
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number of bytes for people: `12.3 MiB`.
fn size(bytes: &Value) -> String {
    let bytes = bytes.as_u64().unwrap_or_default();
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| *unit <= bytes) {
        Some((name, unit)) => {
            format!("{}.{} {name}", bytes / unit, (bytes % unit) * 10 / unit)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_digit_after_the_point() {
        let check = |bytes: u64, expected: &str| assert_eq!(size(&bytes.into()), expected);
        check(0, "0 bytes");
        check(1_023, "1023 bytes");
        check(1_536, "1.5 KiB");
        check((5 << 20) - 1, "4.9 MiB");
        check(3 << 30, "3.0 GiB");
    }
}
