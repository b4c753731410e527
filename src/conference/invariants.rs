//! Invariants of a room, for tests and simulations.

use super::{
    Conference,
    member::{Hold, Listening},
    state::{DueItem, RoomPhase},
};

impl Conference {
    /// Asserts the invariants after a command, in tests and simulations.
    pub fn check(&self) {
        assert!(self.members.len() <= self.members_cap as usize);
        assert_eq!(self.members.is_empty(), self.phase == RoomPhase::Over);
        assert!(self.leavers.is_empty() && self.reply.is_none());
        self.check_callees();
        let ends_first = self.members.values().map(|it| it.call.ends_at).min();
        let expected = self.call_ends.first();
        let is_in_time = ends_first.is_none_or(|at| expected.is_some_and(|it| it <= at));
        assert!(is_in_time, "no call outlives its end");
        let of_digits = self.deadlines.iter().filter(|(_, due)| matches!(due, DueItem::Digits(_)));
        assert_eq!(of_digits.count(), self.typed.len(), "one deadline for each member that types");
        assert!(self.typed.keys().all(|id| self.members.contains_key(id)));
        for member in self.members.values() {
            assert!(member.announced, "a refused call is taken out");
            assert!(member.listening != Listening::None, "everybody hears something");
            assert!(
                self.phase != RoomPhase::Waiting || member.listening == Listening::Wait,
                "before the start"
            );
            let is_alone = self.members.len() == 1;
            let may_wait = is_alone || member.hold != Hold::Off;
            let hears_room = !self.is_live() || member.listening == Listening::Room;
            assert!(hears_room || may_wait, "only members on hold and one who is alone wait");
            let is_out = member.hold == Hold::Off || member.is_waiting();
            assert!(is_out, "a member on hold is out of the mix");
        }
        self.floor.check(&self.members);
        let moderators = self.members.values().filter(|it| it.moderates() == Some(true));
        assert_eq!(moderators.count(), self.moderators as usize, "moderators");
        let kept = self.members.values().filter(|it| it.call.is_kept()).count();
        assert_eq!(kept, self.kept as usize, "members with rows");
    }
}
