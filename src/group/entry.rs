//! How groups come to be, how people get into them, and what they may do there.

use super::{
    At, Change, Deed, Done, Door, GroupId, Head, Member, PersonId, Rank, Refusal, Which, Who,
    state::Groups,
};

impl Groups {
    pub(super) fn create(
        &mut self,
        at: At,
        head: Head,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let (id, creator) = (head.id, head.creator);
        let name = Which::Name(head.name.clone());
        let external_id = head.external_id.clone().map(Which::ExternalId);
        let is_known = self.groups.contains_key(&id) || self.find_open(&name).is_ok();
        if is_known || external_id.is_some_and(|it| self.find(&it).is_ok()) {
            return Err(Refusal::NameTaken);
        }
        if let Some(creator) = creator {
            self.person(&Who::Id(creator))?;
        }

        let is_ownerless = creator.is_none();
        let head = Head { created: at, revision: 0, is_closed: false, is_ownerless, ..head };
        let owner = creator
            .map(|it| Change::Member(id, it, Some(Member { rank: Rank::Owner, joined: at })));
        // The head is there before anybody is in it; the one that stays has the revision.
        self.restore(Change::Head(head));
        self.commit(at, id, (Deed::Created, creator, None, ""), owner, changes);
        Ok(Done::Group(Box::new(self.picture(id))))
    }

    pub(super) fn add(
        &mut self,
        at: At,
        group: &Which,
        actor: Option<PersonId>,
        target: &Who,
        rank: Rank,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        self.rank_at_least(id, actor, Rank::Admin)?;
        let target = self.person(target)?;
        self.take_in(at, id, (actor, target), rank, changes)
    }

    pub(super) fn apply_for(
        &mut self,
        at: At,
        group: &Which,
        actor: PersonId,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        self.admit_entry(at, id, actor)?;
        match self.groups[&id].head.door {
            Door::Closed => Err(Refusal::NotInvited),
            Door::Open => self.take_in(at, id, (Some(actor), actor), Rank::Beginner, changes),
            Door::Reviewed if self.groups[&id].applications.contains_key(&actor) => {
                Ok(Done::Pending)
            }
            Door::Reviewed => {
                let row = Change::Application(id, actor, Some(at));
                let entry = (Deed::Applied, Some(actor), Some(actor), "");
                self.commit(at, id, entry, [row], changes);
                Ok(Done::Pending)
            }
        }
    }

    pub(super) fn decide(
        &mut self,
        at: At,
        group: &Which,
        actor: Option<PersonId>,
        target: &Who,
        is_approved: bool,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        self.rank_at_least(id, actor, Rank::Admin)?;
        let target = self.person(target)?;
        if !self.groups[&id].applications.contains_key(&target) {
            return Err(Refusal::NoApplication);
        }
        if is_approved {
            return self.take_in(at, id, (actor, target), Rank::Beginner, changes);
        }
        let row = Change::Application(id, target, None);
        self.commit(at, id, (Deed::Denied, actor, Some(target), ""), [row], changes);
        Ok(Done::Group(Box::new(self.picture(id))))
    }

    /// A member already is let be: his client asks again after each restart.
    pub(super) fn join(
        &mut self,
        at: At,
        group: &Which,
        actor: PersonId,
        link: &str,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        let group = &self.groups[&id];
        if group.members.contains_key(&actor) {
            return Ok(Done::Group(Box::new(self.picture(id))));
        }
        if group.head.link.is_empty() || &*group.head.link != link {
            return Err(Refusal::NotInvited);
        }
        self.take_in(at, id, (Some(actor), actor), Rank::Member, changes)
    }

    pub(super) fn reset_link(
        &mut self,
        at: At,
        group: &Which,
        actor: PersonId,
        link: Box<str>,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        self.rank_at_least(id, Some(actor), Rank::Owner)?;
        self.edit(id, |it| it.head.link = link);
        self.commit(at, id, (Deed::LinkReset, Some(actor), None, ""), [], changes);
        Ok(Done::Group(Box::new(self.picture(id))))
    }

    /// An owner gives any rank, an admin the lower ones to those below him.
    pub(super) fn set_rank(
        &mut self,
        at: At,
        group: &Which,
        actor: Option<PersonId>,
        target: &Who,
        rank: Rank,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        let id = self.find_open(group)?;
        self.rank_at_least(id, actor, Rank::Admin)?;
        let target = self.person(target)?;
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
            self.edit(id, |it| it.head.is_ownerless = false);
        }
        let row = Change::Member(id, target, Some(Member { rank, ..member }));
        self.commit(at, id, (Deed::Ranked, actor, Some(target), ""), [row], changes);
        Ok(Done::Group(Box::new(self.picture(id))))
    }

    fn admit_entry(&self, at: At, id: GroupId, person: PersonId) -> Result<(), Refusal> {
        let group = &self.groups[&id];
        if group.members.contains_key(&person) {
            return Err(Refusal::AlreadyMember);
        }
        if group.is_banned(at, person) {
            return Err(Refusal::Banned);
        }
        match usize::try_from(group.head.members_max).is_ok_and(|max| max <= group.members.len()) {
            true => Err(Refusal::Full),
            false => Ok(()),
        }
    }

    fn take_in(
        &mut self,
        at: At,
        id: GroupId,
        (actor, person): (Option<PersonId>, PersonId),
        rank: Rank,
        changes: &mut Vec<Change>,
    ) -> Result<Done, Refusal> {
        self.admit_entry(at, id, person)?;
        if rank == Rank::Owner {
            self.edit(id, |it| it.head.is_ownerless = false);
        }
        let mut rows = vec![Change::Member(id, person, Some(Member { rank, joined: at }))];
        if self.groups[&id].applications.contains_key(&person) {
            rows.push(Change::Application(id, person, None));
        }
        self.commit(at, id, (Deed::Joined, actor, Some(person), ""), rows, changes);
        Ok(Done::Group(Box::new(self.picture(id))))
    }
}
