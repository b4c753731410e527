//! What one phone has heard, moment by moment: one thing at a time, without gaps.

use std::sync::Arc;

use super::details::{Entry, Sounding};
use crate::{
    base::ids::ConferenceName,
    media::{Program, What},
};

/// A phone that hears a beep a second for two minutes needs this many; of a longer life the
/// beginning and the end tell most.
pub const TIMELINE_MAX: usize = 256;

/// How a life began stays; what came after is dropped first.
const HEAD: usize = 32;

/// Dropped at a time, so that a long life does not move its entries at every sound.
const DROPPED_AT_ONCE: usize = 64;

/// What one phone has heard. Times are milliseconds since it dialled in.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    rows: Vec<Row>,
    dropped: u32,
    end: Option<u32>,
}

impl Timeline {
    /// From now on this is heard, until the next.
    ///
    /// What lies beneath (silence, the room, the wait sound) leaves no entry if something else is
    /// heard in the same millisecond, and no second one if it goes on.
    pub(super) fn hear(&mut self, at_ms: u32, mark: Mark) {
        // Two threads may read the clock in one order and be heard in the other.
        let from_ms = at_ms.max(self.rows.last().map_or(0, |row| row.from_ms));
        self.rows.pop_if(|row| row.from_ms == from_ms && row.kind.is_beneath());

        let Mark { kind, words } = mark;
        let goes_on = self.rows.last().is_some_and(|last| last.kind == kind && last.words == words);
        if goes_on && kind.is_beneath() {
            return;
        }

        if self.rows.len() == self.rows.capacity() {
            // Most phones hear few things in their life.
            self.rows.reserve_exact((self.rows.len() / 2).max(2));
        }
        self.rows.push(Row { words, kind, from_ms });
        if self.rows.len() > TIMELINE_MAX {
            self.drop_some();
        }
    }

    /// Nothing is heard any more.
    pub(super) fn end(&mut self, at_ms: u32) {
        let last = self.rows.last().map_or(0, |row| row.from_ms);
        let end = at_ms.max(last);
        self.rows.pop_if(|row| row.from_ms == end && row.kind.is_beneath());
        self.end = Some(end);
        self.rows.shrink_to_fit();
    }

    /// As the record has it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let ends = self.rows.iter().skip(1).map(|row| Some(row.from_ms)).chain([self.end]);
        let rows = self.rows.iter().zip(ends);
        rows.filter_map(|(row, to_ms)| {
            let heard = row.kind.sounding(row.words.as_ref())?;
            Some(Entry { from_ms: row.from_ms, to_ms, heard })
        })
        .collect()
    }

    /// How many entries are missing in the middle.
    pub(super) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// What it takes beside its own size, in bytes.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }

    /// Leaves a mark where entries are missing: the one before still needs its end.
    fn drop_some(&mut self) {
        let is_first = self.rows[HEAD].kind != Kind::Dropped;
        self.rows[HEAD].kind = Kind::Dropped;
        self.rows[HEAD].words = None;
        self.rows.drain(HEAD + 1..=HEAD + DROPPED_AT_ONCE);
        self.dropped += DROPPED_AT_ONCE as u32 + u32::from(is_first);
    }
}

/// What is heard, small: a million phones keep some of these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mark {
    kind: Kind,
    words: Option<Arc<str>>,
}

impl Mark {
    pub(super) const SILENCE: Self = Self { kind: Kind::Silence, words: None };

    /// A key's tone.
    pub(super) fn tone(key: char) -> Self {
        Self { kind: Kind::Tone(key), words: None }
    }

    pub(super) fn room(name: &ConferenceName) -> Self {
        Self { kind: Kind::Room, words: Some(name.clone().into()) }
    }

    /// A sound of a program.
    pub(super) fn sound(what: &What) -> Self {
        let (kind, words) = match what {
            What::Beep(_) => (Kind::Beep, None),
            What::Silence(_) => (Kind::Silence, None),
            What::Url(url) => (Kind::Url, Some(Arc::clone(url))),
            What::Speech { text, .. } => (Kind::Speech, Some(Arc::clone(text))),
        };
        Self { kind, words }
    }

    /// A wait sound: the first thing in it that has a name stands for the whole.
    pub(super) fn wait(program: &Program) -> Self {
        let marks = program.iter().map(|sound| Self::sound(&sound.what));
        let first = marks.into_iter().find(|mark| mark.words.is_some());
        match first {
            Some(Self { kind: Kind::Speech, words }) => Self { kind: Kind::WaitSpeech, words },
            Some(Self { words, .. }) => Self { kind: Kind::WaitUrl, words },
            None if program.is_empty() => Self::SILENCE,
            None => Self { kind: Kind::WaitTone, words: None },
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Beep,
    /// Entries are missing here.
    Dropped,
    Room,
    Silence,
    Speech,
    Tone(char),
    Url,
    WaitSpeech,
    /// A wait sound of nothing but beeps and silence.
    WaitTone,
    WaitUrl,
}

impl Kind {
    fn is_beneath(self) -> bool {
        match self {
            Self::Room | Self::Silence | Self::WaitSpeech | Self::WaitTone | Self::WaitUrl => true,
            Self::Beep | Self::Dropped | Self::Speech | Self::Tone(_) | Self::Url => false,
        }
    }

    fn sounding(self, words: Option<&Arc<str>>) -> Option<Sounding> {
        let words = || words.cloned().unwrap_or_default();
        Some(match self {
            Self::Beep => Sounding::Beep,
            Self::Dropped => return None,
            Self::Room => Sounding::Room { conference: words() },
            Self::Silence => Sounding::Silence,
            Self::Speech => Sounding::Speech { text: words() },
            Self::Tone(key) => Sounding::Sound { url: format!("dtmf:{key}").into() },
            Self::Url => Sounding::Sound { url: words() },
            Self::WaitSpeech => Sounding::Wait { text: Some(words()), url: None },
            Self::WaitTone => Sounding::Wait { text: None, url: None },
            Self::WaitUrl => Sounding::Wait { text: None, url: Some(words()) },
        })
    }
}

/// A [`Mark`] and its beginning, without a gap between them.
#[derive(Debug)]
struct Row {
    words: Option<Arc<str>>,
    kind: Kind,
    from_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_phones::details::transcript;

    #[test]
    fn what_lies_beneath_leaves_no_trace_within_a_millisecond() {
        let room = || Mark::room(&"weekly".parse().unwrap());
        check(&[(0, Mark::SILENCE), (0, room())], "0- room weekly");
        check(&[(0, room()), (0, beep())], "0- beep");
        check(&[(0, room()), (1, beep())], "0-1 room weekly, 1- beep");
        check(&[(0, room()), (5, Mark::SILENCE), (5, room())], "0- room weekly");
        check(&[(3, Mark::SILENCE), (7, Mark::SILENCE)], "3- silence");
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
        timeline.hear(7, Mark::SILENCE);
        timeline.end(7);
        assert_eq!(transcript(&timeline.entries()), "0-7 beep");
    }

    #[test]
    fn a_long_life_keeps_its_beginning_and_its_end() {
        let mut timeline = Timeline::default();
        for n in 0..1_000 {
            timeline.hear(n, beep());
        }

        let entries = timeline.entries();
        assert!((TIMELINE_MAX - DROPPED_AT_ONCE - 1..=TIMELINE_MAX).contains(&entries.len()));
        assert_eq!(entries.len() + timeline.dropped() as usize, 1_000);
        assert_eq!(entries[HEAD - 1].to_ms, Some(HEAD as u32));
        assert_eq!(entries[HEAD].from_ms, timeline.dropped() + HEAD as u32);
        assert_eq!(entries.last().map(|entry| entry.from_ms), Some(999));
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Row>(), 24);
    }

    fn beep() -> Mark {
        Mark::sound(&What::Beep(1))
    }

    fn check(marks: &[(u32, Mark)], expected: &str) {
        let mut timeline = Timeline::default();
        for (at_ms, mark) in marks {
            timeline.hear(*at_ms, mark.clone());
        }
        assert_eq!(transcript(&timeline.entries()), expected);
    }
}
