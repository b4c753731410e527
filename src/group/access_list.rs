//! The roll: who may enter the conferences that a group guards, as far as it is durable.
//!
//! It is written behind each commit, and read at the door of a room. What is not on it yet lets
//! nobody in, and what is not off it yet has not been answered.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Change, GroupId, Name, Person, PersonId, Rank, state::Groups};
use crate::base::ids::Trusted;

/// The members of each group of one account, and what they are known by at the door.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roll {
    names: BTreeMap<Name, PersonId>,
    names_of: BTreeMap<PersonId, Vec<Name>>,
    groups: BTreeMap<GroupId, Row>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Row {
    revision: u64,
    members: BTreeMap<PersonId, Rank>,
}

/// What lets a call into a room that a group guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pass {
    /// Whose call it is.
    pub person: PersonId,
    /// What he is in the group. A promotion counts when he comes again.
    pub rank: Rank,
    /// The group's, when he was let in.
    pub revision: u64,
}

/// People are no members any more: their calls must leave the rooms that the group guards.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Expulsion {
    /// Which group.
    pub group: GroupId,
    /// Its revision after it. Whoever was let in at this one or later has come back since.
    pub revision: u64,
    /// Who.
    pub people: Vec<PersonId>,
    /// In the words of whoever removed them.
    pub reason: Option<Arc<str>>,
}

impl Roll {
    /// As a machine has it that has written all it knows.
    pub fn of(groups: &Groups) -> Self {
        let mut roll = Self::default();
        for person in groups.people.values() {
            roll.name(person);
        }
        for (id, group) in &groups.groups {
            roll.apply(&Change::Head(group.head.clone()));
            for (person, member) in group.members.iter() {
                roll.apply(&Change::Member(*id, *person, Some(*member)));
            }
        }
        roll
    }

    /// Takes up a change that is durable.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Person(person) => self.name(person),
            Change::Head(head) if head.is_closed => drop(self.groups.remove(&head.id)),
            Change::Head(head) => self.groups.entry(head.id).or_default().revision = head.revision,
            Change::Member(group, person, Some(member)) => {
                let row = self.groups.entry(*group).or_default();
                row.members.insert(*person, member.rank);
            }
            Change::Member(group, person, None) => {
                if let Some(row) = self.groups.get_mut(group) {
                    row.members.remove(person);
                }
            }
            // Who is banned is no member.
            Change::Application(..) | Change::Audit(_) | Change::Ban(..) => (),
        }
    }

    /// Whether a group lets somebody in. One that is not there, or over, lets nobody in.
    pub fn admit(&self, group: GroupId, who: &Trusted) -> Option<Pass> {
        let person = *self.names.get(&Name::trusted(who))?;
        let row = self.groups.get(&group)?;
        let rank = *row.members.get(&person)?;
        Some(Pass { person, rank, revision: row.revision })
    }

    fn name(&mut self, person: &Person) {
        for name in self.names_of.remove(&person.id).unwrap_or_default() {
            self.names.remove(&name);
        }
        let known: Vec<_> = person.names.iter().filter_map(Name::at_the_door).collect();
        self.names.extend(known.iter().map(|name| (name.clone(), person.id)));
        self.names_of.insert(person.id, known);
    }
}

/// Whom the changes of one ask have put out, in order.
pub fn expulsions(changes: &[Change]) -> Vec<Expulsion> {
    let (mut all, mut people) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Member(_, person, None) => people.push(*person),
            // Each change of a group ends with what it was.
            Change::Audit(audit) => {
                let people = std::mem::take(&mut people);
                let reason = (!audit.reason.is_empty()).then(|| Arc::from(&*audit.reason));
                let (group, revision) = (audit.group, audit.sequence);
                if !people.is_empty() {
                    all.push(Expulsion { group, revision, people, reason });
                }
            }
            Change::Member(_, _, Some(_)) | Change::Application(..) | Change::Ban(..) => (),
            Change::Head(_) | Change::Person(_) => (),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Ask, At, Done, Door, Head, Which, Who, rule::Rule};

    const GROUP: GroupId = GroupId(6);

    /// A machine and the roll that follows it: 1 is the owner of [`GROUP`], 2 is an admin.
    struct Pair {
        groups: Groups,
        roll: Roll,
    }

    impl Pair {
        fn new() -> Self {
            let mut pair = Self { groups: Groups::default(), roll: Roll::default() };
            for n in 1..=3 {
                let mut person = Person::new(PersonId(n), &format!("User{n}"));
                person.names.insert(Name::SipUser(format!("sip{n}").into()));
                person.names.insert(Name::Caller(format!("+1555{n}").into()));
                person.names.insert(Name::Mobile(format!("999{n}").into()));
                pair.ask(Ask::AddPerson(person));
            }
            let head = Head {
                id: GROUP,
                name: "weekly".into(),
                external_id: None,
                created: At(0),
                modified: At(0),
                creator: Some(PersonId(1)),
                revision: 0,
                is_closed: false,
                is_ownerless: false,
                door: Door::Reviewed,
                link: "".into(),
                members_max: 9,
            };
            pair.ask(Ask::Create(head));
            pair.add(2);
            pair
        }

        fn add(&mut self, n: u64) {
            let (group, target) = (Which::Id(GROUP), Who::Id(PersonId(n)));
            self.ask(Ask::Add { group, actor: None, target, rank: Rank::Admin });
        }

        fn ask(&mut self, ask: Ask) -> Vec<Expulsion> {
            let mut changes = Vec::new();
            let done: Done = self.groups.handle(At(1), ask, &mut changes).unwrap();
            drop(done);
            changes.iter().for_each(|it| self.roll.apply(it));
            assert_eq!(self.roll, Roll::of(&self.groups), "as it would be read at the start");
            expulsions(&changes)
        }

        fn admits(&self, who: &Trusted) -> Option<(u64, Rank)> {
            self.roll.admit(GROUP, who).map(|it| (it.person.0, it.rank))
        }
    }

    fn user(text: &str) -> Trusted {
        Trusted::User(text.into())
    }

    #[test]
    fn a_member_is_known_by_what_somebody_vouches_for() {
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
        assert_eq!(pair.roll.admit(GroupId(7), &user("user2")), None, "no such group");
    }

    #[test]
    fn who_is_out_is_off_the_roll_and_told_with_the_revision() {
        let mut pair = Pair::new();
        let before = pair.roll.admit(GROUP, &user("user2")).unwrap().revision;
        let (group, target, reason) = (Which::Id(GROUP), Who::Id(PersonId(2)), "loud".into());
        let rule = Rule::BUNGIE;
        let told = pair.ask(Ask::Remove { group, actor: None, target, rule, reason });
        let (people, reason) = (vec![PersonId(2)], Some("loud".into()));
        let revision = before + 1;
        assert_eq!(told, [Expulsion { group: GROUP, revision, people, reason }]);
        assert_eq!(pair.admits(&user("user2")), None);
        pair.add(2);
        assert_eq!(pair.roll.admit(GROUP, &user("user2")).unwrap().revision, before + 2);
    }

    #[test]
    fn a_group_that_is_over_puts_everybody_out() {
        let mut pair = Pair::new();
        let (actor, rule) = (PersonId(1), Rule::KIRIMIN_LEAVE);
        let told = pair.ask(Ask::Leave { group: Which::Id(GROUP), actor, rule });
        let people: Vec<_> = told.iter().map(|it| (it.revision, &*it.people)).collect();
        assert_eq!(people, [(3, &[PersonId(1)][..]), (4, &[PersonId(2)][..])]);
        assert_eq!((pair.admits(&user("user1")), pair.admits(&user("user2"))), (None, None));
    }

    #[test]
    fn who_has_given_up_a_name_is_not_known_by_it() {
        let mut pair = Pair::new();
        pair.ask(Ask::AddPerson(Person::new(PersonId(2), "other")));
        assert_eq!(pair.admits(&user("other")), Some((2, Rank::Admin)));
        assert_eq!(pair.admits(&user("user2")), None);
        assert_eq!(pair.admits(&Trusted::SipUser("sip2".into())), None);
    }
}
