//! How people get out of a group: removed, banned, or on their own.

use super::{
    At, Ban, Change, Deed, Done, GroupId, Permission, PersonId, Rank, Refusal, Removed, Which, Who,
    rule::{LastOwner, Rule},
    state::Groups,
};

impl Groups {
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one ask")]
    pub(super) fn remove(
        &mut self,
        at: At,
        group: &Which,
        actor: Option<PersonId>,
        target: &Who,
        rule: Rule,
        reason: &str,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        let target = self.admit_removal(id, actor, target, rule)?;
        let Removal { target, was_member } = target;
        if !was_member {
            // Nothing changes, but it is on record that somebody wanted it.
            let entry = (Deed::Removed, actor, Some(target), reason);
            self.commit(at, id, entry, [], changes);
            return Ok(self.removed(id, target, false));
        }
        let deed = match actor == Some(target) {
            true => Deed::Left,
            false => Deed::Removed,
        };
        self.take_out(at, id, (deed, actor, target, reason), rule.last_owner, changes)
    }

    pub(super) fn leave(
        &mut self,
        at: At,
        group: &Which,
        actor: PersonId,
        rule: Rule,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        if !self.groups[&id].members.contains_key(&actor) {
            return Err(Refusal::ActorNotMember);
        }
        self.take_out(at, id, (Deed::Left, Some(actor), actor, ""), rule.last_owner, changes)
    }

    /// Only a member can be banned (contract 1.5: 684).
    pub(super) fn ban(
        &mut self,
        at: At,
        group: &Which,
        target: &Who,
        rule: Rule,
        ban: Ban,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        let (actor, reason) = (ban.by, ban.reason.clone());
        let Removal { target, was_member } = self.admit_removal(id, actor, target, rule)?;
        if !was_member {
            return Err(Refusal::TargetNotMember);
        }
        let entry = (Deed::Banned, actor, target, &*reason);
        let done = self.take_out(at, id, entry, rule.last_owner, changes)?;
        let row = Change::Ban(id, target, Some(ban));
        self.restore(row.clone());
        changes.push(row);
        Ok(done)
    }

    pub(super) fn unban(
        &mut self,
        at: At,
        group: &Which,
        actor: Option<PersonId>,
        target: &Who,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        self.rank_at_least(id, actor, Rank::Admin)?;
        let target = self.person(target)?;
        if !self.groups[&id].bans.contains_key(&target) {
            return Err(Refusal::TargetNotMember);
        }
        let entry = (Deed::Unbanned, actor, Some(target), "");
        self.commit(at, id, entry, [Change::Ban(id, target, None)], changes);
        Ok(Done::Group(Box::new(self.picture(id))))
    }

    /// The one rule: the actor's rank, then the target, then both beside each other.
    fn admit_removal(
        &self,
        id: GroupId,
        actor: Option<PersonId>,
        target: &Who,
        rule: Rule,
    ) -> Result<Removal, Refusal> {
        if rule.is_target_first {
            self.person(target)?;
        }
        let may_all = self.admit_actor(id, actor, rule)?;
        let target = self.person(target)?;
        if actor == Some(target) && !rule.is_self_leave {
            return Err(Refusal::SelfTarget);
        }
        let group = &self.groups[&id];
        let Some(member) = group.members.get(&target) else {
            return match may_all {
                true => Ok(Removal { target, was_member: false }),
                false => Err(Refusal::TargetNotMember),
            };
        };
        if rule.last_owner == LastOwner::Stays && group.is_last_owner(target) {
            return Err(Refusal::LastOwner);
        }
        let rank = actor.and_then(|it| group.members.get(&it)).map(|it| it.rank);
        if rule.is_above_target && rank.is_some_and(|it| it <= member.rank) {
            return Err(Refusal::RankTooLow);
        }
        Ok(Removal { target, was_member: true })
    }

    /// Whether the actor may remove at all; true, if anybody from anywhere.
    fn admit_actor(
        &self,
        id: GroupId,
        actor: Option<PersonId>,
        rule: Rule,
    ) -> Result<bool, Refusal> {
        let person = actor.and_then(|it| self.people.get(&it));
        let may = |it| rule.has_permissions && person.is_some_and(|person| person.may(it));
        if may(Permission::KickFromAny) {
            return Ok(true);
        }
        match self.rank_at_least(id, actor, rule.rank_min) {
            Ok(()) => Ok(false),
            Err(Refusal::RankTooLow) if may(Permission::RemoveUser) => Ok(false),
            Err(Refusal::ActorNotMember) if may(Permission::RemoveUser) => Err(Refusal::NoAccess),
            Err(refusal) => Err(refusal),
        }
    }

    fn take_out(
        &mut self,
        at: At,
        id: GroupId,
        (deed, actor, target, reason): (Deed, Option<PersonId>, PersonId, &str),
        last_owner: LastOwner,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let is_last = self.groups[&id].is_last_owner(target);
        if is_last && last_owner == LastOwner::Stays {
            return Err(Refusal::LastOwner);
        }
        if is_last && last_owner == LastOwner::Goes {
            self.edit(id, |it| it.head.is_ownerless = true);
        }
        let row = Change::Member(id, target, None);
        self.commit(at, id, (deed, actor, Some(target), reason), [row], changes);
        if is_last && last_owner == LastOwner::Closes {
            self.close(at, id, actor, changes);
        }
        Ok(self.removed(id, target, true))
    }

    fn close(&mut self, at: At, id: GroupId, actor: Option<PersonId>, changes: &mut Vec<Change>) {
        self.edit(id, |it| it.head.is_closed = true);
        let group = &self.groups[&id];
        let members = group.members.keys().map(|it| Change::Member(id, *it, None));
        let waiting = group.applications.keys().map(|it| Change::Application(id, *it, None));
        let rows: Vec<_> = members.chain(waiting).collect();
        self.commit(at, id, (Deed::Closed, actor, None, ""), rows, changes);
    }

    fn removed(&self, id: GroupId, person: PersonId, was_member: bool) -> Done {
        let picture = self.picture(id);
        Done::Removed(Box::new(Removed { person, was_member, picture }))
    }
}

/// A removal that may be.
struct Removal {
    target: PersonId,
    was_member: bool,
}
