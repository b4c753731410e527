//! Timeline of one phone: the sounds that it heard, one at a time, without gaps.

use std::sync::Arc;

use super::{
    Settings,
    details::{HeardSound, TimelineEntry},
};
use crate::{
    base::ids::ConferenceName,
    media::{Program, Sound, SoundKind},
};

/// Limit of entries: enough for a beep a second for two minutes. A longer timeline loses entries in
/// its middle.
pub const TIMELINE_MAX: usize = 256;

/// Entries at the beginning that are never dropped.
const HEAD: usize = 32;

/// A shorter silence is the time between two orders on a busy machine, and nobody hears it.
const SILENCE_MIN_MS: u32 = 5;

/// Entries dropped at once, so that a long timeline is not moved at every sound.
const DROPPED_AT_ONCE: usize = 64;

/// The sounds that one phone heard. Times are milliseconds since it dialled in.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    rows: Vec<TimelineRow>,
    dropped: u32,
    end: Option<u32>,
}

impl Timeline {
    /// Records that this is heard from now on.
    ///
    /// A background sound (silence, the room, the wait sound) leaves no entry if something else is
    /// heard in the same millisecond, and no second entry if it continues. Silence leaves none if it is
    /// shorter than [`SILENCE_MIN_MS`].
    pub(super) fn hear(&mut self, at_ms: u32, sound: TimelineSound) {
        // Two threads may read the clock in one order and arrive in the other.
        let from_ms = at_ms.max(self.rows.last().map_or(0, |row| row.from_ms));
        let TimelineSound { kind, text } = sound;
        self.rows.pop_if(|row| {
            let is_short = from_ms - row.from_ms < SILENCE_MIN_MS && kind != TimelineKind::Silence;
            let is_gap = row.kind == TimelineKind::Silence && is_short;
            is_gap || row.from_ms == from_ms && row.kind.is_background()
        });

        let goes_on = self.rows.last().is_some_and(|last| last.kind == kind && last.text == text);
        if goes_on && kind.is_background() {
            return;
        }

        if self.rows.len() == self.rows.capacity() {
            // Most phones hear few sounds.
            self.rows.reserve_exact((self.rows.len() / 2).max(2));
        }
        self.rows.push(TimelineRow { text, kind, from_ms });
        if self.rows.len() > TIMELINE_MAX {
            self.drop_some();
        }
    }

    /// Ends the last entry.
    pub(super) fn end(&mut self, at_ms: u32) {
        let last = self.rows.last().map_or(0, |row| row.from_ms);
        let end = at_ms.max(last);
        self.rows.pop_if(|row| row.from_ms == end && row.kind.is_background());
        self.end = Some(end);
        self.rows.shrink_to_fit();
    }

    /// Returns the entries for the phone's details. The first round of a wait sound is written sound
    /// by sound; one entry, that of its first sound, stands for all later rounds.
    pub(super) fn entries(&self, now: u32) -> Vec<TimelineEntry> {
        let ends = self.rows.iter().skip(1).map(|row| Some(row.from_ms)).chain([self.end]);
        let rows = self.rows.iter().zip(ends);
        let mut entries = Vec::new();
        for (row, to_ms) in rows {
            match (row.kind, &row.text) {
                (TimelineKind::WaitProgram, Some(text)) => {
                    entries.extend(rounds(text, row.from_ms, to_ms, now));
                }
                (kind, text) => {
                    let heard = kind.sounding(text.as_ref());
                    let entry = |heard| TimelineEntry { from_ms: row.from_ms, to_ms, heard };
                    entries.extend(heard.map(entry));
                }
            }
        }
        entries
    }

    /// Notes that sounds are missing.
    pub(super) fn miss(&mut self, sounds: usize) {
        self.dropped = self.dropped.saturating_add(u32::try_from(sounds).unwrap_or(u32::MAX));
    }

    /// Returns how many entries are missing in the middle.
    pub(super) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.rows.capacity() * size_of::<TimelineRow>()
    }

    /// Drops entries and leaves a marker, which the entry before needs for its end.
    fn drop_some(&mut self) {
        let is_first = self.rows[HEAD].kind != TimelineKind::Dropped;
        self.rows[HEAD].kind = TimelineKind::Dropped;
        self.rows[HEAD].text = None;
        self.rows.drain(HEAD + 1..=HEAD + DROPPED_AT_ONCE);
        self.dropped += DROPPED_AT_ONCE as u32 + u32::from(is_first);
    }
}

/// A sound in compact form: a million phones keep some of these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TimelineSound {
    kind: TimelineKind,
    text: Option<Arc<str>>,
}

impl TimelineSound {
    pub(super) const SILENCE: Self = Self { kind: TimelineKind::Silence, text: None };

    pub(super) fn tone(key: char) -> Self {
        Self { kind: TimelineKind::Tone(key), text: None }
    }

    pub(super) fn room(name: &ConferenceName) -> Self {
        Self { kind: TimelineKind::Room, text: Some(name.clone().into()) }
    }

    pub(super) fn sound(what: &SoundKind) -> Self {
        let (kind, text) = match what {
            SoundKind::Beep(_) => (TimelineKind::Beep, None),
            SoundKind::Silence(_) => (TimelineKind::Silence, None),
            SoundKind::Url(url) => (TimelineKind::Url, Some(Arc::clone(url))),
            SoundKind::Speech { text, .. } => (TimelineKind::Speech, Some(Arc::clone(text))),
        };
        Self { kind, text }
    }

    /// The wait sound of a member, if it has one.
    pub(super) fn waiting(wait: Option<&Program>, settings: &Settings) -> Option<Box<Self>> {
        wait.map(|it| Box::new(Self::wait(it, settings)))
    }

    /// A wait sound. One of several sounds keeps them all, with their durations.
    pub(super) fn wait(program: &Program, settings: &Settings) -> Self {
        if program.iter().any(|it| !matches!(it.what, SoundKind::Silence(_) | SoundKind::Beep(_)))
            && 1 < program.len()
        {
            let text = Some(written(program, settings));
            return Self { kind: TimelineKind::WaitProgram, text };
        }
        let marks = program.iter().map(|sound| Self::sound(&sound.what));
        let first = marks.into_iter().find(|mark| mark.text.is_some());
        match first {
            Some(Self { kind: TimelineKind::Speech, text }) => {
                Self { kind: TimelineKind::WaitSpeech, text }
            }
            Some(Self { text, .. }) => Self { kind: TimelineKind::WaitUrl, text },
            None if program.is_empty() => Self::SILENCE,
            None => Self { kind: TimelineKind::WaitTone, text: None },
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum TimelineKind {
    Beep,
    /// Marks the place of dropped entries.
    Dropped,
    Room,
    Silence,
    Speech,
    Tone(char),
    Url,
    /// A wait sound of several sounds; the text is that of [`written`].
    WaitProgram,
    WaitSpeech,
    /// A wait sound of beeps and silence only.
    WaitTone,
    WaitUrl,
}

impl TimelineKind {
    fn is_background(self) -> bool {
        match self {
            Self::Room | Self::Silence => true,
            Self::WaitProgram | Self::WaitSpeech | Self::WaitTone | Self::WaitUrl => true,
            Self::Beep | Self::Dropped | Self::Speech | Self::Tone(_) | Self::Url => false,
        }
    }

    fn sounding(self, text: Option<&Arc<str>>) -> Option<HeardSound> {
        let text = || text.cloned().unwrap_or_default();
        Some(match self {
            Self::Beep => HeardSound::Beep,
            Self::Dropped => return None,
            Self::Room => HeardSound::Room { conference: text() },
            Self::Silence => HeardSound::Silence,
            Self::Speech => HeardSound::Speech { text: text() },
            Self::Tone(key) => HeardSound::Sound { url: format!("dtmf:{key}").into() },
            Self::Url => HeardSound::Sound { url: text() },
            // `entries` writes its sounds.
            Self::WaitProgram => HeardSound::Wait { text: None, url: None },
            Self::WaitSpeech => HeardSound::Wait { text: Some(text()), url: None },
            Self::WaitTone => HeardSound::Wait { text: None, url: None },
            Self::WaitUrl => HeardSound::Wait { text: None, url: Some(text()) },
        })
    }
}

/// A program as a text, which takes no more room in a row than a name: for each sound a line with its
/// duration in milliseconds, its kind, and its name.
fn written(program: &Program, settings: &Settings) -> Arc<str> {
    let line = |sound: &Sound| {
        let ms = settings.duration(&[sound.clone()].into());
        match &sound.what {
            SoundKind::Beep(_) => format!("{ms} beep "),
            SoundKind::Silence(_) => format!("{ms} silence "),
            SoundKind::Url(url) => format!("{ms} url {url}"),
            SoundKind::Speech { text, .. } => format!("{ms} speech {}", text.replace('\n', " ")),
        }
    };
    program.iter().map(line).collect::<Vec<_>>().join("\n").into()
}

/// The entries of a wait sound that is heard from `from_ms` on. `to_ms` is None while it is heard.
fn rounds(text: &str, from_ms: u32, to_ms: Option<u32>, now: u32) -> Vec<TimelineEntry> {
    let until = to_ms.unwrap_or_else(|| now.max(from_ms));
    let mut entries: Vec<TimelineEntry> = Vec::new();
    let mut at = from_ms;
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let ms: u32 = words.next().and_then(|it| it.parse().ok()).unwrap_or(u32::MAX);
        let (kind, name) = (words.next().unwrap_or_default(), words.next().map(Arc::<str>::from));
        if until <= at && !entries.is_empty() {
            return entries;
        }
        let end = at.saturating_add(ms);
        let heard = match kind {
            "beep" => HeardSound::Beep,
            "silence" => HeardSound::Silence,
            "url" => HeardSound::Wait { text: None, url: name },
            _ => HeardSound::Wait { text: name, url: None },
        };
        let to_ms = if end < until { Some(end) } else { to_ms };
        entries.push(TimelineEntry { from_ms: at, to_ms, heard });
        at = end;
    }
    // The first sound with a name stands for all later rounds.
    let named = entries.iter().find(|it| matches!(it.heard, HeardSound::Wait { .. }));
    if at < until
        && let Some(heard) = named.map(|it| it.heard.clone())
    {
        entries.push(TimelineEntry { from_ms: at, to_ms, heard });
    }
    entries
}

/// A [`TimelineSound`] and its start, laid out without padding.
#[derive(Debug)]
struct TimelineRow {
    text: Option<Arc<str>>,
    kind: TimelineKind,
    from_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_phones::details::transcript;

    #[test]
    fn what_lies_beneath_leaves_no_trace_within_a_millisecond() {
        let room = || TimelineSound::room(&"weekly".parse().unwrap());
        check(&[(0, TimelineSound::SILENCE), (0, room())], "0- room weekly");
        check(&[(0, room()), (0, beep())], "0- beep");
        check(&[(0, room()), (1, beep())], "0-1 room weekly, 1- beep");
        check(&[(0, room()), (5, TimelineSound::SILENCE), (5, room())], "0- room weekly");
        check(&[(3, TimelineSound::SILENCE), (7, TimelineSound::SILENCE)], "3- silence");
        check(&[(0, beep()), (0, beep())], "0-0 beep, 0- beep");
    }

    #[test]
    fn time_never_runs_backwards() {
        check(&[(5, beep()), (4, beep())], "5-5 beep, 5- beep");
    }

    #[test]
    fn the_end_ends_what_was_heard_last() {
        let mut timeline = Timeline::default();
        timeline.hear(0, beep());
        timeline.hear(7, TimelineSound::SILENCE);
        timeline.end(7);
        assert_eq!(transcript(&timeline.entries(7)), "0-7 beep");
    }

    #[test]
    fn a_long_life_keeps_its_beginning_and_its_end() {
        let mut timeline = Timeline::default();
        for n in 0..1_000 {
            timeline.hear(n, beep());
        }

        let entries = timeline.entries(1_000);
        assert!((TIMELINE_MAX - DROPPED_AT_ONCE - 1..=TIMELINE_MAX).contains(&entries.len()));
        assert_eq!(entries.len() + timeline.dropped() as usize, 1_000);
        assert_eq!(entries[HEAD - 1].to_ms, Some(HEAD as u32));
        assert_eq!(entries[HEAD].from_ms, timeline.dropped() + HEAD as u32);
        assert_eq!(entries.last().map(|entry| entry.from_ms), Some(999));
    }

    /// Issue 14, D9: the author of a wait document sees all of it.
    #[test]
    fn the_first_round_of_a_wait_sound_is_written_sound_by_sound() {
        let speech = SoundKind::Speech {
            text: "Please hold.".into(),
            voice: "WOMAN".into(),
            language: "en-US".into(),
        };
        let hold = || SoundKind::Url("sound:hold".into()).into();
        let program: Program = [hold(), speech.into()].into();
        let check = |program: &Program, end: Option<u32>, now: u32, expected: &str| {
            let mut timeline = Timeline::default();
            timeline.hear(5, TimelineSound::wait(program, &Settings::default()));
            end.into_iter().for_each(|at| timeline.end(at));
            assert_eq!(transcript(&timeline.entries(now)), expected, "{end:?} {now}");
        };
        let all = "5-1005 wait sound:hold, 1005-1725 wait \"Please hold.\"";
        check(&program, Some(9_000), 9_000, &format!("{all}, 1725-9000 wait sound:hold"));
        check(&program, None, 9_000, &format!("{all}, 1725- wait sound:hold"));
        check(&program, Some(1_725), 9_000, all);
        check(
            &program,
            Some(1_300),
            9_000,
            "5-1005 wait sound:hold, 1005-1300 wait \"Please hold.\"",
        );
        check(&program, None, 1_300, "5-1005 wait sound:hold, 1005- wait \"Please hold.\"");
        check(&program, None, 0, "5- wait sound:hold");
        check(&[hold()].into(), Some(9_000), 9_000, "5-9000 wait sound:hold");
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<TimelineRow>(), 24);
    }

    fn beep() -> TimelineSound {
        TimelineSound::sound(&SoundKind::Beep(1))
    }

    fn check(marks: &[(u32, TimelineSound)], expected: &str) {
        let mut timeline = Timeline::default();
        for (at_ms, mark) in marks {
            timeline.hear(*at_ms, mark.clone());
        }
        assert_eq!(transcript(&timeline.entries(10)), expected);
    }
}
