//! A phone that is called: `sim:NAME?ring_ms=…`, and what it does about it.

use crate::media::{HangupCause, NoWay};

/// The scheme of a simulated phone's address.
const SCHEME: &str = "sim:";

/// A phone picks up after so long, unless it is told otherwise.
const RING_MS: u32 = 100;

/// Nobody lets a phone ring for longer than this (contract 3.9: a carrier gives up before).
const RING_UNANSWERED_MS: u32 = 60_000;

/// Longer than any call lasts.
const MS_MAX: u32 = 86_400_000;

/// What a phone that is called does, and when: in milliseconds since the call was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Called {
    /// None once it has rung, or if it never does.
    rings_at: Option<u32>,
    /// None once it is done.
    ends_at: Option<u32>,
    /// Why it does not pick up, if it does not.
    refuses: Option<HangupCause>,
}

impl Called {
    /// Reads `sim:NAME`, with what follows a `?` if anything does:
    ///
    /// | | |
    /// |---|---|
    /// | `ring_ms=N` | it rings for so long (100; unanswered, 60,000) |
    /// | `delay_ms=N` | so long after the call was made (0) |
    /// | `busy` | it is busy, and does not ring |
    /// | `reject` | it rings, and does not want the call |
    /// | `no_answer` | it rings, and nobody is there |
    pub(super) fn parse(to: &str) -> Result<Self, NoWay> {
        let no_way = |hint: String| NoWay { to: to.into(), hint };
        let Some(rest) = to.strip_prefix(SCHEME) else {
            let hint = "simulated phones are called sim:NAME, and there are no others".to_owned();
            return Err(no_way(hint));
        };
        let (name, options) = rest.split_once('?').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(no_way("give the phone a name: sim:NAME".to_owned()));
        }

        let (mut ring_ms, mut delay_ms, mut refuses) = (None, 0, None);
        for option in options.split('&').filter(|it| !it.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let ms = || {
                let ms = value.parse().ok().filter(|it| *it <= MS_MAX);
                ms.ok_or_else(|| no_way(format!("{key}: give 0 to {MS_MAX} milliseconds")))
            };
            match key {
                "ring_ms" => ring_ms = Some(ms()?),
                "delay_ms" => delay_ms = ms()?,
                "busy" => refuses = Some(HangupCause::Busy),
                "no_answer" => refuses = Some(HangupCause::NoAnswer),
                "reject" => refuses = Some(HangupCause::Rejected),
                _ => {
                    return Err(no_way(format!(
                        "{key:?} is no option: there are ring_ms, delay_ms, busy, no_answer, reject"
                    )));
                }
            }
        }
        let is_busy = refuses == Some(HangupCause::Busy);
        let usual = match refuses {
            Some(HangupCause::NoAnswer) => RING_UNANSWERED_MS,
            _ => RING_MS,
        };
        let rings_for = if is_busy { 0 } else { ring_ms.unwrap_or(usual) };
        let rings_at = (!is_busy).then_some(delay_ms);
        Ok(Self { rings_at, ends_at: Some(delay_ms.saturating_add(rings_for)), refuses })
    }

    /// When it does something.
    pub(super) fn due(&self) -> Option<u32> {
        self.rings_at.or(self.ends_at)
    }

    /// One thing that was due now, if any; the rest is due still.
    pub(super) fn step(&mut self, now: u32) -> Option<Step> {
        if self.rings_at.is_some() {
            self.rings_at.take_if(|at| *at <= now)?;
            return Some(Step::Ring);
        }
        self.ends_at.take_if(|at| *at <= now)?;
        Some(self.refuses.map_or(Step::PickUp, Step::Refuse))
    }
}

/// One thing that a phone does that is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    PickUp,
    Refuse(HangupCause),
    Ring,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_does_what_its_address_says() {
        let check = |to: &str, expected: &str| {
            let mut called = Called::parse(to).unwrap();
            let mut lines = Vec::new();
            while let Some(due) = called.due() {
                assert_eq!(called.step(due.saturating_sub(1)), None);
                let step = called.step(due).unwrap();
                lines.push(format!("{due} {step:?}"));
            }
            assert_eq!(lines.join(", "), expected, "{to}");
        };
        check("sim:alice?delay_ms=1", "1 Ring, 101 PickUp");
        check("sim:alice?ring_ms=2000&delay_ms=500", "500 Ring, 2500 PickUp");
        check("sim:alice?busy&delay_ms=3", "3 Refuse(Busy)");
        check("sim:alice?reject&delay_ms=1&ring_ms=5", "1 Ring, 6 Refuse(Rejected)");
        check("sim:alice?no_answer&delay_ms=1", "1 Ring, 60001 Refuse(NoAnswer)");
    }

    #[test]
    fn what_is_no_address_is_told() {
        let check = |to: &str, expected: &str| {
            let error = Called::parse(to).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("14155550100", "sim:NAME");
        check("sim:", "give the phone a name");
        check("sim:a?ring_ms=x", "ring_ms: give 0 to");
        check("sim:a?bussy", "\"bussy\" is no option");
    }
}
