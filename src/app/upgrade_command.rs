//! Command `conflow upgrade`: asks the engine of a data folder to hand over, and waits for the new process.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::engine_note::{EngineNote, TakenOver};
use crate::cli::upgrade::UpgradeArgs;

/// Time between two looks at the note of the engine.
const POLL: Duration = Duration::from_millis(20);

/// Lets a new process take the place of an engine.
///
/// # Errors
///
/// No engine has the folder, it refuses, or the new process does not serve in time.
pub async fn upgrade(wanted: &UpgradeArgs, out: &mut impl Write) -> Result<()> {
    let data = &wanted.data;
    let before = EngineNote::read(data)?.and_then(|note| Some((note.process()?, note)));
    let Some((process, before)) = before else {
        bail!(
            "no engine runs on the data folder {} that conflow upgrade could find (another folder: --data)",
            data.display()
        );
    };
    kill_process(process, Signal::USR2)
        .with_context(|| format!("the engine, process {}, cannot be told", before.pid))?;
    let end = Instant::now() + Duration::from_secs(wanted.timeout.get().into());
    while Instant::now() < end {
        sleep(POLL).await;
        let Some(now) = EngineNote::read(data)? else { continue };
        if (now.pid, now.started) != (before.pid, before.started) {
            return Ok(writeln!(out, "{}", success(&before, &now))?);
        }
        if now.refused != before.refused {
            let reason = now.reason.unwrap_or_default();
            bail!("nothing was changed, and the engine goes on: {reason}");
        }
    }
    match before.process() {
        Some(_) => bail!("the engine goes on, and has not answered: its log says why"),
        None => {
            bail!("the engine has handed over, and the new process does not serve yet: see its log")
        }
    }
}

fn success(before: &EngineNote, now: &EngineNote) -> String {
    let name = |it: &EngineNote| format!("conflow {} (process {})", it.version, it.pid);
    let calls = match now.taken_over {
        Some(TakenOver { calls: 0, .. }) => "there were no calls".to_owned(),
        Some(TakenOver { calls, pause_ms }) => {
            format!("{calls} calls go on, after {pause_ms} ms without sound")
        }
        None => "calls were restored as after a crash: its log says why".to_owned(),
    };
    format!("{} has taken the place of {}: {calls}", name(now), name(before))
}
