//! A group that guards the room: who is out of it is out of here, and its moderators have the room.

use super::{Answer, Conference, Outcome, Refusal, member::Member};
use crate::{
    base::ids::MemberId,
    flow::{Cause, Exit},
    group::Expulsion,
};

impl Conference {
    /// Those who were let in at this revision or later have come back into the group meanwhile.
    pub(super) fn expel(&mut self, expulsion: &Expulsion) -> Outcome {
        let Expulsion { group: _, revision, people, reason } = expulsion;
        self.expelled_at = self.expelled_at.max(*revision);
        let is_meant = |member: &Member| {
            let pass = member.call.pass.as_ref();
            pass.is_some_and(|it| it.revision < *revision && people.contains(&it.person))
        };
        let meant = self.members.iter().filter(|(_, member)| is_meant(member));
        let chosen: Vec<MemberId> = meant.map(|(id, _)| *id).collect();
        let exit = Exit { reason: reason.clone(), ..Cause::GroupKicked.into() };
        for &id in &chosen {
            self.take_out(id, &exit);
            self.fuse();
        }
        match chosen.is_empty() {
            true => Err(Refusal::NoMember),
            false => Ok(Answer::Members(chosen)),
        }
    }

    /// Let in before the last expulsion: nobody knows any more whether it still holds.
    pub(super) fn is_stale(&self, id: MemberId) -> bool {
        let pass = self.members[&id].call.pass.as_ref();
        pass.is_some_and(|it| it.revision < self.expelled_at)
    }

    /// The last moderator is among the leavers.
    pub(super) fn is_without_moderators(&self) -> bool {
        let moderates = |member: &Member| member.moderates() == Some(true);
        let mut left = self.leavers.iter().map(|it| &*it.member).filter(|it| it.announced);
        left.any(moderates) && !self.everybody().any(|(_, member)| moderates(member))
    }
}
