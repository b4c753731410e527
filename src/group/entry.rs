//! Entry: creates groups, adds people to them and sets their ranks.

use std::sync::Arc;

use super::{
    Change, Group, GroupAction, GroupAnswer, GroupId, GroupInfo, GroupMember, GroupRef, JoinPolicy,
    Joined, Pending, PersonId, PersonRef, Rank, Refusal, UnixMillis, state::AccountGroups,
};

impl AccountGroups {
    pub(super) fn create(
        &mut self,
        at: UnixMillis,
        info: GroupInfo,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let (id, creator) = (info.id, info.creator);
        let name = GroupRef::Name(info.name.clone());
        let external_id = info.external_id.clone().map(GroupRef::ExternalId);
        let is_known = self.groups.contains_key(&id) || self.find_open(&name).is_ok();
        if is_known || external_id.is_some_and(|it| self.find(&it).is_ok()) {
            return Err(Refusal::NameTaken);
        }
        if let Some(creator) = creator {
            self.find_person(&PersonRef::Id(creator))?;
        }

        let is_ownerless = creator.is_none();
        let info = GroupInfo { created: at, revision: 0, is_closed: false, is_ownerless, ..info };
        let owner = creator
            .map(|it| Change::Member(id, it, Some(GroupMember { rank: Rank::Owner, joined: at })));
        // The group exists before its owner is added; `commit` writes it with its revision.
        self.restore(Change::Info(info));
        self.commit(at, id, (GroupAction::Created, creator, None, ""), owner, changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    pub(super) fn create_own(
        &mut self,
        at: UnixMillis,
        info: GroupInfo,
        own_max: usize,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        if let Some(creator) = info.creator {
            let is_own = |it: &&Arc<Group>| {
                let rank = it.members.get(&creator).map(|it| it.rank);
                rank == Some(Rank::Owner) && it.info.members_max == info.members_max
            };
            if own_max <= self.groups.values().filter(is_own).count() {
                return Err(Refusal::OwnsTooMany);
            }
        }
        self.create(at, info, changes)
    }

    pub(super) fn add_first_owner(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: Option<PersonId>,
        target: &PersonRef,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        match self.groups[&id].owners() {
            0 => self.add(at, group, actor, target, Rank::Owner, changes),
            _ => Err(Refusal::HasOwner),
        }
    }

    pub(super) fn add(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: Option<PersonId>,
        target: &PersonRef,
        rank: Rank,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.require_rank(id, actor, Rank::Admin)?;
        let target = self.find_person(target)?;
        self.add_member(at, id, (actor, target), rank, changes)
    }

    pub(super) fn apply_for(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: PersonId,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.check_entry(at, id, actor)?;
        let group = &self.groups[&id];
        match (group.info.join_policy, group.applications.get(&actor)) {
            (_, Some(Pending::Invited { .. })) | (JoinPolicy::Open, _) => {
                self.add_member(at, id, (Some(actor), actor), Rank::Beginner, changes)
            }
            (JoinPolicy::Closed, _) => Err(Refusal::NotInvited),
            (JoinPolicy::Reviewed, Some(Pending::Applied(_))) => Ok(GroupAnswer::Pending),
            (JoinPolicy::Reviewed, None) => {
                let row = Change::Application(id, actor, Some(Pending::Applied(at)));
                let entry = (GroupAction::Applied, Some(actor), Some(actor), "");
                self.commit(at, id, entry, [row], changes);
                Ok(GroupAnswer::Pending)
            }
        }
    }

    /// Invites a person. A repeated invitation changes nothing.
    pub(super) fn invite(
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
        self.check_entry(at, id, target)?;
        match self.groups[&id].applications.get(&target) {
            Some(Pending::Applied(_)) => {
                return self.add_member(at, id, (actor, target), Rank::Beginner, changes);
            }
            Some(Pending::Invited { .. }) => (),
            None => {
                let row = Change::Application(id, target, Some(Pending::Invited { at, by: actor }));
                let entry = (GroupAction::Invited, actor, Some(target), "");
                self.commit(at, id, entry, [row], changes);
            }
        }
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    pub(super) fn decide(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: Option<PersonId>,
        target: &PersonRef,
        is_approved: bool,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.require_rank(id, actor, Rank::Admin)?;
        let target = self.find_person(target)?;
        match (self.groups[&id].applications.get(&target), is_approved) {
            (None, _) | (Some(Pending::Invited { .. }), true) => {
                return Err(Refusal::NoApplication);
            }
            (Some(Pending::Applied(_)), true) => {
                return self.add_member(at, id, (actor, target), Rank::Beginner, changes);
            }
            (Some(_), false) => (),
        }
        let row = Change::Application(id, target, None);
        self.commit(at, id, (GroupAction::Denied, actor, Some(target), ""), [row], changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    /// Joins by the link. A member may repeat it: clients do so after each restart.
    pub(super) fn join(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: PersonId,
        link: &str,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        let group = &self.groups[&id];
        let was_member = group.members.contains_key(&actor);
        if !was_member {
            if group.info.link.is_empty() || &*group.info.link != link {
                return Err(Refusal::NotInvited);
            }
            self.add_member(at, id, (Some(actor), actor), Rank::Member, changes)?;
        }
        let snapshot = self.snapshot(id);
        Ok(GroupAnswer::Joined(Box::new(Joined { was_member, snapshot })))
    }

    pub(super) fn reset_link(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: PersonId,
        link: Box<str>,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.require_rank(id, Some(actor), Rank::Owner)?;
        self.edit(id, |it| it.info.link = link);
        self.commit(at, id, (GroupAction::LinkReset, Some(actor), None, ""), [], changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    /// Sets a rank. An owner gives any rank; an admin gives ranks below their own to lower members.
    pub(super) fn set_rank(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: Option<PersonId>,
        target: &PersonRef,
        rank: Rank,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.require_rank(id, actor, Rank::Admin)?;
        let target = self.find_person(target)?;
        let group = &self.groups[&id];
        let member = *group.members.get(&target).ok_or(Refusal::TargetNotMember)?;
        let own = actor.and_then(|it| group.members.get(&it)).map_or(Rank::Owner, |it| it.rank);
        if own != Rank::Owner && own <= rank.max(member.rank) {
            return Err(Refusal::RankTooLow);
        }
        if rank < Rank::Owner && group.is_last_owner(target) {
            return Err(Refusal::LastOwner);
        }
        if rank == Rank::Owner {
            self.edit(id, |it| it.info.is_ownerless = false);
        }
        let row = Change::Member(id, target, Some(GroupMember { rank, ..member }));
        self.commit(at, id, (GroupAction::Ranked, actor, Some(target), ""), [row], changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    /// An owner and another member change places: the member becomes owner, the owner an admin.
    pub(super) fn abdicate(
        &mut self,
        at: UnixMillis,
        group: &GroupRef,
        actor: PersonId,
        target: &PersonRef,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let id = self.find_open(group)?;
        self.require_rank(id, Some(actor), Rank::Owner)?;
        let target = self.find_person(target)?;
        let member = |it| self.groups[&id].members.get(&it).copied();
        let (own, heir) = (member(actor), member(target).ok_or(Refusal::TargetNotMember)?);
        let own = own.ok_or(Refusal::ActorNotMember)?;
        if actor == target {
            return Err(Refusal::SelfTarget);
        }
        let rows = [
            Change::Member(id, target, Some(GroupMember { rank: Rank::Owner, ..heir })),
            Change::Member(id, actor, Some(GroupMember { rank: Rank::Admin, ..own })),
        ];
        self.commit(at, id, (GroupAction::Ranked, Some(actor), Some(target), ""), rows, changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }

    fn check_entry(&self, at: UnixMillis, id: GroupId, person: PersonId) -> Result<(), Refusal> {
        let group = &self.groups[&id];
        if group.members.contains_key(&person) {
            return Err(Refusal::AlreadyMember);
        }
        if group.is_banned(at, person) {
            return Err(Refusal::Banned);
        }
        match usize::try_from(group.info.members_max).is_ok_and(|max| max <= group.members.len()) {
            true => Err(Refusal::Full),
            false => Ok(()),
        }
    }

    fn add_member(
        &mut self,
        at: UnixMillis,
        id: GroupId,
        (actor, person): (Option<PersonId>, PersonId),
        rank: Rank,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        self.check_entry(at, id, person)?;
        if rank == Rank::Owner {
            self.edit(id, |it| it.info.is_ownerless = false);
        }
        let mut rows = vec![Change::Member(id, person, Some(GroupMember { rank, joined: at }))];
        if self.groups[&id].applications.contains_key(&person) {
            rows.push(Change::Application(id, person, None));
        }
        self.commit(at, id, (GroupAction::Joined, actor, Some(person), ""), rows, changes);
        Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
    }
}
