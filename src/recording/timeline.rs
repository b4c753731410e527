//! Timeline of a recording: where its audio stands in the file, by the clock.
//!
//! Position is in samples per channel since the start. What no block brings is silence, so the length
//! of the file is the time that has passed.

use std::time::{Duration, Instant};

use crate::media::RECORDING_RATE;

/// How far a recording is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordingTimeline {
    started: Instant,
    /// Samples per channel that the file has.
    written: u64,
    /// Its last sample; None while it runs.
    end: Option<u64>,
    /// Samples that are left out.
    cut: u64,
    /// The time from which on nothing counts.
    cut_since: Option<Instant>,
}

/// Where a block goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BlockPlacement {
    /// Samples of silence before it.
    pub(super) silence: u64,
    /// Samples at its begin that are in the file already.
    pub(super) skip: u64,
    /// Samples of it to write after that.
    pub(super) take: u64,
}

/// Audio that is so late is silence: far more than the time that a full block needs to get here.
const LATE: Duration = Duration::from_secs(3);

impl RecordingTimeline {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, written: 0, end: None, cut: 0, cut_since: None }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Ends it at this time.
    pub(super) fn end(&mut self, at: Instant) {
        self.end = Some(self.position(at));
    }

    /// Leaves the time from now on out, or ends that.
    pub(super) fn cut(&mut self, at: Instant, on: bool) {
        match (on, self.cut_since) {
            (true, None) => self.cut_since = Some(at),
            (false, Some(since)) => {
                self.cut += samples(at.saturating_duration_since(since));
                self.cut_since = None;
            }
            (true, Some(_)) | (false, None) => (),
        }
    }

    /// The position in the file of a time.
    fn position(&self, at: Instant) -> u64 {
        let at = self.cut_since.map_or(at, |since| at.min(since));
        samples(at.saturating_duration_since(self.started)).saturating_sub(self.cut)
    }

    /// The last position that may be written.
    fn last(&self) -> u64 {
        let cut = self.cut_since.map_or(u64::MAX, |since| self.position(since));
        cut.min(self.end.unwrap_or(u64::MAX))
    }

    /// Whether all samples up to the end are there.
    pub(super) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| end <= self.written)
    }

    /// Where a block of `length` samples at `position` goes.
    pub(super) fn place(&self, position: u64, length: u64) -> BlockPlacement {
        let position = position.saturating_sub(self.cut);
        let last = (position + length).min(self.last());
        let first = position.max(self.written);
        match first < last {
            true => BlockPlacement {
                silence: first - self.written,
                skip: first - position,
                take: last - first,
            },
            false => BlockPlacement { silence: 0, skip: 0, take: 0 },
        }
    }

    /// The samples of silence that are due because no block came for a long time.
    pub(super) fn overdue(&self, now: Instant) -> u64 {
        let due = now.checked_sub(LATE).map_or(0, |it| self.position(it));
        due.min(self.last()).saturating_sub(self.written)
    }

    /// The samples of silence that are missing at the end.
    pub(super) fn missing(&self) -> u64 {
        self.end.unwrap_or_default().saturating_sub(self.written)
    }

    /// Notes samples that the file has got.
    pub(super) fn wrote(&mut self, samples: u64) {
        self.written += samples;
    }
}

/// The number of samples of a time.
fn samples(time: Duration) -> u64 {
    let samples = time.as_nanos() * u128::from(RECORDING_RATE) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// The length of so many samples.
pub(super) fn duration(samples: u64) -> Duration {
    let seconds = Duration::from_secs(samples / u64::from(RECORDING_RATE));
    let rest = samples % u64::from(RECORDING_RATE);
    seconds + Duration::from_nanos(rest * 1_000_000_000 / u64::from(RECORDING_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(silence: u64, skip: u64, take: u64) -> BlockPlacement {
        BlockPlacement { silence, skip, take }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn timeline(written: u64) -> RecordingTimeline {
        RecordingTimeline { written, ..RecordingTimeline::new(Instant::now()) }
    }

    #[test]
    fn time_that_is_cut_out_is_not_in_the_file() {
        let mut it = timeline(0);
        let [one, two, three, nine] =
            [1, 2, 3, 9].map(|seconds| it.started + Duration::from_secs(seconds));
        it.cut(one, true);
        it.cut(two, true);
        // The last block before the cut, and what should not come.
        assert_eq!(it.place(4_000, 8_000), placed(4_000, 0, 4_000));
        it.wrote(8_000);
        assert_eq!(it.place(16_000, 160), placed(0, 0, 0));
        assert_eq!(it.overdue(nine), 0);
        it.cut(three, false);
        assert_eq!(it.place(24_000, 160), placed(0, 0, 160));
        it.end(it.started + Duration::from_secs(4));
        assert_eq!(it.missing(), 8_000);
    }

    #[test]
    fn a_block_goes_to_its_time_and_what_is_between_is_silence() {
        let it = timeline(8_000);
        assert_eq!(it.place(8_000, 160), placed(0, 0, 160));
        assert_eq!(it.place(9_000, 160), placed(1_000, 0, 160));
        assert_eq!(it.place(7_900, 160), placed(0, 100, 60));
        assert_eq!(it.place(7_000, 160), placed(0, 0, 0));
    }

    #[test]
    fn the_end_cuts_a_block_off_and_the_rest_is_silence() {
        let mut it = timeline(8_000);
        it.end(it.started + Duration::from_millis(1_500));
        assert_eq!(it.missing(), 4_000);
        assert_eq!(it.place(8_000, 8_000), placed(0, 0, 4_000));
        assert_eq!(it.place(12_000, 160), placed(0, 0, 0));
        assert!(!it.is_complete());
        it.wrote(4_000);
        assert!(it.is_complete());
    }

    #[test]
    fn what_does_not_come_is_silence_some_seconds_later() {
        let it = timeline(8_000);
        let after = |seconds| it.overdue(it.started + Duration::from_secs(seconds));
        assert_eq!([after(0), after(4), after(5)], [0, 0, 8_000]);
    }

    #[test]
    fn a_length_is_exact_to_the_sample() {
        assert_eq!(duration(12_001), Duration::from_nanos(1_500_125_000));
        assert_eq!(samples(duration(12_001)), 12_001);
    }
}
