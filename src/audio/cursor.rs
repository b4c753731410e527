//! Program cursor: the position in a program of sounds.
//!
//! A leg's playout advances it by one frame each tick. A sound is looked up only when its turn
//! comes.

use std::sync::Arc;

use crate::media::{Program, Sound, SoundKind};

/// Source of sounds at the legs' rate. The leg's thread owns it; its sounds were ordered when the
/// program was.
pub trait SoundLookup {
    /// Returns the samples of a sound. Never called for [`SoundKind::Silence`].
    fn find(&mut self, what: &SoundKind) -> SoundState;

    /// Returns the tone of a key ([`super::tone::Tones::key`]). None if there is no such key.
    fn key(&mut self, key: char) -> Option<Arc<[i16]>>;
}

/// The state of a sound that was looked up.
#[derive(Clone, Debug, PartialEq)]
pub enum SoundState {
    /// The samples are loaded.
    Ready(Arc<[i16]>),
    /// The sound is being fetched or spoken: ask again in the next tick.
    Loading,
    /// The sound could not be loaded: skip it.
    Failed,
}

/// Position in a program: which sound, which repetition, which sample.
#[derive(Clone, Debug)]
pub struct ProgramCursor {
    program: Program,
    /// Starts over at the end.
    is_endless: bool,
    /// Index of the current sound. The length of the program means the end.
    index: usize,
    /// Completed repetitions of the current sound.
    times: u32,
    piece: CursorPiece,
    /// Samples of the piece already played.
    at: u64,
    has_begun: bool,
    /// Samples that are still to be left out.
    left_out: u64,
    /// Samples that have been played or left out.
    position: u64,
}

#[derive(Clone, Debug)]
enum CursorPiece {
    Unknown,
    /// The length of the pause, in samples.
    Silence(u64),
    Samples(Arc<[i16]>),
}

impl ProgramCursor {
    /// Starts at the beginning of a program that is played once.
    pub fn once(program: Program) -> Self {
        let piece = CursorPiece::Unknown;
        Self {
            program,
            is_endless: false,
            index: 0,
            times: 0,
            piece,
            at: 0,
            has_begun: false,
            left_out: 0,
            position: 0,
        }
    }

    /// Starts after this many samples of a program that is played once.
    pub fn once_from(program: Program, samples: u64) -> Self {
        // In its middle, so that it fades in.
        Self { left_out: samples, has_begun: 0 < samples, ..Self::once(program) }
    }

    /// Starts at the beginning of a program that repeats forever.
    pub fn endless(program: Program) -> Self {
        Self { is_endless: true, ..Self::once(program) }
    }

    /// Fills a frame and advances. The rest of the frame is silent. Returns the number of samples
    /// that the program fills; a sound that is still loading counts as filling the frame.
    pub fn fill(&mut self, rate: u32, sounds: &mut impl SoundLookup, out: &mut [i16]) -> usize {
        let mut filled = 0;
        // One round without a sample means silence; without this limit the loop would not end.
        let mut n_empty = 0;
        while filled < out.len() && n_empty <= self.program.len() {
            let Some(sound) = self.program.get(self.index) else {
                if !self.is_endless {
                    break;
                }
                (self.index, n_empty) = (0, n_empty + 1);
                continue;
            };
            if matches!(self.piece, CursorPiece::Unknown) {
                let Some(piece) = piece_of(sound, rate, sounds) else {
                    // The sound is loading: silence until it arrives.
                    out[filled..].fill(0);
                    return out.len();
                };
                self.piece = piece;
            }
            let is_left_out = self.leave_out();
            let len = self.copy(&mut out[filled..]);
            filled += len;
            n_empty = if 0 < len || is_left_out { 0 } else { n_empty + 1 };
            self.advance();
        }
        out[filled..].fill(0);
        filled
    }

    /// The sounds that it plays.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The samples of the program that have been played or left out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether any sample has been played, or is left out.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether nothing is left to play.
    pub fn is_over(&self) -> bool {
        !self.is_endless && self.index == self.program.len()
    }

    /// Passes over what is to be left out of the current piece and its repetitions. Returns whether that
    /// is anything.
    fn leave_out(&mut self) -> bool {
        let len = self.piece.len();
        if self.left_out == 0 || len == 0 {
            return false;
        }
        let wanted = self.program[self.index].times;
        let whole = match wanted {
            0 => self.left_out / len,
            _ => (self.left_out / len).min(u64::from(wanted.saturating_sub(self.times + 1))),
        };
        let passed = (self.left_out - whole * len).min(len - self.at);
        if wanted != 0 {
            self.times += u32::try_from(whole).unwrap_or(u32::MAX);
        }
        self.at += passed;
        self.left_out -= whole * len + passed;
        self.position = self.position.saturating_add(whole * len + passed);
        true
    }

    /// Copies as much of the current piece as fits; returns how much.
    fn copy(&mut self, out: &mut [i16]) -> usize {
        let left = (self.piece.len() - self.at).min(out.len() as u64) as usize;
        match &self.piece {
            CursorPiece::Unknown | CursorPiece::Silence(_) => out[..left].fill(0),
            CursorPiece::Samples(samples) => {
                let at = self.at as usize;
                out[..left].copy_from_slice(&samples[at..at + left]);
            }
        }
        self.at += left as u64;
        self.position += left as u64;
        self.has_begun |= 0 < left;
        left
    }

    /// At the end of the piece: repeats it, or goes to the next sound.
    fn advance(&mut self) {
        if self.at < self.piece.len() {
            return;
        }

        let wanted = self.program[self.index].times;
        self.times = self.times.saturating_add(1);
        // Repeating an empty sound is pointless, but a sound that repeats forever never ends.
        let is_done = wanted != 0 && (wanted <= self.times || self.piece.len() == 0);
        self.at = 0;
        if is_done {
            (self.index, self.times, self.piece) = (self.index + 1, 0, CursorPiece::Unknown);
        }
    }
}

impl CursorPiece {
    fn len(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Silence(len) => *len,
            Self::Samples(samples) => samples.len() as u64,
        }
    }
}

/// None while the sound is loading.
fn piece_of(sound: &Sound, rate: u32, sounds: &mut impl SoundLookup) -> Option<CursorPiece> {
    if let SoundKind::Silence(duration) = sound.what {
        let samples = duration.as_nanos() * u128::from(rate) / 1_000_000_000;
        return Some(CursorPiece::Silence(u64::try_from(samples).unwrap_or(u64::MAX)));
    }
    match sounds.find(&sound.what) {
        SoundState::Ready(samples) => Some(CursorPiece::Samples(samples)),
        SoundState::Loading => None,
        SoundState::Failed => Some(CursorPiece::Silence(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `flow:N` is N samples of 1, 2, 3 …; `coming` and `failed` stand for their states.
    struct TestSounds;

    impl SoundLookup for TestSounds {
        fn find(&mut self, what: &SoundKind) -> SoundState {
            let SoundKind::Url(url) = what else { return SoundState::Failed };
            match url.strip_prefix("flow:").and_then(|it| it.parse().ok()) {
                Some(len) => SoundState::Ready((1..=len).collect()),
                None if &**url == "coming" => SoundState::Loading,
                None => SoundState::Failed,
            }
        }

        fn key(&mut self, _: char) -> Option<Arc<[i16]>> {
            None
        }
    }

    fn sound(url: &str, times: u32) -> Sound {
        Sound { what: SoundKind::Url(url.into()), times }
    }

    fn pause(ms: u64) -> Sound {
        SoundKind::Silence(Duration::from_millis(ms)).into()
    }

    /// Checks the first frames, of four samples each, and whether the program has then ended.
    #[track_caller]
    fn check(mut cursor: ProgramCursor, expected: &[[i16; 4]], is_over: bool) {
        for (at, frame) in expected.iter().enumerate() {
            let mut out = [9; 4];
            cursor.fill(1_000, &mut TestSounds, &mut out);
            assert_eq!(out, *frame, "frame {at}");
        }
        assert_eq!(cursor.is_over(), is_over);
    }

    fn once(sounds: &[Sound]) -> ProgramCursor {
        ProgramCursor::once(sounds.into())
    }

    fn endless(sounds: &[Sound]) -> ProgramCursor {
        ProgramCursor::endless(sounds.into())
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
        let long = SoundKind::Silence(Duration::MAX).into();
        check(once(&[long]), &[[0; 4]], false);
    }

    #[test]
    fn a_program_can_begin_in_its_middle() {
        let from = |samples, sounds: &[Sound]| ProgramCursor::once_from(sounds.into(), samples);
        let program = [sound("flow:3", 2), pause(2), sound("flow:2", 1)];
        check(from(1, &program), &[[2, 3, 1, 2], [3, 0, 0, 1], [2, 0, 0, 0]], true);
        check(from(4, &program), &[[2, 3, 0, 0], [1, 2, 0, 0]], true);
        check(from(9, &program), &[[2, 0, 0, 0]], true);
        check(from(10, &program), &[[0; 4]], true);
        check(from(u64::MAX, &program), &[[0; 4]], true);
        check(from(7, &[sound("flow:3", 0)]), &[[2, 3, 1, 2], [3, 1, 2, 3]], false);
        check(from(5, &[sound("failed", 1), sound("flow:2", 3)]), &[[2, 0, 0, 0]], true);
        // Nothing is left out of what has not come yet.
        let mut cursor = from(3, &[sound("coming", 1), sound("flow:2", 1)]);
        cursor.fill(1_000, &mut TestSounds, &mut [0; 4]);
        assert_eq!((cursor.position(), cursor.has_begun()), (0, true));
        let mut cursor = from(3, &program);
        cursor.fill(1_000, &mut TestSounds, &mut [0; 4]);
        assert_eq!(cursor.position(), 7);
    }

    #[test]
    fn the_number_of_filled_samples_is_returned() {
        let fill =
            |mut it: ProgramCursor| (it.fill(1_000, &mut TestSounds, &mut [0; 4]), it.has_begun());
        assert_eq!(fill(once(&[sound("flow:3", 1)])), (3, true));
        assert_eq!(fill(once(&[sound("failed", 1)])), (0, false));
        assert_eq!(fill(once(&[sound("coming", 1)])), (4, false));
        assert_eq!(fill(endless(&[pause(1)])), (4, true));
    }
}
