//! Answered requests in memory: for a day, or until there are too many.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Repeat, Repeats, RequestKey, Stored};

/// A client that tries again does so within a day (guarantee 6).
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Some tens of megabytes; the oldest gives way.
const ANSWERS_MAX: usize = 100_000;

/// The requests that have been answered, and those that are being answered.
#[derive(Debug, Default)]
pub struct Memory {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    rows: BTreeMap<RequestKey, Row>,
    /// The oldest answer first.
    answered: VecDeque<(Instant, RequestKey)>,
}

#[derive(Debug)]
struct Row {
    asked: [u8; 32],
    answer: Option<Arc<Stored>>,
}

impl Repeats for Memory {
    fn begin(&self, now: Instant, request: &RequestKey, asked: [u8; 32]) -> Repeat {
        let rows = &mut *self.rows.lock();
        rows.let_go(now);
        match rows.rows.get(request) {
            Some(row) if row.asked != asked => Repeat::Other,
            Some(Row { answer: Some(answer), .. }) => Repeat::Answered(answer.clone()),
            Some(Row { answer: None, .. }) => Repeat::Busy,
            None => {
                rows.rows.insert(request.clone(), Row { asked, answer: None });
                Repeat::New
            }
        }
    }

    fn done(&self, now: Instant, request: &RequestKey, answer: Arc<Stored>) {
        let rows = &mut *self.rows.lock();
        if let Some(row) = rows.rows.get_mut(request) {
            row.answer = Some(answer);
            rows.answered.push_back((now, request.clone()));
        }
    }

    fn forget(&self, request: &RequestKey) {
        self.rows.lock().rows.remove(request);
    }
}

impl Rows {
    fn let_go(&mut self, now: Instant) {
        while let Some((at, _)) = self.answered.front() {
            let is_old = KEPT_FOR <= now.saturating_duration_since(*at);
            if !is_old && self.answered.len() < ANSWERS_MAX {
                return;
            }
            let oldest = self.answered.pop_front();
            oldest.map(|(_, request)| self.rows.remove(&request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn a_request_is_answered_once_and_then_from_memory_for_a_day() {
        let (memory, now) = (Memory::default(), Instant::now());
        let request = |account: &str| RequestKey {
            account: account.parse().unwrap(),
            method: "POST".to_owned(),
            path: "/v1/".to_owned(),
            key: "k".to_owned(),
        };
        let (one, two) = (request("MA1"), request("MA2"));
        let answer = Arc::new(Stored { status: 202, body: b"{}".to_vec() });
        assert_eq!(memory.begin(now, &one, [1; 32]), Repeat::New);
        assert_eq!(memory.begin(now, &one, [1; 32]), Repeat::Busy);
        assert_eq!(memory.begin(now, &one, [2; 32]), Repeat::Other);
        assert_eq!(memory.begin(now, &two, [2; 32]), Repeat::New);
        memory.done(now, &one, answer.clone());
        memory.forget(&two);
        assert_eq!(memory.begin(now, &one, [1; 32]), Repeat::Answered(answer));
        assert_eq!(memory.begin(now, &one, [2; 32]), Repeat::Other);
        assert_eq!(memory.begin(now, &two, [3; 32]), Repeat::New);
        assert_eq!(memory.begin(now + KEPT_FOR, &one, [2; 32]), Repeat::New);
    }
}
