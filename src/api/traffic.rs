//! Requests that are answered, counted by route, method and status, with how long they took.

use std::{fmt, sync::OnceLock, time::Duration};

use axum::http::Method;

use super::routes::PATHS;
use crate::base::histogram::{DurationHistogram, MetricsText};

/// A histogram for each that has been met; their number is bounded by the routes'.
pub(super) struct Traffic(Vec<OnceLock<Box<DurationHistogram>>>);

/// The last stands for all others.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "other"];
/// By the first digit of a status; the last for what is none of them.
const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "1xx"];

impl Traffic {
    pub(super) fn new() -> Self {
        let cells = PATHS.len() * METHODS.len() * CLASSES.len();
        Self((0..cells).map(|_| OnceLock::new()).collect())
    }

    pub(super) fn count(&self, route: usize, method: &Method, status: u16, took: Duration) {
        let other = METHODS.len() - 1;
        let method = METHODS.iter().position(|it| *it == method.as_str()).unwrap_or(other);
        let class = match status / 100 {
            2 => 0,
            3 => 1,
            4 => 2,
            5 => 3,
            _ => 4,
        };
        let cell = (route * METHODS.len() + method) * CLASSES.len() + class;
        self.0[cell].get_or_init(Box::default).count(took);
    }

    pub(super) fn write(&self, page: &mut MetricsText) {
        for (cell, histogram) in self.0.iter().enumerate() {
            let Some(histogram) = histogram.get() else { continue };
            let (cell, class) = (cell / CLASSES.len(), CLASSES[cell % CLASSES.len()]);
            let (path, method) = (&PATHS[cell / METHODS.len()], METHODS[cell % METHODS.len()]);
            let labels = [
                ("api", path.api()),
                ("route", path.pattern),
                ("method", method),
                ("status", class),
            ];
            page.histogram(&labels, histogram);
        }
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}
