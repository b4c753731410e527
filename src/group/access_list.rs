//! Access list: who may enter the conferences that a group guards, by durable changes only.
//!
//! It is updated after each commit and read by each join. A member who is not on it yet cannot
//! enter; while a removed one is still on it, their removal has not been answered.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Change, GroupId, Person, PersonId, PersonName, Rank, state::AccountGroups};
use crate::base::ids::Trusted;

/// The members of each group of one account, and the trusted identities that they are known by.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AccessList {
    names: BTreeMap<PersonName, PersonId>,
    names_of: BTreeMap<PersonId, Vec<PersonName>>,
    groups: BTreeMap<GroupId, GroupAccess>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct GroupAccess {
    revision: u64,
    members: BTreeMap<PersonId, Rank>,
}

/// The right of a call to be in a room that a group guards.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Admission {
    /// The member whose call it is.
    pub person: PersonId,
    /// The rank when they were admitted. A promotion counts at the next entry.
    pub rank: Rank,
    /// The group's revision when they were admitted.
    pub revision: u64,
}

/// People who are no members any more: their calls must leave the rooms that the group guards.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Expulsion {
    /// The group that they were members of.
    pub group: GroupId,
    /// The group's revision after the removal. Calls admitted at this one or later have rejoined.
    pub revision: u64,
    /// The people who must leave.
    pub people: Vec<PersonId>,
    /// The actor's text, if any.
    pub reason: Option<Arc<str>>,
}

impl AccessList {
    /// The list for groups whose changes are all durable.
    pub fn of(groups: &AccountGroups) -> Self {
        let mut list = Self::default();
        for person in groups.people.values() {
            list.set_names(person);
        }
        for (id, group) in &groups.groups {
            list.apply(&Change::Info(group.info.clone()));
            for (person, member) in group.members.iter() {
                list.apply(&Change::Member(*id, *person, Some(*member)));
            }
        }
        list
    }

    /// Applies a durable change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Person(person) => self.set_names(person),
            Change::Info(info) if info.is_closed => drop(self.groups.remove(&info.id)),
            Change::Info(info) => self.groups.entry(info.id).or_default().revision = info.revision,
            Change::Member(group, person, Some(member)) => {
                let group_access = self.groups.entry(*group).or_default();
                group_access.members.insert(*person, member.rank);
            }
            Change::Member(group, person, None) => {
                if let Some(group_access) = self.groups.get_mut(group) {
                    group_access.members.remove(person);
                }
            }
            // A ban comes with the removal of the member.
            Change::Application(..) | Change::Audit(_) | Change::Ban(..) => (),
        }
    }

    /// The admission of an identity to a group's rooms; None if it is no member's, or the group
    /// does not exist or is closed.
    pub fn admit(&self, group: GroupId, who: &Trusted) -> Option<Admission> {
        let person = *self.names.get(&PersonName::trusted(who))?;
        let group_access = self.groups.get(&group)?;
        let rank = *group_access.members.get(&person)?;
        Some(Admission { person, rank, revision: group_access.revision })
    }

    fn set_names(&mut self, person: &Person) {
        for name in self.names_of.remove(&person.id).unwrap_or_default() {
            self.names.remove(&name);
        }
        let known: Vec<_> = person.names.iter().filter_map(PersonName::trusted_form).collect();
        self.names.extend(known.iter().map(|name| (name.clone(), person.id)));
        self.names_of.insert(person.id, known);
    }
}

/// The expulsions that follow from the changes of one ask, in order.
pub fn expulsions(changes: &[Change]) -> Vec<Expulsion> {
    let (mut all, mut people) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Member(_, person, None) => people.push(*person),
            // The changes of one commit end with its audit entry.
            Change::Audit(audit) => {
                let people = std::mem::take(&mut people);
                let reason = (!audit.reason.is_empty()).then(|| Arc::from(&*audit.reason));
                let (group, revision) = (audit.group, audit.sequence);
                if !people.is_empty() {
                    all.push(Expulsion { group, revision, people, reason });
                }
            }
            Change::Member(_, _, Some(_)) | Change::Application(..) | Change::Ban(..) => (),
            Change::Info(_) | Change::Person(_) => (),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{
        Ask, GroupAnswer, GroupInfo, GroupRef, JoinPolicy, PersonRef, UnixMillis, rule::Rule,
    };

    const GROUP: GroupId = GroupId(6);

    /// A machine and its access list: person 1 is the owner of [`GROUP`], 2 is an admin.
    struct Pair {
        groups: AccountGroups,
        access_list: AccessList,
    }

    impl Pair {
        fn new() -> Self {
            let mut pair =
                Self { groups: AccountGroups::default(), access_list: AccessList::default() };
            for n in 1..=3 {
                let mut person = Person::new(PersonId(n), &format!("User{n}"));
                person.names.insert(PersonName::SipUser(format!("sip{n}").into()));
                person.names.insert(PersonName::Caller(format!("+1555{n}").into()));
                person.names.insert(PersonName::Mobile(format!("999{n}").into()));
                pair.ask(Ask::AddPerson(person));
            }
            let info = GroupInfo {
                id: GROUP,
                name: "weekly".into(),
                external_id: None,
                created: UnixMillis(0),
                modified: UnixMillis(0),
                creator: Some(PersonId(1)),
                revision: 0,
                is_closed: false,
                is_ownerless: false,
                join_policy: JoinPolicy::Reviewed,
                link: "".into(),
                members_max: 9,
            };
            pair.ask(Ask::Create(info));
            pair.add(2);
            pair
        }

        fn add(&mut self, n: u64) {
            let (group, target) = (GroupRef::Id(GROUP), PersonRef::Id(PersonId(n)));
            self.ask(Ask::Add { group, actor: None, target, rank: Rank::Admin });
        }

        fn ask(&mut self, ask: Ask) -> Vec<Expulsion> {
            let mut changes = Vec::new();
            let done: GroupAnswer = self.groups.handle(UnixMillis(1), ask, &mut changes).unwrap();
            drop(done);
            changes.iter().for_each(|it| self.access_list.apply(it));
            assert_eq!(
                self.access_list,
                AccessList::of(&self.groups),
                "as it would be loaded at the start"
            );
            expulsions(&changes)
        }

        fn admits(&self, who: &Trusted) -> Option<(u64, Rank)> {
            self.access_list.admit(GROUP, who).map(|it| (it.person.0, it.rank))
        }
    }

    fn user(text: &str) -> Trusted {
        Trusted::User(text.into())
    }

    #[test]
    fn a_member_is_known_by_trusted_identities_only() {
        let pair = Pair::new();
        for (who, expected) in [
            (user("user2"), Some((2, Rank::Admin))),
            (user("USER1"), Some((1, Rank::Owner))),
            (Trusted::SipUser("sip2".into()), Some((2, Rank::Admin))),
            (Trusted::Number("15552".into()), Some((2, Rank::Admin))),
            (user("user3"), None),
            (user("sip2"), None),
            (user("15552"), None),
            (Trusted::Number("9992".into()), None),
            (Trusted::SipUser("user2".into()), None),
        ] {
            assert_eq!(pair.admits(&who), expected, "{who}");
        }
        assert_eq!(pair.access_list.admit(GroupId(7), &user("user2")), None, "no such group");
    }

    #[test]
    fn a_removed_member_is_off_the_access_list_and_expelled_with_the_revision() {
        let mut pair = Pair::new();
        let before = pair.access_list.admit(GROUP, &user("user2")).unwrap().revision;
        let (group, target, reason) =
            (GroupRef::Id(GROUP), PersonRef::Id(PersonId(2)), "loud".into());
        let rule = Rule::BUNGIE;
        let expulsions = pair.ask(Ask::Remove { group, actor: None, target, rule, reason });
        let (people, reason) = (vec![PersonId(2)], Some("loud".into()));
        let revision = before + 1;
        assert_eq!(expulsions, [Expulsion { group: GROUP, revision, people, reason }]);
        assert_eq!(pair.admits(&user("user2")), None);
        pair.add(2);
        assert_eq!(pair.access_list.admit(GROUP, &user("user2")).unwrap().revision, before + 2);
    }

    #[test]
    fn a_closed_group_expels_everybody() {
        let mut pair = Pair::new();
        let (actor, rule) = (PersonId(1), Rule::KIRIMIN_LEAVE);
        let expulsions = pair.ask(Ask::Leave { group: GroupRef::Id(GROUP), actor, rule });
        let people: Vec<_> = expulsions.iter().map(|it| (it.revision, &*it.people)).collect();
        assert_eq!(people, [(3, &[PersonId(1)][..]), (4, &[PersonId(2)][..])]);
        assert_eq!((pair.admits(&user("user1")), pair.admits(&user("user2"))), (None, None));
    }

    #[test]
    fn a_person_is_not_known_by_a_name_that_they_gave_up() {
        let mut pair = Pair::new();
        pair.ask(Ask::AddPerson(Person::new(PersonId(2), "other")));
        assert_eq!(pair.admits(&user("other")), Some((2, Rank::Admin)));
        assert_eq!(pair.admits(&user("user2")), None);
        assert_eq!(pair.admits(&Trusted::SipUser("sip2".into())), None);
    }
}
