//! Groups: the membership machine, and seeded lives of it.

mod lives;
mod machine;

use conflow::group::{
    Ask, Change, GroupAnswer, GroupId, GroupInfo, GroupRef, JoinPolicy, Permission, Person,
    PersonId, PersonName, PersonRef, Rank, Refusal, UnixMillis, rule::Rule, state::AccountGroups,
};

pub(crate) const GROUP: GroupId = GroupId(6_000_001);
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(crate) fn group_ref() -> GroupRef {
    GroupRef::Id(GROUP)
}

pub(crate) fn person_ref(n: u64) -> PersonRef {
    PersonRef::Id(PersonId(n))
}

pub(crate) fn group_info(id: GroupId, name: &str, creator: Option<u64>) -> GroupInfo {
    GroupInfo {
        id,
        name: name.into(),
        external_id: None,
        created: NOW,
        modified: NOW,
        creator: creator.map(PersonId),
        revision: 0,
        is_closed: false,
        is_ownerless: false,
        join_policy: JoinPolicy::Reviewed,
        link: "open-sesame".into(),
        members_max: 50,
    }
}

pub(crate) fn removal(actor: Option<u64>, target: u64, rule: Rule) -> Ask {
    let (actor, reason) = (actor.map(PersonId), "".into());
    Ask::Remove { group: group_ref(), actor, target: person_ref(target), rule, reason }
}

/// A machine and every change that it has made.
#[derive(Default)]
pub(crate) struct GroupFixture {
    pub(crate) groups: AccountGroups,
    pub(crate) changes: Vec<Change>,
}

impl GroupFixture {
    /// People 1 to 10. The first six are owner, acting owner, two admins, member and beginner of
    /// [`GROUP`]; 9 may remove from their own groups, 10 from any.
    pub(crate) fn new() -> Self {
        let mut world = Self::default();
        for n in 1..=10 {
            let mut person = Person::new(PersonId(n), &format!("user{n}"));
            person.names.insert(PersonName::Mobile(format!("{n}").into()));
            match n {
                9 => drop(person.permissions.insert(Permission::RemoveUser)),
                10 => drop(person.permissions.insert(Permission::KickFromAny)),
                _ => (),
            }
            world.ask(Ask::AddPerson(person)).unwrap();
        }
        world.ask(Ask::Create(group_info(GROUP, "weekly", Some(1)))).unwrap();
        let ranks = [Rank::Acting, Rank::Admin, Rank::Admin, Rank::Member, Rank::Beginner];
        for (n, rank) in (2..).zip(ranks) {
            let (group, target) = (group_ref(), person_ref(n));
            world.ask(Ask::Add { group, actor: None, target, rank }).unwrap();
        }
        world
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> Result<GroupAnswer, Refusal> {
        self.ask_at(NOW, ask)
    }

    pub(crate) fn ask_at(&mut self, at: UnixMillis, ask: Ask) -> Result<GroupAnswer, Refusal> {
        let (before, changes) = (self.groups.clone(), self.changes.len());
        let done = self.groups.handle(at, ask, &mut self.changes);
        self.groups.check();
        if done.is_err() {
            assert!(
                self.groups == before && self.changes.len() == changes,
                "a refusal changed the state"
            );
        }
        done
    }

    pub(crate) fn members(&mut self) -> Vec<u64> {
        let Ok(GroupAnswer::Group(snapshot)) = self.ask(Ask::Show(group_ref())) else {
            panic!("no group")
        };
        snapshot.group.members.keys().map(|it| it.0).collect()
    }
}
