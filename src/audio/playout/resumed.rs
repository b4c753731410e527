//! Resumed programs: how much of one was heard, so that a later process goes on there.

use std::time::Duration;

use super::{PlayingProgram, Playout};
use crate::{audio::cursor::ProgramCursor, media::Program};

impl Playout {
    /// As [`Playout::play`], of a program of which so much has been heard.
    pub fn play_on(&mut self, number: u32, program: Program, heard: Duration) {
        let samples = heard.as_nanos() * u128::from(self.settings.rate) / 1_000_000_000;
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        self.play = Some(PlayingProgram {
            serial: self.serial(),
            number,
            cursor: ProgramCursor::once_from(program, samples),
        });
    }

    /// The number of the program that plays, and how much of it has been heard; None before its first
    /// sample.
    pub fn heard(&self) -> Option<(u32, Duration)> {
        let PlayingProgram { number, cursor, .. } = self.play.as_ref()?;
        let nanos = u128::from(cursor.position()) * 1_000_000_000 / u128::from(self.settings.rate);
        let heard = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (0 < cursor.position()).then_some((*number, heard))
    }
}
