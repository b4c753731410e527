//! Who talks: one leg's energy gate, its rank among the loud, and where its talking begins and
//! ends.
//!
//! The mixer asks it once a tick, with the level of what the leg sent ([`crate::rtp::g711::level`]).

/// What is known of one leg's loudness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    /// The level of late, which falls slowly; in sixteenths.
    score: u16,
    /// Ticks that the gate stays open.
    open: u8,
    /// Ticks of loudness in a row, while silent; ticks that talking goes on, while talking.
    count: u8,
    talking: bool,
}

/// Below this a line is mere noise: about −50 dB of full scale.
pub const OPEN_LEVEL: u8 = 14;

/// At this somebody talks: about −43 dB.
pub const TALK_LEVEL: u8 = 24;

/// The gate stays open for 400 ms: the ends of words are soft.
const OPEN_TICKS: u8 = 20;

/// A click is shorter than this: 60 ms.
const TALK_TICKS: u8 = 3;

/// A breath between words is shorter than this: 600 ms.
const PAUSE_TICKS: u8 = 30;

/// Per tick, in sixteenths: 6 dB in half a second, so that a pause costs nobody the seat.
const SCORE_FALL: u16 = 10;

impl Gate {
    /// Takes the level of this tick. Answers whether talking has just begun (true) or ceased.
    pub fn tick(&mut self, level: u8) -> Option<bool> {
        self.score = (u16::from(level) << 4).max(self.score.saturating_sub(SCORE_FALL));
        self.open = match OPEN_LEVEL <= level {
            true => OPEN_TICKS,
            false => self.open.saturating_sub(1),
        };

        let is_loud = TALK_LEVEL <= level;
        self.count = match (self.talking, is_loud) {
            (false, true) => self.count + 1,
            (true, true) => PAUSE_TICKS,
            (false, false) => 0,
            (true, false) => self.count - 1,
        };
        let turns = if self.talking { self.count == 0 } else { self.count == TALK_TICKS };
        if turns {
            self.talking = !self.talking;
            self.count = if self.talking { PAUSE_TICKS } else { 0 };
        }
        turns.then_some(self.talking)
    }

    /// Whether the leg is more than noise, or was a moment ago.
    pub fn is_open(&self) -> bool {
        self.open != 0
    }

    /// How it ranks among the loud; the unit is a sixteenth of a level.
    pub fn score(&self) -> u16 {
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (level, ticks) in turn; answers the ticks at which talking began or ceased.
    fn turns(levels: &[(u8, usize)]) -> Vec<(usize, bool)> {
        let mut gate = Gate::default();
        let levels = levels.iter().flat_map(|&(level, ticks)| std::iter::repeat_n(level, ticks));
        levels.enumerate().filter_map(|(at, level)| gate.tick(level).map(|on| (at, on))).collect()
    }

    #[test]
    fn talking_begins_after_three_loud_ticks_and_ends_after_a_pause() {
        assert_eq!(turns(&[(60, 2), (0, 50)]), []);
        assert_eq!(turns(&[(60, 3), (0, 50)]), [(2, true), (32, false)]);
        assert_eq!(turns(&[(60, 10), (0, 29), (60, 1), (0, 29), (60, 1)]), [(2, true)]);
        assert_eq!(turns(&[(TALK_LEVEL - 1, 1_000)]), []);
        assert_eq!(turns(&[(TALK_LEVEL, 1_000)]), [(2, true)]);
        assert_eq!(turns(&[(60, 3), (0, 30), (60, 3)]), [(2, true), (32, false), (35, true)]);
    }

    #[test]
    fn the_gate_opens_at_once_and_closes_late() {
        let mut gate = Gate::default();
        gate.tick(OPEN_LEVEL - 1);
        assert!(!gate.is_open());
        gate.tick(OPEN_LEVEL);
        let open = (0..100).take_while(|_| (gate.is_open(), gate.tick(0)).0).count();
        assert_eq!(open, usize::from(OPEN_TICKS));
    }

    #[test]
    fn a_score_rises_at_once_and_falls_slowly() {
        let mut gate = Gate::default();
        gate.tick(40);
        assert_eq!(gate.score(), 640);
        gate.tick(20);
        assert_eq!(gate.score(), 630);
        (0..100).for_each(|_| _ = gate.tick(20));
        assert_eq!(gate.score(), 320);
    }
}
