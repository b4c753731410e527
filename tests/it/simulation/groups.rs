//! The groups of a life: who is asked to go, by which dialect's rule, when that is durable, when
//! the rooms are told, and what must hold when it is answered.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use conflow::{
    engine::{
        group_writer::{Batch, Owed, Published, Reply, Writer},
        membership::AskError,
        registry::House,
    },
    group::{
        Ask, At, Audit, Change, Deed, Done, Door, GroupId, Head, Person, PersonId, Rank, Which,
        Who, rule::Rule, state::Groups,
    },
};
use fastrand::Rng;
use tokio::sync::oneshot::{self, Receiver};

use super::{account, world::World};

pub(super) const PEOPLE: u64 = 4;
const GROUPS: u64 = 2;
const RULES: [Rule; 4] =
    [Rule::BUNGIE, Rule::ROCKET_CHAT, Rule::KIRIMIN, Rule::CAPILLARY_STAYS_ACTIVE];

/// The writer of the groups, and what it is about.
pub(super) struct Office {
    writer: Writer,
    at: At,
    asks: Vec<(At, Ask, Reply)>,
    under_way: UnderWay,
    owed: VecDeque<Owed>,
    asked: VecDeque<(Out, Answer)>,
    /// What is durable.
    stored: Groups,
    members: BTreeSet<(GroupId, PersonId)>,
    closed: BTreeSet<GroupId>,
    audits: [u64; GROUPS as usize],
    /// As the audit alone has it.
    audited: BTreeSet<(GroupId, PersonId)>,
    /// How often somebody was taken out of a group for good, and not answered yet.
    out: BTreeMap<(GroupId, PersonId), u64>,
}

/// Who is to be out of which group, if that is what is asked for.
type Out = Option<(GroupId, PersonId)>;

type Answer = Receiver<Result<Done, AskError>>;

/// One batch at a time.
enum UnderWay {
    Nothing,
    Decided(Batch),
    Published(Published),
}

impl Office {
    /// Everybody is in both groups, the first as their owner.
    pub(super) fn new(house: Arc<House>) -> Self {
        let writer = Writer::new(account(), Groups::default(), Some(house));
        let (asks, owed, asked) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let (stored, members) = (Groups::default(), BTreeSet::new());
        let (under_way, audits) = (UnderWay::Nothing, [0; GROUPS as usize]);
        let (at, audited, out) = (At(1), BTreeSet::new(), BTreeMap::new());
        let closed = BTreeSet::new();
        let mut office = Self {
            writer,
            at,
            asks,
            under_way,
            owed,
            asked,
            stored,
            members,
            closed,
            audits,
            audited,
            out,
        };
        for n in 1..=PEOPLE {
            office.ask(Ask::AddPerson(Person::new(PersonId(n), &format!("user{n}"))), None);
        }
        for n in 1..=GROUPS {
            office.ask(Ask::Create(head(n)), None);
            for (person, rank) in (2..).zip([Rank::Owner, Rank::Admin, Rank::Member]) {
                let (group, target) = (Which::Id(GroupId(n)), Who::Id(PersonId(person)));
                office.ask(Ask::Add { group, actor: None, target, rank }, None);
            }
        }
        for _ in 0..3 {
            office.step(&mut Rng::with_seed(0), false);
        }
        assert_eq!(office.members.len() as u64, PEOPLE * GROUPS);
        office
    }

    /// Somebody asks, in a dialect.
    pub(super) fn somebody_asks(&mut self, rng: &mut Rng) {
        self.at.0 += rng.u64(0..50);
        let id = GroupId(rng.u64(1..=GROUPS));
        let group = Which::Id(id);
        let (actor, person) = (PersonId(rng.u64(1..=PEOPLE)), PersonId(rng.u64(1..=PEOPLE)));
        let (target, rule) = (Who::Id(person), RULES[rng.usize(0..RULES.len())]);
        // A machine asks by the last two; a group that is over with its owner ends the game.
        let is_machine = rule.is_self_leave && !rule.has_permissions;
        let is_over = is_machine && rng.u8(0..8) == 0;
        let rule = if is_over { Rule::CAPILLARY } else { rule };
        let by = (!is_machine).then_some(actor);
        let (reason, rank) = ("loud".into(), Rank::ALL[rng.usize(0..Rank::ALL.len())]);
        let (ask, out) = match rng.u8(0..12) {
            0..4 => (Ask::Remove { group, actor: by, target, rule, reason }, Some((id, person))),
            4 => {
                let until = rng.bool().then(|| At(self.at.0 + rng.u64(0..200)));
                let ask = Ask::Ban { group, actor: by, target, rule, reason, until };
                (ask, Some((id, person)))
            }
            5 => (Ask::Leave { group, actor, rule: Rule::BUNGIE }, Some((id, actor))),
            6 => (Ask::SetRank { group, actor: None, target, rank }, None),
            7 => (Ask::Unban { group, actor: None, target }, None),
            _ => (Ask::Add { group, actor: None, target, rank }, None),
        };
        // Who is out may be in again before the rooms are told.
        let (group, target) = (Which::Id(id), Who::Id(person));
        let again =
            (out.is_some() && rng.bool()).then_some(Ask::Add { group, actor: None, target, rank });
        self.ask(ask, out);
        again.into_iter().for_each(|it| self.ask(it, None));
    }

    fn ask(&mut self, ask: Ask, out: Out) {
        let (reply, answer) = oneshot::channel();
        self.asks.push((self.at, ask, reply));
        self.asked.push_back((out, answer));
    }

    /// The next step of what is under way: decide, write, tell the rooms.
    pub(super) fn step(&mut self, rng: &mut Rng, may_fail: bool) -> Option<&'static str> {
        self.under_way = match std::mem::replace(&mut self.under_way, UnderWay::Nothing) {
            UnderWay::Nothing if self.asks.is_empty() => UnderWay::Nothing,
            UnderWay::Nothing => {
                UnderWay::Decided(self.writer.decide(std::mem::take(&mut self.asks).into_iter()))
            }
            UnderWay::Decided(batch) if may_fail && rng.u8(0..12) == 0 => {
                self.owed.extend(self.writer.take_back(batch, self.stored.clone()));
                return Some("unwritten");
            }
            UnderWay::Decided(batch) => {
                self.durable(&batch.changes);
                UnderWay::Published(self.writer.publish(batch))
            }
            UnderWay::Published(published) => {
                self.owed.extend(self.writer.expel(published));
                UnderWay::Nothing
            }
        };
        None
    }

    /// What the audit says is what is, and whoever is out is owed one answer.
    fn audit(&mut self, audit: &Audit) {
        let group = audit.group;
        let Audit { deed, target, actor, .. } = *audit;
        match (deed, target.or(actor)) {
            (Deed::Created | Deed::Joined, Some(person)) => {
                assert!(self.audited.insert((group, person)), "{person} comes in twice");
            }
            (Deed::Removed | Deed::Left | Deed::Banned, Some(person)) => {
                // A machine may remove who is not in.
                if self.audited.remove(&(group, person)) {
                    *self.out.entry((group, person)).or_default() += 1;
                }
            }
            (Deed::Closed, _) => self.audited.retain(|(it, _)| *it != group),
            (Deed::Ranked | Deed::Unbanned | Deed::Applied, _) => (),
            (Deed::Denied | Deed::LinkReset, _) => (),
            (Deed::Created | Deed::Joined | Deed::Removed | Deed::Left | Deed::Banned, None) => {
                panic!("nobody is meant: {audit:?}")
            }
        }
        let of_this = |it: &BTreeSet<(GroupId, PersonId)>| -> Vec<_> {
            it.iter().filter(|(it, _)| *it == group).copied().collect()
        };
        assert_eq!(of_this(&self.audited), of_this(&self.members), "the audit of {group}");
    }

    fn durable(&mut self, changes: &[Change]) {
        // A head is there before its people, as in a store.
        let heads = changes.iter().filter(|it| matches!(it, Change::Head(_)));
        heads.chain(changes).for_each(|it| self.stored.restore(it.clone()));
        self.stored.check();
        for change in changes {
            match change {
                Change::Member(group, person, row) => {
                    match row {
                        Some(_) => self.members.insert((*group, *person)),
                        None => self.members.remove(&(*group, *person)),
                    };
                }
                Change::Audit(audit) => {
                    let last = &mut self.audits[usize::try_from(audit.group.0).unwrap() - 1];
                    *last += 1;
                    assert_eq!(audit.sequence, *last, "the audit is complete and without holes");
                    self.audit(audit);
                }
                Change::Application(..) | Change::Ban(..) => (),
                Change::Head(head) if head.is_closed => drop(self.closed.insert(head.id)),
                Change::Head(_) | Change::Person(_) => (),
            }
        }
    }

    /// Gives the answers that are due, in order, and looks at what each says.
    pub(super) fn answer(&mut self, world: &mut World) {
        while let Some(owed) = self.owed.front_mut() {
            if !owed.is_due() {
                break;
            }
            self.owed.pop_front().unwrap().pay();
            let (out, mut answer) = self.asked.pop_front().unwrap();
            let outcome = answer.try_recv().expect("one answer for each, in order");
            world.lived.insert(if outcome.is_ok() { "done" } else { "not done" });
            let Ok(Done::Removed(removed)) = outcome else { continue };
            let (group, person) = out.expect("who asked for it is told");
            assert_eq!(removed.person, person);
            if removed.was_member {
                let owed = self.out.get_mut(&(group, person)).filter(|it| 0 < **it);
                *owed.expect("a removal has one answer") -= 1;
            }
            // Back again, and about to be out again, by name or with the end of the group: the later
            // answer is for that.
            let is_closed = self.closed.contains(&group);
            let is_about = |it: &Out| *it == out || is_closed && it.is_some_and(|it| it.0 == group);
            if self.asked.iter().any(|(it, _)| is_about(it)) {
                continue;
            }
            match (self.members.contains(&(group, person)), world.is_in(group, person)) {
                (false, is_in) => assert!(!is_in, "{person} is out of {group}, and in its room"),
                (true, false) => drop(world.lived.insert("back")),
                (true, true) => drop(world.lived.insert("back in the room")),
            }
        }
        let is_quiet = self.owed.is_empty() && matches!(self.under_way, UnderWay::Nothing);
        for (group, person) in world.guarded().filter(|_| is_quiet) {
            assert!(self.members.contains(&(group, person)), "{person} in a room of {group}");
        }
    }

    /// Nothing is left to be done.
    pub(super) fn is_idle(&self) -> bool {
        let is_idle = self.asked.is_empty();
        let owed: u64 = self.out.values().sum();
        assert!(!is_idle || owed == 0, "no removal is without an answer: {:?}", self.out);
        is_idle
    }
}

fn head(n: u64) -> Head {
    Head {
        id: GroupId(n),
        name: format!("group{n}").into(),
        external_id: None,
        created: At(0),
        modified: At(0),
        creator: Some(PersonId(1)),
        revision: 0,
        is_closed: false,
        is_ownerless: false,
        door: Door::Closed,
        link: "".into(),
        members_max: 9,
    }
}
