//! Removal: removes, bans and unbans members, lets them leave, and closes groups.

use super::{
    Change, GroupAction, GroupAnswer, GroupBan, GroupId, GroupRef, Permission, PersonId, PersonRef,
    Rank, Refusal, Removed, UnixMillis,
    rule::{LastOwner, Rule},
    state::AccountGroups,
};

impl AccountGroups {
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one ask")]
    pub(super) fn remove(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: Option<PersonId>,
        target: &PersonRef,
        rule: Rule,
        reason: &str,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        let target = self.check_removal(id, actor, target, rule)?;
        let Removal { target, was_member } = target;
        if !was_member {
            // Nothing changes, but the history shows the request.
            let entry = (GroupAction::Removed, actor, Some(target), reason);
            self.commit(at, id, entry, [], changes);
            return Ok(self.removed_answer(id, target, false, Vec::new()));
        }
        let action = match actor == Some(target) {
            true => GroupAction::Left,
            false => GroupAction::Removed,
        };
        self.remove_member(at, id, (action, actor, target, reason), rule.last_owner, changes)
    }

    pub(super) fn leave(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: PersonId,
        rule: Rule,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        if !self.groups[&id].members.contains_key(&actor) {
            return Err(Refusal::ActorNotMember);
        }
        self.remove_member(
            at,
            id,
            (GroupAction::Left, Some(actor), actor, ""),
            rule.last_owner,
            changes,
        )
    }

    /// Only a member can be banned (contract 1.5: 684).
    pub(super) fn ban(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        target: &PersonRef,
        rule: Rule,
        ban: GroupBan,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        let (actor, reason) = (ban.by, ban.reason.clone());
        let Removal { target, was_member } = self.check_removal(id, actor, target, rule)?;
        if !was_member {
            return Err(Refusal::TargetNotMember);
        }
        let entry = (GroupAction::Banned, actor, target, &*reason);
        let done = self.remove_member(at, id, entry, rule.last_owner, changes)?;
        let row = Change::Ban(id, target, Some(ban));
        self.restore(row.clone());
        changes.push(row);
        Ok(done)
    }

    pub(super) fn unban(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: Option<PersonId>,
        target: &PersonRef,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.require_rank(id, actor, Rank::Admin)?;
        let target = self.find_person(target)?;
        if !self.groups[&id].bans.contains_key(&target) {
            return Err(Refusal::TargetNotMember);
        }
        let entry = (GroupAction::Unbanned, actor, Some(target), "");
        self.commit(at, id, entry, [Change::Ban(id, target, None)], changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    /// Checks a removal by its rule: the actor's rank, then the target, then the two ranks
    /// compared.
    fn check_removal(
        &self,
        id: GroupId,
        actor: Option<PersonId>,
        target: &PersonRef,
        rule: Rule,
    ) -> Result<Removal, Refusal> {
        if rule.is_target_first {
            self.find_person(target)?;
        }
        let may_remove_anybody = self.check_actor(id, actor, rule)?;
        let target = self.find_person(target)?;
        if actor == Some(target) && !rule.is_self_leave {
            return Err(Refusal::SelfTarget);
        }
        let group = &self.groups[&id];
        let Some(member) = group.members.get(&target) else {
            return match may_remove_anybody {
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

    /// Checks that the actor may remove people; true if anybody from any group.
    fn check_actor(
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
        match self.require_rank(id, actor, rule.rank_min) {
            Ok(()) => Ok(false),
            Err(Refusal::RankTooLow) if may(Permission::RemoveUser) => Ok(false),
            Err(Refusal::ActorNotMember) if may(Permission::RemoveUser) => Err(Refusal::NoAccess),
            Err(refusal) => Err(refusal),
        }
    }

    fn remove_member(
        &mut self,
        at: UnixMillis,
        id: GroupId,
        (action, actor, target, reason): (GroupAction, Option<PersonId>, PersonId, &str),
        last_owner: LastOwner,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let is_last = self.groups[&id].is_last_owner(target);
        if is_last && last_owner == LastOwner::Stays {
            return Err(Refusal::LastOwner);
        }
        if is_last && last_owner == LastOwner::Goes {
            self.edit(id, |it| it.info.is_ownerless = true);
        }
        let row = Change::Member(id, target, None);
        self.commit(at, id, (action, actor, Some(target), reason), [row], changes);
        let others = match is_last && last_owner == LastOwner::Closes {
            true => self.close(at, id, actor, changes),
            false => Vec::new(),
        };
        Ok(self.removed_answer(id, target, true, others))
    }

    /// Ends a group, and says who was in it.
    fn close(
        &mut self,
        at: UnixMillis,
        id: GroupId,
        actor: Option<PersonId>,
        changes: &mut Vec<Change>,
    ) -> Vec<PersonId> {
        self.edit(id, |it| it.info.is_closed = true);
        let group = &self.groups[&id];
        let others: Vec<_> = group.members.keys().copied().collect();
        let members = others.iter().map(|it| Change::Member(id, *it, None));
        let waiting = group.applications.keys().map(|it| Change::Application(id, *it, None));
        let rows: Vec<_> = members.chain(waiting).collect();
        self.commit(at, id, (GroupAction::Closed, actor, None, ""), rows, changes);
        others
    }

    fn removed_answer(
        &self,
        id: GroupId,
        person: PersonId,
        was_member: bool,
        others: Vec<PersonId>,
    ) -> GroupAnswer {
        let snapshot = self.snapshot(id);
        GroupAnswer::Removed(Box::new(Removed { person, was_member, others, snapshot }))
    }
}

/// A removal that is allowed.
struct Removal {
    target: PersonId,
    was_member: bool,
}
