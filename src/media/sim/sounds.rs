//! What is played to one phone: key tones over announcements over a program.
//!
//! The front of each layer runs in time, heard or not; the rest of a layer waits for it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Settings, timeline::Mark};
use crate::{
    ids::RoomId,
    media::{Address, Program, Sound, What},
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
    /// Topmost first: [`Layer`].
    layers: [VecDeque<Piece>; 3],
    /// The last token that was given out.
    token_last: u32,
}

/// What lies over what.
#[derive(Clone, Copy, Debug)]
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
    score: Score,
    /// Reported when it is over.
    number: Option<u32>,
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
    pub(super) fn numbered(number: u32, score: Score) -> Self {
        let at = Position::default();
        Self { score, number: Some(number), room: None, address: None, at }
    }

    /// Heard over a room, and gone with it.
    pub(super) fn over(room: RoomId, address: Option<Arc<Address>>, score: Score) -> Self {
        let at = Position::default();
        Self { score, number: None, room: Some(room), address, at }
    }
}

impl Sounds {
    pub(super) fn is_empty(&self) -> bool {
        self.layers.iter().all(VecDeque::is_empty)
    }

    /// Adds a piece behind those of its layer.
    pub(super) fn add(&mut self, now: u32, layer: Layer, piece: Piece, settings: &Settings) {
        let queue = &mut self.layers[layer as usize];
        queue.push_back(piece);
        if queue.len() == 1 {
            self.start_front(now, layer as usize, settings);
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
        let queue = &mut self.layers[layer as usize];
        let is_front_out = queue.front().is_some_and(&is_out);
        queue.retain(|piece| !is_out(piece));
        if is_front_out {
            self.start_front(now, layer as usize, settings);
        }
    }

    /// When something here changes by itself.
    pub(super) fn due(&self) -> Option<u32> {
        self.layers.iter().filter_map(|queue| queue.front()?.at.until).min()
    }

    /// What was due now: each layer moves by one sound at most, so that what lasts no time is
    /// heard too. The numbers of pieces that are over go into `over`.
    pub(super) fn step(&mut self, now: u32, settings: &Settings, over: &mut dyn FnMut(u32)) {
        for layer in 0..self.layers.len() {
            let Some(piece) = self.layers[layer].front_mut() else { continue };
            if piece.at.until != Some(now) {
                continue;
            }
            if piece.advance(settings) {
                self.start_front(now, layer, settings);
            } else {
                let number = piece.number;
                self.layers[layer].pop_front();
                self.start_front(now, layer, settings);
                number.into_iter().for_each(&mut *over);
            }
        }
    }

    /// What is heard, if anything: a token that is new for each sound that begins, and a mark.
    pub(super) fn heard(&self, settings: &Settings) -> Option<(u32, Mark)> {
        let fronts = self.layers.iter().filter_map(VecDeque::front);
        let mut parts = fronts.filter_map(|piece| Some((piece.at.token, piece.part(settings)?)));
        parts.next().map(|(token, part)| (token, part.mark))
    }

    fn start_front(&mut self, now: u32, layer: usize, settings: &Settings) {
        let Some(piece) = self.layers[layer].front_mut() else { return };
        self.token_last = self.token_last.wrapping_add(1).max(1);
        piece.start(now, self.token_last, settings);
    }
}

/// Where a piece is.
#[derive(Debug, Default)]
struct Position {
    sound: usize,
    /// How often the sound has been heard to its end.
    times: u32,
    until: Option<u32>,
    token: u32,
}

/// One sound of a piece.
struct Part {
    mark: Mark,
    /// None: for ever.
    ms: Option<u32>,
    times: u32,
}

impl Piece {
    fn start(&mut self, now: u32, token: u32, settings: &Settings) {
        let part = self.part(settings);
        self.at.token = token;
        // Without a sound it is over as soon as somebody looks.
        self.at.until = part.map_or(Some(now), |part| Some(now.saturating_add(part.ms?)));
    }

    /// To the next sound, or the next time of the same; false if there is none.
    fn advance(&mut self, settings: &Settings) -> bool {
        let Some(part) = self.part(settings) else { return false };
        self.at.times += 1;
        // What lasts no time can be heard only once.
        if self.at.times >= part.times || part.ms == Some(0) {
            self.at.times = 0;
            self.at.sound += 1;
        }
        self.part(settings).is_some()
    }

    fn part(&self, settings: &Settings) -> Option<Part> {
        match &self.score {
            Score::Keys(keys) => keys.chars().nth(self.at.sound).map(Part::key),
            Score::Program(program) => Some(Part::sound(program.get(self.at.sound)?, settings)),
            Score::Relayed(key) => (self.at.sound == 0).then(|| Part::key(*key)),
        }
    }
}

impl Part {
    fn key(key: char) -> Self {
        let (mark, ms) = match key {
            'w' => (Mark::SILENCE, PAUSE_MS),
            'W' => (Mark::SILENCE, LONG_PAUSE_MS),
            _ => (Mark::tone(key), KEY_MS),
        };
        Self { mark, ms: Some(ms), times: 1 }
    }

    fn sound(sound: &Sound, settings: &Settings) -> Self {
        let ms = (sound.times > 0).then(|| settings.length(&sound.what));
        Self { mark: Mark::sound(&sound.what), ms, times: sound.times }
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
