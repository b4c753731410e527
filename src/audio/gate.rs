//! Talk detection: one leg's noise gate, its loudness for ranking, and when it starts and stops
//! talking.
//!
//! The mixer calls it once a tick with the level of what the leg sent
//! ([`crate::rtp::g711::level`]).

/// Loudness state of one leg.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    /// Recent peak level, which falls slowly; in sixteenths of a level.
    loudness: u16,
    /// Ticks until the gate closes.
    open: u8,
    /// While silent: consecutive loud ticks. While talking: quiet ticks until talking ends.
    count: u8,
    talking: bool,
}

/// The gate opens at this level: about −50 dB of full scale. Anything below is noise.
pub const OPEN_LEVEL: u8 = 14;

/// Talking starts at this level: about −43 dB of full scale.
pub const TALK_LEVEL: u8 = 24;

/// The gate stays open for 400 ms, because words end softly.
const OPEN_TICKS: u8 = 20;

/// A click is shorter than this: 60 ms.
const TALK_TICKS: u8 = 3;

/// A breath between words is shorter than this: 600 ms.
const PAUSE_TICKS: u8 = 30;

/// Fall per tick, in sixteenths: 6 dB in half a second, so that a pause does not cost a talker
/// their place in the mix.
const LOUDNESS_FALL: u16 = 10;

impl Gate {
    /// Takes the level of this tick. Returns true if talking has just started, false if it has just
    /// ended.
    pub fn tick(&mut self, level: u8) -> Option<bool> {
        self.loudness = (u16::from(level) << 4).max(self.loudness.saturating_sub(LOUDNESS_FALL));
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
        let changes = if self.talking { self.count == 0 } else { self.count == TALK_TICKS };
        if changes {
            self.talking = !self.talking;
            self.count = if self.talking { PAUSE_TICKS } else { 0 };
        }
        changes.then_some(self.talking)
    }

    /// Whether the leg is louder than noise, or was in the last 400 ms.
    pub fn is_open(&self) -> bool {
        self.open != 0
    }

    /// Returns the loudness for ranking, in sixteenths of a level.
    pub fn loudness(&self) -> u16 {
        self.loudness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (level, ticks); returns the ticks at which talking started or ended.
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
    fn loudness_rises_at_once_and_falls_slowly() {
        let mut gate = Gate::default();
        gate.tick(40);
        assert_eq!(gate.loudness(), 640);
        gate.tick(20);
        assert_eq!(gate.loudness(), 630);
        (0..100).for_each(|_| _ = gate.tick(20));
        assert_eq!(gate.loudness(), 320);
    }
}
