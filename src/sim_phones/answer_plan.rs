//! Answer plan: the behaviour of a called phone, read from its address `sim:NAME?ring_ms=…`.

use crate::media::{CannotDial, HangupCause};

/// The scheme of a simulated phone's address.
const SCHEME: &str = "sim:";

/// Default time until a phone answers.
const RING_MS: u32 = 100;

/// Default time that an unanswered phone rings (contract 3.9: a carrier gives up sooner).
const RING_UNANSWERED_MS: u32 = 60_000;

/// Limit of times: a day, longer than any call.
const MS_MAX: u32 = 86_400_000;

/// The behaviour of a called phone. Times are milliseconds since the call was placed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AnswerPlan {
    /// None after it has rung, or if it never rings.
    rings_at: Option<u32>,
    /// When it begins to send early media. None afterwards, or if it sends none.
    early_media_at: Option<u32>,
    /// When it answers or refuses. None afterwards.
    ends_at: Option<u32>,
    /// The cause with which it refuses. None if it answers.
    refuses: Option<HangupCause>,
}

impl AnswerPlan {
    /// Parses `sim:NAME` with its options, if there is a `?`:
    ///
    /// | option | meaning (default) |
    /// |---|---|
    /// | `ring_ms=N` | rings for N ms (100; 60,000 with `no_answer`) |
    /// | `delay_ms=N` | starts N ms after the call was placed (0) |
    /// | `early_media_ms=N` | sends early media N ms after it has begun to ring |
    /// | `busy` | is busy and does not ring |
    /// | `reject` | rings and rejects the call |
    /// | `no_answer` | rings and is not answered |
    pub(super) fn parse(to: &str) -> Result<Self, CannotDial> {
        let cause = HangupCause::DestinationInvalid;
        let no_way = |hint: String| CannotDial { to: to.into(), hint, cause, is_foreign: false };
        let Some(rest) = to.strip_prefix(SCHEME) else {
            let hint = "simulated phones are called sim:NAME, and there are no others".to_owned();
            return Err(CannotDial { is_foreign: true, ..no_way(hint) });
        };
        let (name, options) = rest.split_once('?').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(no_way("give the phone a name: sim:NAME".to_owned()));
        }

        let (mut ring_ms, mut delay_ms, mut early_ms, mut refuses) = (None, 0, None, None);
        for option in options.split('&').filter(|it| !it.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let ms = || {
                let ms = value.parse().ok().filter(|it| *it <= MS_MAX);
                ms.ok_or_else(|| no_way(format!("{key}: give 0 to {MS_MAX} milliseconds")))
            };
            match key {
                "ring_ms" => ring_ms = Some(ms()?),
                "delay_ms" => delay_ms = ms()?,
                "early_media_ms" => early_ms = Some(ms()?),
                "busy" => refuses = Some(HangupCause::Busy),
                "no_answer" => refuses = Some(HangupCause::NoAnswer),
                "reject" => refuses = Some(HangupCause::Rejected),
                _ => {
                    return Err(no_way(format!(
                        "{key:?} is not an option: use ring_ms, delay_ms, early_media_ms, busy, \
                         no_answer or reject"
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
        let ends_at = delay_ms.saturating_add(rings_for);
        let early_media_at = early_ms.map(|it| delay_ms.saturating_add(it));
        let early_media_at = early_media_at.filter(|at| !is_busy && *at < ends_at);
        Ok(Self { rings_at, early_media_at, ends_at: Some(ends_at), refuses })
    }

    /// Returns when the next step is due.
    pub(super) fn due(&self) -> Option<u32> {
        self.rings_at.or(self.early_media_at).or(self.ends_at)
    }

    /// Takes one step that is due. Further ones may still be due.
    pub(super) fn step(&mut self, now: u32) -> Option<AnswerStep> {
        if self.rings_at.is_some() {
            self.rings_at.take_if(|at| *at <= now)?;
            return Some(AnswerStep::Ring);
        }
        if self.early_media_at.is_some() {
            self.early_media_at.take_if(|at| *at <= now)?;
            return Some(AnswerStep::EarlyMedia);
        }
        self.ends_at.take_if(|at| *at <= now)?;
        Some(self.refuses.map_or(AnswerStep::PickUp, AnswerStep::Refuse))
    }
}

/// One step of a called phone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AnswerStep {
    EarlyMedia,
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
            let mut called = AnswerPlan::parse(to).unwrap();
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
        check("sim:alice?ring_ms=9&delay_ms=5&early_media_ms=4", "5 Ring, 9 EarlyMedia, 14 PickUp");
        check("sim:alice?ring_ms=9&early_media_ms=9&delay_ms=1", "1 Ring, 10 PickUp");
        check("sim:alice?busy&early_media_ms=0&delay_ms=1", "1 Refuse(Busy)");
        check("sim:alice?busy&delay_ms=3", "3 Refuse(Busy)");
        check("sim:alice?reject&delay_ms=1&ring_ms=5", "1 Ring, 6 Refuse(Rejected)");
        check("sim:alice?no_answer&delay_ms=1", "1 Ring, 60001 Refuse(NoAnswer)");
    }

    #[test]
    fn a_bad_address_is_explained() {
        let check = |to: &str, expected: &str| {
            let error = AnswerPlan::parse(to).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("14155550100", "sim:NAME");
        check("sim:", "give the phone a name");
        check("sim:a?ring_ms=x", "ring_ms: give 0 to");
        check("sim:a?bussy", "\"bussy\" is not an option");
    }
}
