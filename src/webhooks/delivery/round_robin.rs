//! Turns: so many requests at a time, so many of them to one receiver, one receiver after another.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::state::LaneId;

/// Who may make a request next.
#[derive(Debug)]
pub(super) struct Turns {
    max: usize,
    per_receiver_max: usize,
    flying: usize,
    seats: BTreeMap<Arc<str>, Seat>,
    /// Receivers with a lane that may go, each once.
    line: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Seat {
    flying: usize,
    lanes: VecDeque<LaneId>,
    is_in_line: bool,
}

impl Turns {
    pub(super) fn new(max: usize, per_receiver_max: usize) -> Self {
        let (max, per_receiver_max) = (max.max(1), per_receiver_max.max(1));
        Self { max, per_receiver_max, flying: 0, seats: BTreeMap::new(), line: VecDeque::new() }
    }

    /// A lane wants its turn.
    pub(super) fn wait(&mut self, receiver: Arc<str>, lane: LaneId) {
        self.seats.entry(Arc::clone(&receiver)).or_default().lanes.push_back(lane);
        self.line_up(receiver);
    }

    /// Whose turn it is: until [`Self::done`], it counts.
    pub(super) fn next(&mut self) -> Option<LaneId> {
        if self.max <= self.flying {
            return None;
        }

        let receiver = self.line.pop_front()?;
        let seat = self.seats.get_mut(&receiver).expect("who is in line has a seat");
        seat.is_in_line = false;
        let lane = seat.lanes.pop_front().expect("who is in line has a lane");
        seat.flying += 1;
        self.flying += 1;
        self.line_up(receiver);
        Some(lane)
    }

    /// A turn is over.
    pub(super) fn done(&mut self, receiver: &Arc<str>) {
        let seat = self.seats.get_mut(receiver).expect("who had a turn has a seat");
        seat.flying -= 1;
        self.flying -= 1;
        if seat.flying == 0 && seat.lanes.is_empty() {
            self.seats.remove(receiver);
            return;
        }
        self.line_up(Arc::clone(receiver));
    }

    /// A receiver's lanes wait elsewhere from now on, where none of them waits yet.
    pub(super) fn hand_over(&mut self, receiver: Arc<str>, to: &mut Self) {
        let Some(seat) = self.seats.get_mut(&receiver) else { return };
        let lanes = std::mem::take(&mut seat.lanes);
        if std::mem::take(&mut seat.is_in_line) {
            self.line.retain(|it| *it != receiver);
        }
        if seat.flying == 0 {
            self.seats.remove(&receiver);
        }
        if !lanes.is_empty() {
            to.seats.entry(Arc::clone(&receiver)).or_default().lanes = lanes;
            to.line_up(receiver);
        }
    }

    /// How many turns are taken.
    pub(super) fn flying(&self) -> usize {
        self.flying
    }

    /// How many lanes wait.
    pub(super) fn waiting(&self) -> usize {
        self.seats.values().map(|seat| seat.lanes.len()).sum()
    }

    /// The receivers whose lanes wait.
    pub(super) fn queuers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.seats.iter().filter(|(_, seat)| !seat.lanes.is_empty()).map(|(it, _)| it)
    }

    /// Nobody waits any more. The turns that are taken last until they are done.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.seats.retain(|_, seat| {
            seat.lanes.clear();
            seat.is_in_line = false;
            seat.flying != 0
        });
    }

    fn line_up(&mut self, receiver: Arc<str>) {
        let Some(seat) = self.seats.get_mut(&receiver) else { return };
        let may = !seat.is_in_line && !seat.lanes.is_empty() && seat.flying < self.per_receiver_max;
        if may {
            seat.is_in_line = true;
            self.line.push_back(receiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lanes 10, 11, … wait at receiver 1, lanes 20, 21, … at receiver 2, and so on.
    fn turns(max: usize, per_receiver_max: usize, lanes: &[u64]) -> Turns {
        let mut turns = Turns::new(max, per_receiver_max);
        lanes.iter().for_each(|lane| turns.wait(receiver(*lane), LaneId(*lane)));
        turns
    }

    fn receiver(lane: u64) -> Arc<str> {
        (lane / 10).to_string().into()
    }

    fn all(turns: &mut Turns) -> Vec<u64> {
        std::iter::from_fn(|| turns.next()).map(|it| it.0).collect()
    }

    #[test]
    fn receivers_take_turns_however_many_lanes_each_has() {
        let check = |max, per_receiver_max, lanes: &[u64], expected: &[u64]| {
            assert_eq!(all(&mut turns(max, per_receiver_max, lanes)), expected, "{lanes:?}");
        };

        check(9, 9, &[10, 11, 12, 20, 30], &[10, 20, 30, 11, 12]);
        check(4, 9, &[10, 11, 12, 20, 30], &[10, 20, 30, 11]);
        check(9, 2, &[10, 11, 12, 20, 30], &[10, 20, 30, 11]);
        check(9, 1, &[10, 11, 12, 20, 30], &[10, 20, 30]);
        check(0, 0, &[10, 20], &[10]);
        check(9, 9, &[], &[]);
    }

    #[test]
    fn a_turn_that_is_over_is_anothers() {
        let mut turns = turns(2, 1, &[10, 11, 20, 30]);
        assert_eq!(all(&mut turns), [10, 20]);
        turns.done(&receiver(10));
        assert_eq!(all(&mut turns), [30]);
        turns.done(&receiver(30));
        assert_eq!(all(&mut turns), [11]);
        turns.done(&receiver(11));
        turns.done(&receiver(20));
        assert_eq!((all(&mut turns), turns.seats.len(), turns.flying), (vec![], 0, 0));
    }

    #[test]
    fn who_is_handed_over_waits_there_and_ends_here_what_it_has_begun() {
        let mut from = turns(1, 1, &[10, 11, 12, 20]);
        let mut to = turns(9, 9, &[30, 31]);
        assert_eq!(all(&mut from), [10]);
        from.hand_over(receiver(10), &mut to);
        from.hand_over(receiver(90), &mut to);
        assert_eq!(all(&mut to), [30, 11, 31, 12]);
        assert_eq!((from.waiting(), from.flying()), (1, 1));
        from.done(&receiver(10));
        assert_eq!(all(&mut from), [20]);
        assert_eq!(from.seats.len(), 1);
    }

    #[test]
    fn after_a_clearing_those_at_it_end_and_nobody_follows() {
        let mut turns = turns(2, 1, &[10, 11, 20, 30]);
        assert_eq!(all(&mut turns), [10, 20]);
        turns.clear();
        turns.done(&receiver(10));
        turns.done(&receiver(20));
        assert_eq!((all(&mut turns), turns.seats.len()), (vec![], 0));
    }
}
