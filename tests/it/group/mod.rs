//! Groups: the machine, lives of it, its store, and its dialects.

mod lives;
mod machine;

use conflow::group::{
    Ask, At, Change, Done, Door, GroupId, Head, Name, Permission, Person, PersonId, Rank, Refusal,
    Which, Who, rule::Rule, state::Groups,
};

pub(crate) const GROUP: GroupId = GroupId(6_000_001);
pub(crate) const NOW: At = At(1_700_000_000_000);

pub(crate) fn which() -> Which {
    Which::Id(GROUP)
}

pub(crate) fn who(n: u64) -> Who {
    Who::Id(PersonId(n))
}

pub(crate) fn head(id: GroupId, name: &str, creator: Option<u64>) -> Head {
    Head {
        id,
        name: name.into(),
        external_id: None,
        created: NOW,
        modified: NOW,
        creator: creator.map(PersonId),
        revision: 0,
        is_closed: false,
        is_ownerless: false,
        door: Door::Reviewed,
        link: "open-sesame".into(),
        members_max: 50,
    }
}

pub(crate) fn removal(actor: Option<u64>, target: u64, rule: Rule) -> Ask {
    let (actor, reason) = (actor.map(PersonId), "".into());
    Ask::Remove { group: which(), actor, target: who(target), rule, reason }
}

/// A machine, and every change that it has made.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) groups: Groups,
    pub(crate) changes: Vec<Change>,
}

impl World {
    /// Ten people, 1 to 10, of whom the first six are owner, acting owner, two admins, member and
    /// beginner of [`GROUP`]; 9 may remove from his groups, 10 from any.
    pub(crate) fn new() -> Self {
        let mut world = Self::default();
        for n in 1..=10 {
            let mut person = Person::new(PersonId(n), &format!("user{n}"));
            person.names.insert(Name::Mobile(format!("{n}").into()));
            match n {
                9 => drop(person.permissions.insert(Permission::RemoveUser)),
                10 => drop(person.permissions.insert(Permission::KickFromAny)),
                _ => (),
            }
            world.ask(Ask::AddPerson(person)).unwrap();
        }
        world.ask(Ask::Create(head(GROUP, "weekly", Some(1)))).unwrap();
        let ranks = [Rank::Acting, Rank::Admin, Rank::Admin, Rank::Member, Rank::Beginner];
        for (n, rank) in (2..).zip(ranks) {
            let (group, target) = (which(), who(n));
            world.ask(Ask::Add { group, actor: None, target, rank }).unwrap();
        }
        world
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Done, Refusal> {
        self.ask_at(NOW, ask)
    }

    pub(crate) fn ask_at(&mut self, at: At, ask: Ask) -> Result<Done, Refusal> {
        let (before, changes) = (self.groups.clone(), self.changes.len());
        let done = self.groups.handle(at, ask, &mut self.changes);
        self.groups.check();
        if done.is_err() {
            assert!(self.groups == before && self.changes.len() == changes, "a no changed it");
        }
        done
    }

    pub(crate) fn members(&mut self) -> Vec<u64> {
        let Ok(Done::Group(picture)) = self.ask(Ask::Show(which())) else { panic!("no group") };
        picture.group.members.keys().map(|it| it.0).collect()
    }
}
