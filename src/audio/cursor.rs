//! A place in a program: which of its sounds is heard, and how far.
//!
//! A leg's playout moves it on by a frame each tick. Sounds are looked up when their turn comes,
//! and only then.

use std::sync::Arc;

use crate::media::{Program, Sound, What};

/// Where sounds are to be had, at the legs' rate. A tick thread keeps them; what is not there yet
/// it has ordered, or orders now.
pub trait Sounds {
    /// The samples of a sound. Never asked for [`What::Silence`].
    fn find(&mut self, what: &What) -> Found;

    /// The tone of a key ([`super::tone::Tones::key`]). None if there is no such key.
    fn key(&mut self, key: char) -> Option<Arc<[i16]>>;
}

/// A sound that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Here it is.
    Ready(Arc<[i16]>),
    /// It is being fetched or spoken: ask again in the next tick.
    Coming,
    /// It cannot be had: it is passed over.
    Failed,
}

/// A place in a program.
#[derive(Clone, Debug)]
pub struct Cursor {
    program: Program,
    /// From the end on again from the beginning.
    is_endless: bool,
    /// Which sound; beyond the last one: over.
    index: usize,
    /// How many times it has been heard.
    times: u32,
    piece: Piece,
    /// Samples of the piece that are over.
    at: u64,
    has_begun: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    Unknown,
    /// So many samples.
    Silence(u64),
    Samples(Arc<[i16]>),
}

impl Cursor {
    /// At the beginning of a program that has an end.
    pub fn once(program: Program) -> Self {
        let piece = Piece::Unknown;
        Self { program, is_endless: false, index: 0, times: 0, piece, at: 0, has_begun: false }
    }

    /// At the beginning of a program that is repeated for ever.
    pub fn endless(program: Program) -> Self {
        Self { is_endless: true, ..Self::once(program) }
    }

    /// Fills a frame and moves on. What the program does not fill is silent; answers how much it
    /// does, a sound that is coming included.
    pub fn fill(&mut self, rate: u32, sounds: &mut impl Sounds, out: &mut [i16]) -> usize {
        let mut filled = 0;
        // Once around without a sample is silence, not a search without end.
        let mut n_barren = 0;
        while filled < out.len() && n_barren <= self.program.len() {
            let Some(sound) = self.program.get(self.index) else {
                if !self.is_endless {
                    break;
                }
                (self.index, n_barren) = (0, n_barren + 1);
                continue;
            };
            if matches!(self.piece, Piece::Unknown) {
                let Some(piece) = piece_of(sound, rate, sounds) else {
                    // It comes; until then it is silent.
                    out[filled..].fill(0);
                    return out.len();
                };
                self.piece = piece;
            }
            let len = self.copy(&mut out[filled..]);
            filled += len;
            n_barren = if 0 < len { 0 } else { n_barren + 1 };
            self.advance();
        }
        out[filled..].fill(0);
        filled
    }

    /// Whether something of it has been heard.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        !self.is_endless && self.index == self.program.len()
    }

    /// The next of the piece, as much as fits.
    fn copy(&mut self, out: &mut [i16]) -> usize {
        let left = (self.piece.len() - self.at).min(out.len() as u64) as usize;
        match &self.piece {
            Piece::Unknown | Piece::Silence(_) => out[..left].fill(0),
            Piece::Samples(samples) => {
                let at = self.at as usize;
                out[..left].copy_from_slice(&samples[at..at + left]);
            }
        }
        self.at += left as u64;
        self.has_begun |= 0 < left;
        left
    }

    /// If the piece is over: again, or on to the next.
    fn advance(&mut self) {
        if self.at < self.piece.len() {
            return;
        }

        let wanted = self.program[self.index].times;
        self.times = self.times.saturating_add(1);
        // Nothing, however often, is nothing; but for ever is for ever.
        let is_done = wanted != 0 && (wanted <= self.times || self.piece.len() == 0);
        self.at = 0;
        if is_done {
            (self.index, self.times, self.piece) = (self.index + 1, 0, Piece::Unknown);
        }
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Silence(len) => *len,
            Self::Samples(samples) => samples.len() as u64,
        }
    }
}

/// None: it is coming.
fn piece_of(sound: &Sound, rate: u32, sounds: &mut impl Sounds) -> Option<Piece> {
    if let What::Silence(duration) = sound.what {
        let samples = duration.as_nanos() * u128::from(rate) / 1_000_000_000;
        return Some(Piece::Silence(u64::try_from(samples).unwrap_or(u64::MAX)));
    }
    match sounds.find(&sound.what) {
        Found::Ready(samples) => Some(Piece::Samples(samples)),
        Found::Coming => None,
        Found::Failed => Some(Piece::Silence(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `flow:N` is N samples of 1, 2, 3 …; `coming` and `failed` are that.
    struct Shelf;

    impl Sounds for Shelf {
        fn find(&mut self, what: &What) -> Found {
            let What::Url(url) = what else { return Found::Failed };
            match url.strip_prefix("flow:").and_then(|it| it.parse().ok()) {
                Some(len) => Found::Ready((1..=len).collect()),
                None if &**url == "coming" => Found::Coming,
                None => Found::Failed,
            }
        }

        fn key(&mut self, _: char) -> Option<Arc<[i16]>> {
            None
        }
    }

    fn sound(url: &str, times: u32) -> Sound {
        Sound { what: What::Url(url.into()), times }
    }

    fn pause(ms: u64) -> Sound {
        What::Silence(Duration::from_millis(ms)).into()
    }

    /// The first frames of four samples each, and whether it is over after them.
    #[track_caller]
    fn check(mut cursor: Cursor, expected: &[[i16; 4]], is_over: bool) {
        for (at, frame) in expected.iter().enumerate() {
            let mut out = [9; 4];
            cursor.fill(1_000, &mut Shelf, &mut out);
            assert_eq!(out, *frame, "frame {at}");
        }
        assert_eq!(cursor.is_over(), is_over);
    }

    fn once(sounds: &[Sound]) -> Cursor {
        Cursor::once(sounds.into())
    }

    fn endless(sounds: &[Sound]) -> Cursor {
        Cursor::endless(sounds.into())
    }

    #[test]
    fn sounds_follow_each_other_without_a_gap() {
        let program = [sound("flow:3", 2), pause(2), sound("flow:1", 1)];
        check(once(&program), &[[1, 2, 3, 1], [2, 3, 0, 0], [1, 0, 0, 0]], true);
        check(once(&program), &[[1, 2, 3, 1], [2, 3, 0, 0]], false);
        check(once(&[sound("flow:4", 1)]), &[[1, 2, 3, 4]], true);
        check(endless(&[sound("flow:3", 1)]), &[[1, 2, 3, 1], [2, 3, 1, 2]], false);
        check(once(&[sound("flow:3", 0)]), &[[1, 2, 3, 1], [2, 3, 1, 2]], false);
    }

    #[test]
    fn what_cannot_be_had_is_passed_over_and_what_is_coming_is_silent() {
        check(once(&[sound("failed", 5), sound("flow:2", 1)]), &[[1, 2, 0, 0]], true);
        check(once(&[sound("flow:2", 1), sound("coming", 1)]), &[[1, 2, 0, 0], [0; 4]], false);
    }

    #[test]
    fn nothing_over_and_over_is_silence() {
        check(once(&[]), &[[0; 4]], true);
        check(endless(&[]), &[[0; 4]], false);
        check(endless(&[sound("failed", 1), pause(0)]), &[[0; 4], [0; 4]], false);
        check(once(&[sound("failed", 0)]), &[[0; 4], [0; 4]], false);
        check(once(&[sound("flow:0", u32::MAX)]), &[[0; 4]], true);
        check(endless(&[pause(0), sound("flow:1", 1)]), &[[1; 4], [1; 4]], false);
        let long = What::Silence(Duration::MAX).into();
        check(once(&[long]), &[[0; 4]], false);
    }

    #[test]
    fn what_the_program_fills_is_told() {
        let fill = |mut it: Cursor| (it.fill(1_000, &mut Shelf, &mut [0; 4]), it.has_begun());
        assert_eq!(fill(once(&[sound("flow:3", 1)])), (3, true));
        assert_eq!(fill(once(&[sound("failed", 1)])), (0, false));
        assert_eq!(fill(once(&[sound("coming", 1)])), (4, false));
        assert_eq!(fill(endless(&[pause(1)])), (4, true));
    }
}
