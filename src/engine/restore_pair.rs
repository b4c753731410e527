//! Restore of a pair: builds the room of a `<Dial>` again, and calls those once more who rang.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    conference::{self, RoomActor},
    registry::Registry,
    restorable::RestorablePair,
    restore::{RestoreFacts, end_of},
    room_rows::RoomRows,
};
use crate::base::{boot_clock::BootClock, ids::CallId};

impl Registry {
    /// The actor of a restored pair, which is to be spawned. None, and its calls are over, if the caller
    /// is in no `<Dial>`: [`crate::call::CallStateRow::restore`] has refused such a row.
    pub(super) fn restore_pair(
        self: &Arc<Self>,
        now: Instant,
        clock: BootClock,
        pair: RestorablePair,
        facts: &RestoreFacts<'_>,
        ending: &BTreeSet<CallId>,
    ) -> Option<RoomActor> {
        let RestorablePair { row, calls } = pair;
        let caller = calls.iter().find(|(_, it)| it.member == row.caller);
        let caller = caller.and_then(|(call, _)| Some((&**call, call.dial_here()?)));
        let Some((caller, options)) = caller else {
            debug_assert!(false, "the caller is at its element");
            calls.into_iter().for_each(|(call, _)| call.end());
            return None;
        };
        let leaves = calls.iter().map(|(call, it)| (it.member, end_of(call, facts, ending)));
        let leavers: Vec<_> = leaves.filter_map(|(id, cause)| Some((id, cause?))).collect();
        let goes_on = leavers.iter().all(|(id, _)| *id != row.caller);
        let again = if goes_on { row.to_call_again(now, clock, &options) } else { Vec::new() };
        let callees = self.callees(now, caller, &options, &again).unwrap_or_default();
        let places = calls.iter().map(|(call, it)| (call.id, it.member));
        let places: Vec<_> =
            places.chain(callees.iter().map(|it| (it.call.id, it.member))).collect();

        let id = row.room.id;
        let (mut machine, lost) = row.restore(now, clock, options, calls);
        let mut effects = VecDeque::new();
        let again = again.into_iter().zip(callees).collect();
        machine.resume_pair(now, leavers, lost, again, &mut effects);
        if cfg!(debug_assertions) {
            machine.check();
        }
        let asks_max = self.settings.read().asks_max;
        let rows = RoomRows::restored(None);
        let (room, actor) = conference::run(machine, effects, rows, asks_max, self.clone());
        for (call, member) in places {
            self.place(call, &room, member);
        }
        self.private_rooms.lock().insert(id, room);
        Some(actor)
    }
}
