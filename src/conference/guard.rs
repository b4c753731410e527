//! Guard: the rules of a room that a group guards. It expels removed people and needs a moderator.

use super::{Conference, ConferenceAnswer, Outcome, Refusal, member::Member};
use crate::{
    base::ids::MemberId,
    flow::{Cause, Exit},
    group::Expulsion,
};

impl Conference {
    /// Takes the people of an expulsion out. Members admitted at this revision or later have
    /// rejoined the group meanwhile and stay.
    pub(super) fn expel(&mut self, expulsion: &Expulsion) -> Outcome {
        let Expulsion { group: _, revision, people, reason } = expulsion;
        self.expelled_at = self.expelled_at.max(*revision);
        let is_meant = |member: &Member| {
            let admission = member.call.admission.as_ref();
            admission.is_some_and(|it| it.revision < *revision && people.contains(&it.person))
        };
        let meant = self.members.iter().filter(|(_, member)| is_meant(member));
        let chosen: Vec<MemberId> = meant.map(|(id, _)| *id).collect();
        let exit = Exit { reason: reason.clone(), ..Cause::GroupKicked.into() };
        for &id in &chosen {
            self.take_out(id, &exit);
            self.maybe_inject_fault();
        }
        match chosen.is_empty() {
            true => Err(Refusal::NoMember),
            false => Ok(ConferenceAnswer::Members(chosen)),
        }
    }

    /// Whether a member was admitted before the last expulsion: the admission may no longer hold.
    pub(super) fn has_stale_admission(&self, id: MemberId) -> bool {
        let admission = self.members[&id].call.admission.as_ref();
        admission.is_some_and(|it| it.revision < self.expelled_at)
    }

    /// Whether the last moderator is among the leavers.
    pub(super) fn is_without_moderators(&self) -> bool {
        let mut left = self.leavers.iter().map(|it| &*it.member).filter(|it| it.announced);
        self.moderators == 0 && left.any(|member| member.moderates() == Some(true))
    }
}
