//! How far a bench is, for whoever waits: a bar where there is a terminal, else a line for each
//! step.

use std::{
    fmt,
    io::{Write, stderr},
    sync::atomic::Ordering,
    time::Duration,
};

use anyhow::Result;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::load::ANSWERS;

/// On the standard error.
pub(super) struct Progress(ProgressBar);

/// Drawn by another thread, so seldom that it costs nothing of what is measured.
const TICK: Duration = Duration::from_millis(250);
/// As often a second.
const HZ: u8 = 4;

const TEMPLATE: &str = "{elapsed_precise} {bar:16} {pos} of {len}  {wide_msg} {answers:>18}";

impl Progress {
    /// Of so many steps none is done.
    pub(super) fn new(steps: u64) -> Result<Self> {
        let answers = |_: &ProgressState, out: &mut dyn fmt::Write| {
            // It may be drawn to nothing.
            let answers = HumanCount(ANSWERS.load(Ordering::Relaxed));
            write!(out, "{answers} answers").unwrap_or_default();
        };
        let style = ProgressStyle::with_template(TEMPLATE)?.with_key("answers", answers);
        let style = style.progress_chars("━╸ ");
        let target = ProgressDrawTarget::stderr_with_hz(HZ);
        let bar = ProgressBar::with_draw_target(Some(steps), target).with_style(style);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Ok(Self(bar))
    }

    /// What is going on.
    pub(super) fn say(&self, what: &str) {
        match self.0.is_hidden() {
            // Nobody may be looking.
            true => drop(writeln!(stderr(), "{what}")),
            false => self.0.set_message(what.to_owned()),
        }
    }

    /// What is to be read also when all is over.
    pub(super) fn tell(&self, what: &str) {
        self.0.suspend(|| drop(writeln!(stderr(), "{what}")));
    }

    /// A step is done.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    /// All is done, and nothing of it is seen any more.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
