//! Engine note: the file of the data folder that says which process runs the engine, and how the last
//! upgrade went. `conflow upgrade` reads it.

use std::{fs, io::ErrorKind, path::Path, process, time::Duration};

use anyhow::{Context, Result};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::store::folder::DataFolder;

/// Name of the file in the data folder.
const FILE: &str = "engine.json";

/// What `conflow upgrade` wants to know of an engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct EngineNote {
    /// The number of the process.
    pub(super) pid: i32,
    /// The start of the process, in the kernel's ticks since the machine's start: another process of this
    /// number has another one.
    pub(super) started: u64,
    pub(super) version: String,
    /// Upgrades that this process has refused, and why it has refused the last one.
    pub(super) refused: u32,
    pub(super) reason: Option<String>,
    /// None: it has not taken the place of another process.
    pub(super) taken_over: Option<TakenOver>,
}

/// What a process has taken over from the one before it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct TakenOver {
    /// Calls that go on.
    pub(super) calls: usize,
    /// How long the sound of calls stood still.
    pub(super) pause_ms: u64,
}

impl TakenOver {
    pub(super) fn new(calls: usize, pause: Duration) -> Self {
        Self { calls, pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl EngineNote {
    /// The note of this process.
    pub(super) fn own(taken_over: Option<TakenOver>) -> Self {
        let pid = process::id().cast_signed();
        Self {
            pid,
            started: start_of(pid).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            refused: 0,
            reason: None,
            taken_over,
        }
    }

    /// Writes the file. Without it, only `conflow upgrade` is missing.
    pub(super) fn write(&self, folder: &DataFolder) {
        let text = serde_json::to_vec(self).expect("numbers and texts");
        if let Err(error) = folder.write(FILE, &text) {
            tracing::error!("conflow upgrade will not find this process: {error}");
        }
    }

    /// Reads the file of a data folder, which an engine may have. None if no engine has written it.
    pub(super) fn read(data: &Path) -> Result<Option<Self>> {
        let path = data.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let note = serde_json::from_slice(&bytes);
        Ok(Some(note.with_context(|| format!("{}: no note of an engine", path.display()))?))
    }

    /// The process, if it still lives.
    pub(super) fn process(&self) -> Option<Pid> {
        let is_it = start_of(self.pid) == Some(self.started);
        Pid::from_raw(self.pid).filter(|_| is_it)
    }
}

/// The 22nd field of `/proc/PID/stat`; the second one is a name in parentheses, which may have spaces.
fn start_of(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    // A zombie has ended.
    if state == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_note_names_a_process_that_lives_and_no_other_of_its_number() {
        let home = tempdir().unwrap();
        let data = home.path().join("data");
        assert_eq!(EngineNote::read(&data).unwrap(), None);
        let folder = DataFolder::hold(&data).unwrap();
        let note = EngineNote::own(Some(TakenOver::new(3, Duration::from_millis(120))));
        note.write(&folder);
        let read = EngineNote::read(&data).unwrap().unwrap();
        assert_eq!(read, note);
        assert_eq!(read.process(), Pid::from_raw(process::id().cast_signed()));
        assert_eq!(EngineNote { started: note.started + 1, ..note.clone() }.process(), None);
        let mut child = process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let pid = child.id().cast_signed();
        assert_eq!(EngineNote { pid, ..note }.process(), None, "it has ended");
        fs::write(data.join(FILE), "{").unwrap();
        assert!(EngineNote::read(&data).is_err());
    }
}
