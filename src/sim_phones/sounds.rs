//! Sound stack of one phone: key tones over announcements over a program.
//!
//! The first piece of each layer advances in time, whether it is heard or not; the others wait.

use std::{sync::Arc, time::Duration};

use super::{Settings, timeline::TimelineSound};
use crate::{
    base::ids::RoomId,
    media::{ANNOUNCEMENTS_MAX, AnnouncementAddress, AnnouncementKind, Program, Sound, SoundKind},
};

/// Duration of a key tone, and interval between keys that a phone presses.
pub(super) const KEY_MS: u32 = 100;

/// Duration of `w` in digits to send (contract 3.10: half a second).
const PAUSE_MS: u32 = 500;

/// Duration of `W` in digits to send (contract 3.10: a second).
const LONG_PAUSE_MS: u32 = 1_000;

/// All pieces that are played to one phone.
#[derive(Debug, Default)]
pub(super) struct SoundStack {
    /// Topmost layer first; within a layer in order of arrival.
    pieces: Vec<PhonePiece>,
    /// The last token assigned.
    token_last: u32,
}

/// The layers, topmost first: a phone hears the topmost one only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Layer {
    /// Keys that the engine sends.
    Keys,
    /// Announcements, and overlays of the call.
    Announced,
    /// The program of the call.
    Played,
}

/// A piece: something to be played in one layer.
#[derive(Debug)]
pub(super) struct PhonePiece {
    layer: Layer,
    content: PieceContent,
    /// Number of the order, reported at the end.
    number: Option<u32>,
    /// Limit of its duration, in milliseconds from its start.
    length: Option<u32>,
    ends_at: Option<u32>,
    /// The room with which it ends.
    pub(super) room: Option<RoomId>,
    /// The address under which it can be hushed.
    pub(super) address: Option<Arc<AnnouncementAddress>>,
    at: PiecePosition,
}

#[derive(Debug)]
pub(super) enum PieceContent {
    /// Keys and pauses that the engine sends.
    Keys(Arc<str>),
    Program(Program),
    /// The tone of a key that another member pressed.
    Relayed(char),
}

impl PhonePiece {
    /// Creates a piece whose end is reported with this number.
    pub(super) fn numbered(number: u32, layer: Layer, content: PieceContent) -> Self {
        Self { number: Some(number), ..Self::new(layer, content) }
    }

    /// Creates an announcement: over a room, with which it ends, or over all that the call hears.
    pub(super) fn announced(
        room: Option<RoomId>,
        address: Option<Arc<AnnouncementAddress>>,
        content: PieceContent,
    ) -> Self {
        Self { room, address, ..Self::new(Layer::Announced, content) }
    }

    /// Limits the duration, in milliseconds.
    pub(super) fn limited_to(self, length: Option<u32>) -> Self {
        Self { length, ..self }
    }

    fn new(layer: Layer, content: PieceContent) -> Self {
        let (length, ends_at) = (None, None);
        let at = PiecePosition::default();
        Self { layer, content, number: None, length, ends_at, room: None, address: None, at }
    }
}

impl SoundStack {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether an announcement of this program that cannot be taken back plays or waits.
    pub(super) fn announces(&self, cue: &Program) -> bool {
        let is_it = |it: &PhonePiece| matches!(&it.content, PieceContent::Program(it) if it == cue);
        self.pieces
            .iter()
            .any(|it| it.layer == Layer::Announced && it.address.is_none() && is_it(it))
    }

    /// Adds a piece to the end of its layer. An announcement is dropped if too many wait.
    pub(super) fn add(&mut self, now: u32, piece: PhonePiece, settings: &Settings) {
        let layer = piece.layer;
        let is_front = self.front(layer).is_none();
        let index = self.pieces.partition_point(|it| it.layer <= layer);
        let ahead = index - self.pieces.partition_point(|it| it.layer < layer);
        if layer == Layer::Announced && ANNOUNCEMENTS_MAX <= ahead {
            return;
        }
        // Most phones hear one thing at a time.
        self.pieces.reserve_exact(1);
        self.pieces.insert(index, piece);
        if is_front {
            self.start_front(now, layer, settings);
        }
    }

    /// Removes pieces from a layer. If the first was among them, the next one begins.
    pub(super) fn remove(
        &mut self,
        now: u32,
        layer: Layer,
        settings: &Settings,
        is_out: impl Fn(&PhonePiece) -> bool,
    ) {
        let is_front_out = self.front(layer).is_some_and(|index| is_out(&self.pieces[index]));
        self.pieces.retain(|piece| piece.layer != layer || !is_out(piece));
        if is_front_out {
            self.start_front(now, layer, settings);
        }
    }

    /// Returns when something here changes by itself.
    pub(super) fn due(&self) -> Option<u32> {
        self.fronts().filter_map(|piece| piece.at.until).min()
    }

    /// Makes the changes due now: each layer advances by one sound at most, so that sounds of zero
    /// length are heard too. Calls `over` with the numbers of completed pieces.
    pub(super) fn step(&mut self, now: u32, settings: &Settings, over: &mut dyn FnMut(u32)) {
        for layer in [Layer::Keys, Layer::Announced, Layer::Played] {
            let Some(index) = self.front(layer) else { continue };
            let piece = &mut self.pieces[index];
            if piece.at.until != Some(now) {
                continue;
            }
            let goes_on = piece.ends_at != Some(now) && piece.advance(settings);
            if !goes_on {
                self.pieces.remove(index).number.into_iter().for_each(&mut *over);
            }
            self.start_front(now, layer, settings);
        }
    }

    /// Returns the sound being heard, with a token that is new for each piece or sound that begins.
    pub(super) fn heard(&self) -> Option<(u32, TimelineSound)> {
        self.fronts().find_map(|piece| Some((piece.at.token, piece.part()?.timeline_sound())))
    }

    /// The first piece of each layer, which is the one that advances.
    fn fronts(&self) -> impl Iterator<Item = &PhonePiece> {
        self.pieces.chunk_by(|one, next| one.layer == next.layer).filter_map(<[PhonePiece]>::first)
    }

    fn front(&self, layer: Layer) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.layer == layer)
    }

    fn start_front(&mut self, now: u32, layer: Layer, settings: &Settings) {
        let Some(index) = self.front(layer) else { return };
        self.token_last = self.token_last.wrapping_add(1).max(1);
        self.pieces[index].start(now, self.token_last, settings);
    }
}

/// Position in a piece.
#[derive(Debug, Default)]
struct PiecePosition {
    sound: usize,
    /// Completed repetitions of the current sound.
    times: u32,
    /// When the current sound ends; None for an endless one.
    until: Option<u32>,
    token: u32,
}

impl PhonePiece {
    fn start(&mut self, now: u32, token: u32, settings: &Settings) {
        // A piece without sounds ends at the next step.
        let ms = self.part().map_or(Some(0), |part| part.ms(settings));
        self.ends_at = self.ends_at.or_else(|| Some(now.saturating_add(self.length?)));
        let until = ms.map(|ms| now.saturating_add(ms));
        self.at.until = [until, self.ends_at].into_iter().flatten().min();
        self.at.token = token;
    }

    /// Goes to the next repetition or sound. Returns false at the end.
    fn advance(&mut self, settings: &Settings) -> bool {
        let Some(part) = self.part() else { return false };
        // A sound of zero length is heard once only.
        let is_last = part.ms(settings) == Some(0) || self.at.times + 1 >= part.times();
        self.at.times = if is_last { 0 } else { self.at.times + 1 };
        self.at.sound += usize::from(is_last);
        self.part().is_some()
    }

    fn part(&self) -> Option<PiecePart<'_>> {
        match &self.content {
            PieceContent::Keys(keys) => keys.chars().nth(self.at.sound).map(PiecePart::Key),
            PieceContent::Program(program) => program.get(self.at.sound).map(PiecePart::Sound),
            PieceContent::Relayed(key) => (self.at.sound == 0).then_some(PiecePart::Key(*key)),
        }
    }
}

enum PiecePart<'a> {
    /// A key, or a pause between keys.
    Key(char),
    Sound(&'a Sound),
}

impl PiecePart<'_> {
    /// Duration in milliseconds; None for endless.
    fn ms(&self, settings: &Settings) -> Option<u32> {
        match self {
            Self::Key('w') => Some(PAUSE_MS),
            Self::Key('W') => Some(LONG_PAUSE_MS),
            Self::Key(_) => Some(KEY_MS),
            Self::Sound(Sound { times: 0, .. }) => None,
            Self::Sound(sound) => Some(settings.length(&sound.what)),
        }
    }

    fn times(&self) -> u32 {
        match self {
            Self::Key(_) => 1,
            Self::Sound(sound) => sound.times,
        }
    }

    fn timeline_sound(&self) -> TimelineSound {
        match self {
            Self::Key('w' | 'W') => TimelineSound::SILENCE,
            Self::Key(key) => TimelineSound::tone(*key),
            Self::Sound(sound) => TimelineSound::sound(&sound.what),
        }
    }
}

impl Settings {
    /// Duration of a program, in milliseconds; 49 days for one without end.
    pub(super) fn duration(&self, program: &Program) -> u32 {
        let duration = |it: &Sound| match it.times {
            0 => u32::MAX,
            times => self.length(&it.what).saturating_mul(times),
        };
        program.iter().map(duration).fold(0, u32::saturating_add)
    }

    /// Duration of a sound, in milliseconds.
    fn length(&self, what: &SoundKind) -> u32 {
        match what {
            SoundKind::Beep(_) => self.beep_ms,
            SoundKind::Silence(length) => millis(*length),
            SoundKind::Url(url) if &**url == "sound:beep" => self.beep_ms,
            SoundKind::Url(_) => self.sound_ms,
            SoundKind::Speech { text, .. } => {
                let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                chars.saturating_mul(self.speech_ms_per_char)
            }
        }
    }
}

/// Converts to whole milliseconds; saturates at 49 days.
pub(super) fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}

/// The address of overlays of a call, which are independent of rooms.
pub(super) fn to_call(kind: AnnouncementKind) -> Arc<AnnouncementAddress> {
    Arc::new(AnnouncementAddress { kind, members: None })
}
