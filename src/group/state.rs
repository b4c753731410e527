//! Group state: the machine with every person and group of one account.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Ask, Change, Group, GroupAction, GroupAnswer, GroupAuditEntry, GroupId, GroupInfo, GroupMember,
    GroupRef, GroupSelector, GroupSnapshot, PeopleById, Person, PersonId, PersonMap, PersonName,
    PersonRef, Rank, Refusal, UnixMillis,
};

/// The people and groups of one account, and every change to them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AccountGroups {
    pub(super) people: Arc<PeopleById>,
    names: BTreeMap<PersonName, PersonId>,
    pub(super) groups: BTreeMap<GroupId, Arc<Group>>,
}

impl AccountGroups {
    /// Decides an ask and carries it out. Appends its changes to `changes`, in order; a refusal
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], which is an answer like any other.
    pub fn handle(
        &mut self,
        at: UnixMillis,
        ask: Ask,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        match ask {
            Ask::AddPerson(person) => self.add_person(person, changes),
            Ask::Create(info) => self.create(at, info, changes),
            Ask::CreateOwn { info, own_max } => self.create_own(at, info, own_max, changes),
            Ask::Remove { group, actor, target, rule, reason } => {
                self.remove(at, &group, actor, &target, rule, &reason, changes)
            }
            Ask::Ban { group, actor, target, rule, reason, until } => {
                let ban = super::GroupBan { from: at, until, by: actor, reason };
                self.ban(at, &group, &target, rule, ban, changes)
            }
            Ask::Unban { group, actor, target } => self.unban(at, &group, actor, &target, changes),
            Ask::Leave { group, actor, rule } => self.leave(at, &group, actor, rule, changes),
            Ask::Add { group, actor, target, rank } => {
                self.add(at, &group, actor, &target, rank, changes)
            }
            Ask::AddFirstOwner { group, actor, target } => {
                self.add_first_owner(at, &group, actor, &target, changes)
            }
            Ask::Apply { group, actor } => self.apply_for(at, &group, actor, changes),
            Ask::Invite { group, actor, target } => {
                self.invite(at, &group, actor, &target, changes)
            }
            Ask::Decide { group, actor, target, is_approved } => {
                self.decide(at, &group, actor, &target, is_approved, changes)
            }
            Ask::Join { group, actor, link } => self.join(at, &group, actor, &link, changes),
            Ask::ResetLink { group, actor, link } => {
                self.reset_link(at, &group, actor, link, changes)
            }
            Ask::SetRank { group, actor, target, rank } => {
                self.set_rank(at, &group, actor, &target, rank, changes)
            }
            Ask::Abdicate { group, actor, target } => {
                self.abdicate(at, &group, actor, &target, changes)
            }
            Ask::Show(group) => {
                let id = self.find(&group)?;
                Ok(GroupAnswer::Group(Box::new(self.snapshot(id))))
            }
            Ask::ShowOf(person) => Ok(GroupAnswer::Groups(self.groups_of(person))),
            Ask::Find(who) => {
                let id = self.find_person(&who)?;
                Ok(GroupAnswer::Person(Person::clone(&self.people[&id])))
            }
            Ask::List => {
                Ok(GroupAnswer::People(self.people.values().map(|it| Person::clone(it)).collect()))
            }
        }
    }

    /// Applies a stored change. The order does not matter, except that a group comes before its
    /// people.
    pub fn restore(&mut self, change: Change) {
        match change {
            Change::Person(person) => {
                self.names.extend(person.names.iter().map(|name| (name.clone(), person.id)));
                Arc::make_mut(&mut self.people).insert(person.id, Arc::new(person));
            }
            Change::Info(info) => match self.groups.get_mut(&info.id) {
                Some(group) => Arc::make_mut(group).info = info,
                None => drop(self.groups.insert(info.id, Arc::new(Group::new(info)))),
            },
            Change::Member(group, person, row) => {
                self.edit(group, |it| put(&mut it.members, person, row));
            }
            Change::Ban(group, person, row) => {
                self.edit(group, |it| put(&mut it.bans, person, row));
            }
            Change::Application(group, person, row) => {
                self.edit(group, |it| put(&mut it.applications, person, row));
            }
            // History entries are not part of the state.
            Change::Audit(_) => (),
        }
    }

    /// The highest ids in use: a person's and a group's.
    pub fn last_ids(&self) -> (u64, u64) {
        let person = self.people.last_key_value().map_or(0, |(id, _)| id.0);
        let group = self.groups.last_key_value().map_or(0, |(id, _)| id.0);
        (person, group)
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    ///
    /// If an invariant does not hold.
    pub fn check(&self) {
        for group in self.groups.values() {
            let info = &group.info;
            let owners = group.owners();
            assert!(info.is_closed || info.is_ownerless || 0 < owners, "ownerless: {info:?}");
            assert!(!info.is_closed || group.members.is_empty(), "closed, with members: {info:?}");
            for person in group.members.keys() {
                assert!(self.people.contains_key(person), "an unknown member is in {info:?}");
                assert!(!group.applications.contains_key(person), "a member applies: {person}");
            }
        }
        for (name, person) in &self.names {
            assert!(self.people[person].names.contains(name), "{name:?} belongs to nobody");
        }
    }

    fn add_person(
        &mut self,
        person: Person,
        changes: &mut Vec<Change>,
    ) -> Result<GroupAnswer, Refusal> {
        let is_another =
            |name: &PersonName| self.names.get(name).is_some_and(|it| *it != person.id);
        if person.names.iter().any(is_another) {
            return Err(Refusal::NameTaken);
        }

        if let Some(old) = self.people.get(&person.id) {
            for name in &old.names {
                self.names.remove(name);
            }
        }
        let change = Change::Person(person.clone());
        self.restore(change.clone());
        changes.push(change);
        Ok(GroupAnswer::Person(person))
    }

    pub(super) fn find(&self, which: &GroupRef) -> Result<GroupId, Refusal> {
        let by = |is_it: &dyn Fn(&GroupInfo) -> bool| {
            // An open group wins over closed ones with the same name.
            let found = self.groups.values().filter(|it| is_it(&it.info));
            found.min_by_key(|it| it.info.is_closed).map(|it| it.info.id)
        };
        let found = match which {
            GroupRef::Id(id) => self.groups.contains_key(id).then_some(*id),
            GroupRef::Name(name) => by(&|info| info.name == *name),
            GroupRef::ExternalId(name) => by(&|info| info.external_id.as_ref() == Some(name)),
            GroupRef::Link(link) => by(&|info| !link.is_empty() && info.link == *link),
            GroupRef::Selected(id, selectors) => {
                let group = self.groups.get(id).ok_or(Refusal::NoGroup)?;
                if !selectors.iter().all(|it| group.has(it)) {
                    return Err(Refusal::OtherGroup);
                }
                Some(*id)
            }
        };
        found.ok_or(Refusal::NoGroup)
    }

    /// Finds a group that is not closed.
    pub(super) fn find_open(&self, which: &GroupRef) -> Result<GroupId, Refusal> {
        let id = self.find(which)?;
        match self.groups[&id].info.is_closed {
            true => Err(Refusal::Closed),
            false => Ok(id),
        }
    }

    pub(super) fn find_person(&self, who: &PersonRef) -> Result<PersonId, Refusal> {
        let found = match who {
            PersonRef::Id(id) => self.people.contains_key(id).then_some(*id),
            PersonRef::Name(name) => self.names.get(name).copied(),
            PersonRef::Nobody => None,
        };
        found.ok_or(Refusal::TargetUnknown)
    }

    /// Refuses an actor of a lower rank. An actor that is a machine may do everything.
    pub(super) fn require_rank(
        &self,
        group: GroupId,
        actor: Option<PersonId>,
        min: Rank,
    ) -> Result<(), Refusal> {
        let Some(actor) = actor else { return Ok(()) };
        let member = self.groups[&group].members.get(&actor).ok_or(Refusal::ActorNotMember)?;
        match min <= member.rank {
            true => Ok(()),
            false => Err(Refusal::RankTooLow),
        }
    }

    pub(super) fn snapshot(&self, id: GroupId) -> GroupSnapshot {
        GroupSnapshot { group: self.groups[&id].clone(), people: self.people.clone() }
    }

    /// Changes a group, if it exists. Its snapshots do not change.
    pub(super) fn edit(&mut self, id: GroupId, edit: impl FnOnce(&mut Group)) {
        if let Some(group) = self.groups.get_mut(&id) {
            edit(Arc::make_mut(group));
        }
    }

    fn groups_of(&self, person: PersonId) -> Vec<GroupSnapshot> {
        let is_member = |it: &&Arc<Group>| it.members.contains_key(&person);
        self.groups.values().filter(is_member).map(|it| self.snapshot(it.info.id)).collect()
    }

    /// Applies `rows`, and appends them with the group's next revision and a history entry.
    pub(super) fn commit(
        &mut self,
        at: UnixMillis,
        id: GroupId,
        (action, actor, target, reason): AuditFields<'_>,
        rows: impl IntoIterator<Item = Change>,
        changes: &mut Vec<Change>,
    ) {
        for row in rows {
            self.restore(row.clone());
            changes.push(row);
        }
        let group = self.groups.get_mut(&id).expect("the group was found before");
        let info = &mut Arc::make_mut(group).info;
        info.revision += 1;
        info.modified = at;
        let (group, sequence, reason) = (id, info.revision, reason.into());
        changes.push(Change::Info(info.clone()));
        changes.push(Change::Audit(GroupAuditEntry {
            group,
            sequence,
            at,
            actor,
            action,
            target,
            reason,
        }));
    }
}

/// The action, the actor, the target and the reason.
pub(super) type AuditFields<'a> = (GroupAction, Option<PersonId>, Option<PersonId>, &'a str);

impl Group {
    pub(super) fn new(info: GroupInfo) -> Self {
        let (members, bans) = (PersonMap::default(), PersonMap::default());
        Self { info, members, bans, applications: PersonMap::default() }
    }

    /// Whether the group is what a selector says.
    fn has(&self, selector: &GroupSelector) -> bool {
        match selector {
            GroupSelector::ExternalId(id) => self.info.external_id.as_ref() == Some(id),
            GroupSelector::Owner(person) => {
                let rank = person.and_then(|it| self.members.get(&it)).map(|it| it.rank);
                rank == Some(Rank::Owner)
            }
        }
    }

    /// The number of owners.
    pub fn owners(&self) -> usize {
        self.members.values().filter(|it| it.rank == Rank::Owner).count()
    }

    /// Whether a person is the only owner.
    pub fn is_last_owner(&self, person: PersonId) -> bool {
        let is_owner = |it: &GroupMember| it.rank == Rank::Owner;
        self.members.get(&person).is_some_and(is_owner) && self.owners() == 1
    }

    /// Whether a ban keeps a person out at this time.
    pub fn is_banned(&self, at: UnixMillis, person: PersonId) -> bool {
        let holds = |ban: &super::GroupBan| ban.until.is_none_or(|until| at < until);
        self.bans.get(&person).is_some_and(holds)
    }
}

fn put<T: Clone>(rows: &mut PersonMap<T>, person: PersonId, row: Option<T>) {
    match row {
        Some(row) => drop(rows.insert(person, row)),
        None => drop(rows.remove(&person)),
    }
}
