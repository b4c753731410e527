//! Printing: the text form of a report and of an exploration. The same run prints the same text.

use std::fmt;

use super::{CallerReport, Endings, Explored, SimulationReport};
use crate::{
    sim_phones::TimelineEntry,
    trace::{CauseLink, TraceInterruption, TraceRecording, TraceStep},
};

impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for caller in &self.callers {
            self.caller(f, caller)?;
        }
        writeln!(f, "what happened")?;
        for note in &self.log {
            write!(f, "{:>10}  {}", note.at_ms, note.what)?;
            if let Some(api_id) = note.api_id {
                write!(f, " [request {}]", api_id.as_u128())?;
            }
            match &note.answer {
                Some(answer) => writeln!(f, ": {answer}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl SimulationReport {
    fn caller(&self, f: &mut fmt::Formatter<'_>, caller: &CallerReport) -> fmt::Result {
        let CallerReport { name, from, to, is_dialled, timeline, steps, .. } = caller;
        match is_dialled {
            true => writeln!(f, "{name} ({to}) is called by {from}")?,
            false => writeln!(f, "{name} ({from}) calls {to}")?,
        }
        writeln!(f, "  hears")?;
        for TimelineEntry { from_ms, to_ms, heard } in timeline {
            // The text of the entry after its times.
            let entry =
                TimelineEntry { from_ms: 0, to_ms: Some(0), heard: heard.clone() }.to_string();
            let heard = entry.trim_start_matches("0-0 ");
            times(f, *from_ms, *to_ms)?;
            writeln!(f, "{heard}")?;
        }
        writeln!(f, "  runs")?;
        for step in steps {
            times(f, step.from_ms, step.to_ms)?;
            self.step(f, step)?;
        }
        let (cause, source) = (caller.hangup_cause_name, caller.hangup_source);
        let (cause, source) = (cause.unwrap_or("nothing"), source.unwrap_or("nobody"));
        writeln!(f, "  ends\n{:>10}  {cause}, by {source}\n", caller.ended_ms)
    }

    fn step(&self, f: &mut fmt::Formatter<'_>, step: &TraceStep) -> fmt::Result {
        if let Some(recording) = &step.recording {
            return recorded(f, step, recording);
        }
        match &step.url {
            Some(url) => write!(f, "{url} ")?,
            None if 1 < step.document => write!(f, "document {} ", step.document)?,
            None => (),
        }
        write!(f, "{}:{} {}", step.line, step.column, step.element)?;
        if let (Some(conference), Some(member)) = (&step.conference, step.member_id) {
            write!(f, " {conference} as member {member}")?;
        }
        write!(f, ": {}", step.ended.unwrap_or("goes on"))?;
        if let Some(asked) = &step.asked {
            write!(f, " {asked}")?;
        }
        if let Some(reason) = &step.reason {
            write!(f, " ({reason:?})")?;
        }
        step.causes.iter().enumerate().try_for_each(|(n, link)| self.link(f, n, link))?;
        writeln!(f)
    }

    fn link(&self, f: &mut fmt::Formatter<'_>, n: usize, link: &CauseLink) -> fmt::Result {
        if 0 < n {
            let caller = self.callers.iter().find(|it| it.call_uuid == link.call_uuid);
            let name = caller.map_or("nobody", |it| &*it.name);
            let CauseLink { cause, element, line, column, .. } = link;
            write!(f, ", since {name} at {element} {line}:{column} left: {cause}")?;
        }
        match (link.command, link.api_id) {
            (Some(command), Some(api_id)) => {
                write!(f, ", by {command} [request {}]", api_id.as_u128())
            }
            _ => Ok(()),
        }
    }
}

fn recorded(
    f: &mut fmt::Formatter<'_>,
    step: &TraceStep,
    recording: &TraceRecording,
) -> fmt::Result {
    write!(f, "recording {}", recording.recording_id.0.as_u128())?;
    step.conference.iter().try_for_each(|it| write!(f, " of {it}"))?;
    write!(f, ": {}", step.ended.unwrap_or("goes on"))?;
    for TraceInterruption { why, from_ms, to_ms } in &recording.interruptions {
        let to = to_ms.map_or_else(String::new, |it| it.to_string());
        write!(f, ", {} {from_ms}-{to}", why.text())?;
    }
    writeln!(f)
}

fn times(f: &mut fmt::Formatter<'_>, from_ms: u32, to_ms: Option<u32>) -> fmt::Result {
    let to = to_ms.map_or_else(String::new, |to| to.to_string());
    write!(f, "{from_ms:>10} - {to:>8}  ")
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} schedules of the same events", self.runs)?;
        for Endings { name, found } in &self.callers {
            match &found[..] {
                [only] => writeln!(f, "{name}: one ending\n    {}", only.ending)?,
                _ => {
                    writeln!(f, "{name}: {} endings", found.len())?;
                    for it in found {
                        writeln!(f, "    {}", it.ending)?;
                        writeln!(f, "        in {} of them; first by --seed {}", it.runs, it.seed)?;
                    }
                }
            }
        }
        Ok(())
    }
}
