//! Progress of a bench: a bar on a terminal, otherwise a line for each step.

use std::{
    fmt,
    io::{Write, stderr},
    sync::atomic::Ordering,
    time::Duration,
};

use anyhow::Result;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::load::ANSWERS;

/// A progress bar on standard error.
pub(super) struct BenchProgress(ProgressBar);

/// Redraw interval of the bar's thread: long enough not to disturb the measurement.
const TICK: Duration = Duration::from_millis(250);
/// Redraws a second, to match `TICK`.
const HZ: u8 = 4;

const TEMPLATE: &str = "{elapsed_precise} {bar:16} {pos} of {len}  {wide_msg} {answers:>18}";

impl BenchProgress {
    /// A bar of `steps` steps, of which none is done.
    pub(super) fn new(steps: u64) -> Result<Self> {
        let answers = |_: &ProgressState, out: &mut dyn fmt::Write| {
            // Writing fails only if there is no bar.
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

    /// Shows the current activity.
    pub(super) fn say(&self, what: &str) {
        match self.0.is_hidden() {
            // An error means that nobody reads it.
            true => drop(writeln!(stderr(), "{what}")),
            false => self.0.set_message(what.to_owned()),
        }
    }

    /// Prints a line that stays after the end.
    pub(super) fn print_line(&self, what: &str) {
        self.0.suspend(|| drop(writeln!(stderr(), "{what}")));
    }

    /// Advances the bar by one step.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
