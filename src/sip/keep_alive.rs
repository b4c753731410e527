//! Keep-alive of a connection: pings that hold a NAT open, and show that the far end is gone (RFC 5626,
//! section 4.4.1).
//!
//! Many phones and servers never answer a ping, and are there all the same. So silence ends a
//! connection only if an earlier ping over it has been answered; the others end when the system
//! finds that nothing arrives (`TCP_USER_TIMEOUT`).

use std::time::{Duration, Instant};

/// When a connection is pinged, and whether the far end answers.
#[derive(Debug)]
pub struct KeepAlive {
    every: Duration,
    ping_at: Instant,
    /// Until when something must come, after a ping.
    pong_by: Option<Instant>,
    has_answered: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeepAliveStep {
    /// Nothing is due now.
    Wait,
    /// Send a [`PING`] to it.
    Ping,
    /// Close the connection: the far end is gone.
    Close,
}

/// A ping: an empty message, which every SIP element ignores if it does not answer (RFC 3261, 7.5).
pub const PING: &[u8] = b"\r\n\r\n";

/// The answer to a ping.
pub const PONG: &[u8] = b"\r\n";

/// Intervals between pings, in seconds. NATs drop a TCP flow after two to five minutes.
const EVERY_SECONDS: std::ops::RangeInclusive<u64> = 60..=90;

/// Time for the answer.
const PONG_WAIT_MAX: Duration = Duration::from_secs(10);

/// Step between the intervals of two connections that follow each other, so that not all are pinged
/// at once.
const SPREAD_SECONDS: u64 = 7;

impl KeepAlive {
    /// A connection that has just opened; `link` is its number.
    pub fn new(now: Instant, link: u64) -> Self {
        let (least, most) = EVERY_SECONDS.into_inner();
        let every =
            Duration::from_secs(least + link.wrapping_mul(SPREAD_SECONDS) % (most - least + 1));
        Self { every, ping_at: now + every, pong_by: None, has_answered: false }
    }

    /// When [`Self::tick`] is due.
    pub fn deadline(&self) -> Instant {
        self.pong_by.map_or(self.ping_at, |it| it.min(self.ping_at))
    }

    /// Something has come, a pong or anything else.
    pub fn heard(&mut self, is_pong: bool) {
        let was_asked = self.pong_by.take().is_some();
        self.has_answered |= was_asked && is_pong;
    }

    /// Handles what is due.
    pub fn tick(&mut self, now: Instant) -> KeepAliveStep {
        if self.pong_by.take_if(|it| *it <= now).is_some() && self.has_answered {
            return KeepAliveStep::Close;
        }
        if now < self.ping_at {
            return KeepAliveStep::Wait;
        }
        (self.ping_at, self.pong_by) = (now + self.every, Some(now + PONG_WAIT_MAX));
        KeepAliveStep::Ping
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use super::*;

    /// Ticks at its next deadline. Returns the step, and the seconds since `now`, which moves there.
    fn next(it: &mut KeepAlive, now: &mut Instant) -> (KeepAliveStep, u64) {
        let at = it.deadline();
        let waited = at - *now;
        *now = at;
        (it.tick(at), waited.as_secs())
    }

    #[test]
    fn a_far_end_that_has_answered_once_must_go_on_answering() {
        let mut now = Instant::now();
        let mut it = KeepAlive::new(now, 0);
        assert_eq!(next(&mut it, &mut now), (KeepAliveStep::Ping, 60));
        it.heard(true);
        assert_eq!(next(&mut it, &mut now), (KeepAliveStep::Ping, 60));
        // A message shows as well that it is there.
        it.heard(false);
        assert_eq!(next(&mut it, &mut now), (KeepAliveStep::Ping, 60));
        assert_eq!(next(&mut it, &mut now), (KeepAliveStep::Close, 10));
    }

    #[test]
    fn a_far_end_that_never_answers_is_pinged_and_stays() {
        let mut now = Instant::now();
        let mut it = KeepAlive::new(now, 0);
        // A line end that nobody has asked for is no answer.
        it.heard(true);
        for _ in 0..3 {
            let (step, seconds) = next(&mut it, &mut now);
            assert!(
                step == KeepAliveStep::Ping && [60, 50].contains(&seconds),
                "{step:?} {seconds}"
            );
            assert_eq!(next(&mut it, &mut now), (KeepAliveStep::Wait, 10));
        }
    }

    #[test]
    fn connections_are_pinged_every_60_to_90_seconds_and_not_at_once() {
        let now = Instant::now();
        let all: std::collections::BTreeSet<_> =
            (0..31).map(|link| (KeepAlive::new(now, link).deadline() - now).as_secs()).collect();
        assert_eq!((all.len(), all.first(), all.last()), (31, Some(&60), Some(&90)));
        assert!(KeepAlive::new(now, u64::MAX).deadline() <= now + Duration::from_secs(90));
    }
}
