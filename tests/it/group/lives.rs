//! Lives of groups: asks in a seeded order, with promises checked after each.
//!
//! The machine is a single writer, so a race is an order of asks. `SEED=7` replays one life.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use conflow::group::{
    Ask, Change, GroupAction, GroupAnswer, GroupId, GroupRef, GroupSelector, Permission, Person,
    PersonId, PersonName, PersonRef, Rank, Refusal, UnixMillis, rule::Rule, state::AccountGroups,
};

use super::{GroupFixture, NOW, group_info};
use crate::lives;

const LIVES: RangeInclusive<u64> = 150..=300;
const PEOPLE: u64 = 8;
const GROUPS: u64 = 3;
const STEPS: usize = 300;

#[test]
fn promises_hold_in_every_life() {
    let (mut actions, mut refusals) = (BTreeSet::new(), BTreeSet::new());
    let is_whole = lives::play("groups", LIVES, |seed| {
        let life = Life::live(seed);
        life.check_audit(seed);
        life.check_rows(seed);
        actions.extend(life.world.changes.iter().filter_map(action_of));
        refusals.extend(life.refusals);
    });
    if is_whole {
        // An action that has never occurred has not been tested.
        assert_eq!(actions.len(), 11, "{actions:?}");
        assert_eq!(refusals.len(), Refusal::ALL.len(), "{refusals:?}");
    }
}

fn action_of(change: &Change) -> Option<GroupAction> {
    match change {
        Change::Audit(audit) => Some(audit.action),
        Change::Person(_)
        | Change::Info(_)
        | Change::Member(..)
        | Change::Ban(..)
        | Change::Application(..) => None,
    }
}

struct Life {
    world: GroupFixture,
    refusals: BTreeSet<Refusal>,
}

impl Life {
    fn live(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut life = Self { world: GroupFixture::default(), refusals: BTreeSet::new() };
        for n in 1..=PEOPLE {
            let mut person = Person::new(PersonId(n), &format!("user{n}"));
            person.names.insert(PersonName::Mobile(format!("{n}").into()));
            match n {
                7 => drop(person.permissions.insert(Permission::RemoveUser)),
                8 => drop(person.permissions.insert(Permission::KickFromAny)),
                _ => (),
            }
            life.world.ask(Ask::AddPerson(person)).unwrap();
        }
        for n in 1..=GROUPS {
            let mut info = group_info(GroupId(n), &format!("group{n}"), Some(n));
            info.members_max = 5;
            life.world.ask(Ask::Create(info)).unwrap();
        }
        let mut at = NOW;
        for _ in 0..STEPS {
            at.0 += rng.u64(0..50);
            let ask = ask(&mut rng, at);
            let promise = Promise::of(&ask);
            let before = life.world.groups.clone();
            match life.world.ask_at(at, ask) {
                Ok(done) => promise.check(&before, &life.world.groups, &done, seed),
                Err(refusal) => drop(life.refusals.insert(refusal)),
            }
        }
        life
    }

    /// A machine restored from the last row of each key equals the original.
    fn check_rows(&self, seed: u64) {
        let key = |change: &Change| match change {
            Change::Person(it) => (0, it.id.0, 0),
            Change::Info(it) => (1, it.id.0, 0),
            Change::Member(group, person, _) => (2, group.0, person.0),
            Change::Ban(group, person, _) => (3, group.0, person.0),
            Change::Application(group, person, _) => (4, group.0, person.0),
            Change::Audit(it) => (5, it.group.0, it.sequence),
        };
        let rows = self.world.changes.iter().map(|it| (key(it), it.clone()));
        let rows: BTreeMap<(u8, u64, u64), Change> = rows.collect();
        let mut restored = AccountGroups::default();
        rows.into_values().for_each(|it| restored.restore(it));
        assert!(restored == self.world.groups, "seed {seed}: the restored machine differs");
    }

    /// The audit has no gaps, and the groups are as it says.
    fn check_audit(&self, seed: u64) {
        for n in 1..=GROUPS {
            let of_this = |it: &&Change| matches!(it, Change::Audit(it) if it.group.0 == n);
            let audits = self.world.changes.iter().filter(of_this);
            let mut members = BTreeSet::new();
            for (expected, change) in (1..).zip(audits) {
                let Change::Audit(audit) = change else { unreachable!("filtered above") };
                assert_eq!(audit.sequence, expected, "seed {seed}");
                let target = audit.target.or(audit.actor);
                match audit.action {
                    GroupAction::Created | GroupAction::Joined => members.extend(target),
                    GroupAction::Removed | GroupAction::Left | GroupAction::Banned => {
                        target.map(|it| members.remove(&it));
                    }
                    GroupAction::Closed => members.clear(),
                    GroupAction::Unbanned
                    | GroupAction::Applied
                    | GroupAction::Invited
                    | GroupAction::Denied
                    | GroupAction::Ranked
                    | GroupAction::LinkReset => (),
                }
            }
            let found = show(&self.world.groups, GroupId(n));
            assert_eq!(members, found, "seed {seed}: members of group {n}");
        }
    }
}

/// The condition that must hold after a removal.
struct Promise(Option<(GroupRef, PersonRef)>);

impl Promise {
    fn of(ask: &Ask) -> Self {
        if let Ask::Remove { group, target, .. } | Ask::Ban { group, target, .. } = ask {
            return Self(Some((group.clone(), target.clone())));
        }
        if let Ask::Leave { group, actor, .. } = ask {
            return Self(Some((group.clone(), PersonRef::Id(*actor))));
        }
        Self(None)
    }

    fn check(self, before: &AccountGroups, after: &AccountGroups, done: &GroupAnswer, seed: u64) {
        let (Some((GroupRef::Id(group), PersonRef::Id(person)))
        | Some((GroupRef::Selected(group, _), PersonRef::Id(person)))) = self.0
        else {
            return;
        };
        let GroupAnswer::Removed(removed) = done else { panic!("seed {seed}: {done:?}") };
        assert_eq!(removed.was_member, show(before, group).contains(&person), "seed {seed}");
        assert!(!show(after, group).contains(&person), "seed {seed}: {person} is still a member");
    }
}

fn show(groups: &AccountGroups, id: GroupId) -> BTreeSet<PersonId> {
    let shown = groups.clone().handle(NOW, Ask::Show(GroupRef::Id(id)), &mut Vec::new());
    let Ok(GroupAnswer::Group(snapshot)) = shown else { panic!("no {id}") };
    snapshot.group.members.keys().copied().collect()
}

fn ask(rng: &mut fastrand::Rng, at: UnixMillis) -> Ask {
    let group = GroupId(rng.u64(1..GROUPS + 2));
    let group = match rng.u32(0..8) {
        0 => {
            let owner = PersonId(rng.u64(1..=PEOPLE));
            GroupRef::Selected(group, [GroupSelector::Owner(Some(owner))].into())
        }
        _ => GroupRef::Id(group),
    };
    let actor = PersonId(rng.u64(1..=PEOPLE));
    let target = PersonRef::Id(PersonId(rng.u64(1..PEOPLE + 2)));
    // Closing is rare, because little can happen afterwards.
    let rule = match rng.u32(0..40) {
        0 => Rule::CAPILLARY,
        1..4 => Rule::CAPILLARY_STAYS_ACTIVE,
        4..18 => Rule::BUNGIE,
        18..32 => Rule::ROCKET_CHAT,
        _ => Rule::KIRIMIN,
    };
    let maybe = rng.bool().then_some(actor);
    let rank = [Rank::Beginner, Rank::Member, Rank::Admin, Rank::Acting, Rank::Owner];
    let (rank, reason) = (rank[rng.usize(0..rank.len())], "".into());
    match rng.u32(0..12) {
        0..3 => {
            let is_machines = rule.is_self_leave && !rule.has_permissions;
            let actor = (!is_machines).then_some(actor);
            Ask::Remove { group, actor, target, rule, reason }
        }
        3 => {
            let until = rng.bool().then(|| UnixMillis(at.0 + rng.u64(0..2_000)));
            Ask::Ban { group, actor: Some(actor), target, rule: Rule::BUNGIE, reason, until }
        }
        4 => Ask::Unban { group, actor: maybe, target },
        5 => Ask::Leave { group, actor, rule },
        6 => Ask::Add { group, actor: maybe, target, rank },
        7 | 8 => Ask::Apply { group, actor },
        9 => Ask::Decide { group, actor: maybe, target, is_approved: rng.bool() },
        10 => match rng.u32(0..6) {
            0 => Ask::ResetLink { group, actor, link: "open-sesame".into() },
            1 => Ask::AddPerson(Person::new(actor, "user1")),
            2 => Ask::Join { group, actor, link: "guess".into() },
            3 => Ask::AddFirstOwner { group, actor: maybe, target },
            4 => {
                let mut info = group_info(GroupId(1), "group1", Some(actor.0));
                info.members_max = 5;
                Ask::CreateOwn { info, own_max: 1 }
            }
            _ => Ask::Join { group, actor, link: "open-sesame".into() },
        },
        _ => Ask::SetRank { group, actor: maybe, target, rank },
    }
}
