//! What is played to one phone: key tones over announcements over a program.
//!
//! The front of each layer runs in time, heard or not; the rest of a layer waits for it.

use std::{sync::Arc, time::Duration};

use super::{Settings, timeline::Mark};
use crate::{
    base::ids::RoomId,
    media::{ANNOUNCEMENTS_MAX, Address, Program, Sound, What},
};

/// The tone of a key lasts this long; a phone that presses several lets as much time pass.
pub(super) const KEY_MS: u32 = 100;

/// `w` among the digits that are sent (contract 3.10: half a second).
const PAUSE_MS: u32 = 500;

/// `W` among the digits that are sent (contract 3.10: a second).
const LONG_PAUSE_MS: u32 = 1_000;

/// All that is played to one phone.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    /// Topmost layer first, and within a layer in the order in which they came.
    pieces: Vec<Piece>,
    /// The last token that was given out.
    token_last: u32,
}

/// What lies over what: the topmost first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Layer {
    /// Keys that the engine presses.
    Keys,
    /// What is announced over a room.
    Announced,
    /// The one program of a call.
    Played,
}

/// Something to be played.
#[derive(Debug)]
pub(super) struct Piece {
    layer: Layer,
    score: Score,
    /// Reported when it is over.
    number: Option<u32>,
    /// It is cut off so long after its beginning.
    length: Option<u32>,
    ends_at: Option<u32>,
    /// It goes with the room.
    pub(super) room: Option<RoomId>,
    /// By this it can be taken back.
    pub(super) address: Option<Arc<Address>>,
    at: Position,
}

#[derive(Debug)]
pub(super) enum Score {
    /// Keys and pauses.
    Keys(Arc<str>),
    Program(Program),
    /// One key, pressed by another member.
    Relayed(char),
}

impl Piece {
    /// Its end is reported with this number.
    pub(super) fn numbered(number: u32, layer: Layer, score: Score) -> Self {
        Self { number: Some(number), ..Self::new(layer, score) }
    }

    /// Heard over a room, and gone with it; or over whatever the call hears.
    pub(super) fn over(room: Option<RoomId>, address: Option<Arc<Address>>, score: Score) -> Self {
        Self { room, address, ..Self::new(Layer::Announced, score) }
    }

    /// The same, but no longer than so many milliseconds.
    pub(super) fn cut(self, length: Option<u32>) -> Self {
        Self { length, ..self }
    }

    fn new(layer: Layer, score: Score) -> Self {
        let (length, ends_at) = (None, None);
        let at = Position::default();
        Self { layer, score, number: None, length, ends_at, room: None, address: None, at }
    }
}

impl Sounds {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds a piece behind those of its layer; one for which too many others wait is dropped.
    pub(super) fn add(&mut self, now: u32, piece: Piece, settings: &Settings) {
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

    /// Takes pieces out of a layer; the next in line begins, if it was the front's turn.
    pub(super) fn take_out(
        &mut self,
        now: u32,
        layer: Layer,
        settings: &Settings,
        is_out: impl Fn(&Piece) -> bool,
    ) {
        let is_front_out = self.front(layer).is_some_and(|index| is_out(&self.pieces[index]));
        self.pieces.retain(|piece| piece.layer != layer || !is_out(piece));
        if is_front_out {
            self.start_front(now, layer, settings);
        }
    }

    /// When something here changes by itself.
    pub(super) fn due(&self) -> Option<u32> {
        self.fronts().filter_map(|piece| piece.at.until).min()
    }

    /// What was due now: each layer moves by one sound at most, so that what lasts no time is
    /// heard too. The numbers of pieces that are over go into `over`.
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

    /// What is heard, if anything: a token that is new for each sound that begins, and a mark.
    pub(super) fn heard(&self) -> Option<(u32, Mark)> {
        self.fronts().find_map(|piece| Some((piece.at.token, piece.part()?.mark())))
    }

    /// The first of each layer: it runs.
    fn fronts(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.chunk_by(|one, next| one.layer == next.layer).filter_map(<[Piece]>::first)
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

/// Where a piece is.
#[derive(Debug, Default)]
struct Position {
    sound: usize,
    /// How often the sound has been heard to its end.
    times: u32,
    /// None: for ever.
    until: Option<u32>,
    token: u32,
}

impl Piece {
    fn start(&mut self, now: u32, token: u32, settings: &Settings) {
        // Without a sound it is over as soon as somebody looks.
        let ms = self.part().map_or(Some(0), |part| part.ms(settings));
        self.ends_at = self.ends_at.or_else(|| Some(now.saturating_add(self.length?)));
        let until = ms.map(|ms| now.saturating_add(ms));
        self.at.until = [until, self.ends_at].into_iter().flatten().min();
        self.at.token = token;
    }

    /// To the next sound, or the next time of the same; false if there is none.
    fn advance(&mut self, settings: &Settings) -> bool {
        let Some(part) = self.part() else { return false };
        // What lasts no time can be heard only once.
        let is_last = part.ms(settings) == Some(0) || self.at.times + 1 >= part.times();
        self.at.times = if is_last { 0 } else { self.at.times + 1 };
        self.at.sound += usize::from(is_last);
        self.part().is_some()
    }

    fn part(&self) -> Option<Part<'_>> {
        match &self.score {
            Score::Keys(keys) => keys.chars().nth(self.at.sound).map(Part::Key),
            Score::Program(program) => program.get(self.at.sound).map(Part::Sound),
            Score::Relayed(key) => (self.at.sound == 0).then_some(Part::Key(*key)),
        }
    }
}

/// One sound of a piece.
enum Part<'a> {
    /// A key, or a pause between keys.
    Key(char),
    Sound(&'a Sound),
}

impl Part<'_> {
    /// How long it lasts; None for ever.
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

    fn mark(&self) -> Mark {
        match self {
            Self::Key('w' | 'W') => Mark::SILENCE,
            Self::Key(key) => Mark::tone(*key),
            Self::Sound(sound) => Mark::sound(&sound.what),
        }
    }
}

impl Settings {
    /// How long a sound lasts, in milliseconds.
    fn length(&self, what: &What) -> u32 {
        match what {
            What::Beep(_) => self.beep_ms,
            What::Silence(length) => millis(*length),
            What::Url(url) if &**url == "sound:beep" => self.beep_ms,
            What::Url(_) => self.sound_ms,
            What::Speech { text, .. } => {
                let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                chars.saturating_mul(self.speech_ms_per_char)
            }
        }
    }
}

/// Whole milliseconds; 49 days at most.
pub(super) fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}
