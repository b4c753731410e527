//! Groups of a life: removals by each dialect's rule, their durability, the notification of the
//! rooms, and the promises when they are answered.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use conflow::{
    engine::{
        group_writer::{AskBatch, GroupReply, GroupWriter, PendingReply, PublishedBatch},
        membership::GroupAskError,
        registry::Registry,
    },
    group::{
        Ask, Change, GroupAction, GroupAnswer, GroupAuditEntry, GroupId, GroupInfo, GroupRef,
        JoinPolicy, Person, PersonId, PersonRef, Rank, UnixMillis, access_list::AccessList,
        rule::Rule, state::AccountGroups,
    },
    store::rows::WriteError,
};
use fastrand::Rng;
use tokio::sync::oneshot::{self, Receiver};

use super::{account, world::World};

pub(super) const PEOPLE: u64 = 4;
const GROUPS: u64 = 2;
const RULES: [Rule; 4] =
    [Rule::BUNGIE, Rule::ROCKET_CHAT, Rule::KIRIMIN, Rule::CAPILLARY_STAYS_ACTIVE];

/// The groups' writer, and its state.
pub(super) struct GroupWriterDriver {
    writer: GroupWriter,
    at: UnixMillis,
    asks: Vec<(UnixMillis, Ask, GroupReply)>,
    under_way: BatchState,
    pending: VecDeque<PendingReply>,
    asked: VecDeque<(Out, Answer)>,
    stored: AccountGroups,
    members: BTreeSet<(GroupId, PersonId)>,
    closed: BTreeSet<GroupId>,
    audits: [u64; GROUPS as usize],
    /// The membership according to the audit alone.
    audited: BTreeSet<(GroupId, PersonId)>,
    /// The number of removals per person that have not been answered yet.
    out: BTreeMap<(GroupId, PersonId), u64>,
}

/// The person whom an ask removes, if it removes one.
type Out = Option<(GroupId, PersonId)>;

type Answer = Receiver<Result<GroupAnswer, GroupAskError>>;

/// One batch at a time.
enum BatchState {
    Nothing,
    Decided(AskBatch),
    Published(PublishedBatch),
}

impl GroupWriterDriver {
    /// Everybody is in both groups; the first person is the owner.
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        let writer = GroupWriter::new(account(), AccountGroups::default(), Some(registry));
        let (asks, owed, asked) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let (stored, members) = (AccountGroups::default(), BTreeSet::new());
        let (under_way, audits) = (BatchState::Nothing, [0; GROUPS as usize]);
        let (at, audited, out) = (UnixMillis(1), BTreeSet::new(), BTreeMap::new());
        let closed = BTreeSet::new();
        let mut driver = Self {
            writer,
            at,
            asks,
            under_way,
            pending: owed,
            asked,
            stored,
            members,
            closed,
            audits,
            audited,
            out,
        };
        for n in 1..=PEOPLE {
            driver.ask(Ask::AddPerson(Person::new(PersonId(n), &format!("user{n}"))), None);
        }
        for n in 1..=GROUPS {
            driver.ask(Ask::Create(head(n)), None);
            for (person, rank) in (2..).zip([Rank::Owner, Rank::Admin, Rank::Member]) {
                let (group, target) = (GroupRef::Id(GroupId(n)), PersonRef::Id(PersonId(person)));
                driver.ask(Ask::Add { group, actor: None, target, rank }, None);
            }
        }
        for _ in 0..3 {
            driver.step(&mut Rng::with_seed(0), false);
        }
        assert_eq!(driver.members.len() as u64, PEOPLE * GROUPS);
        driver
    }

    /// The writer of a new process, with what is stored.
    pub(super) fn restart(&mut self, registry: Arc<Registry>) {
        registry.set_access_list(account(), AccessList::of(&self.stored));
        self.writer = GroupWriter::new(account(), self.stored.clone(), Some(registry));
        (self.asks, self.under_way) = (Vec::new(), BatchState::Nothing);
        self.pending.clear();
        self.asked.clear();
        self.out.clear();
    }

    /// A random ask in a random dialect.
    pub(super) fn somebody_asks(&mut self, rng: &mut Rng) {
        self.at.0 += rng.u64(0..50);
        let id = GroupId(rng.u64(1..=GROUPS));
        let group = GroupRef::Id(id);
        let (actor, person) = (PersonId(rng.u64(1..=PEOPLE)), PersonId(rng.u64(1..=PEOPLE)));
        let (target, rule) = (PersonRef::Id(person), RULES[rng.usize(0..RULES.len())]);
        // The last two have no actor. A group closed with its owner would end the life early.
        let is_machine = rule.is_self_leave && !rule.has_permissions;
        let is_over = is_machine && rng.u8(0..8) == 0;
        let rule = if is_over { Rule::CAPILLARY } else { rule };
        let by = (!is_machine).then_some(actor);
        let (reason, rank) = ("loud".into(), Rank::ALL[rng.usize(0..Rank::ALL.len())]);
        let (ask, out) = match rng.u8(0..12) {
            0..4 => (Ask::Remove { group, actor: by, target, rule, reason }, Some((id, person))),
            4 => {
                let until = rng.bool().then(|| UnixMillis(self.at.0 + rng.u64(0..200)));
                let ask = Ask::Ban { group, actor: by, target, rule, reason, until };
                (ask, Some((id, person)))
            }
            5 => (Ask::Leave { group, actor, rule: Rule::BUNGIE }, Some((id, actor))),
            6 => (Ask::SetRank { group, actor: None, target, rank }, None),
            7 => (Ask::Unban { group, actor: None, target }, None),
            _ => (Ask::Add { group, actor: None, target, rank }, None),
        };
        // A removed person may be admitted again before the rooms are told.
        let (group, target) = (GroupRef::Id(id), PersonRef::Id(person));
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

    /// Takes the next step of the current batch: decide, write, tell the rooms.
    pub(super) fn step(&mut self, rng: &mut Rng, may_fail: bool) -> Option<&'static str> {
        self.under_way = match std::mem::replace(&mut self.under_way, BatchState::Nothing) {
            BatchState::Nothing if self.asks.is_empty() => BatchState::Nothing,
            BatchState::Nothing => {
                BatchState::Decided(self.writer.decide(std::mem::take(&mut self.asks).into_iter()))
            }
            BatchState::Decided(batch) if may_fail && rng.u8(0..12) == 0 => {
                self.pending.extend(GroupWriter::refuse(batch, &WriteError::Full));
                self.writer.take_back(self.stored.clone());
                return Some("unwritten");
            }
            BatchState::Decided(batch) => {
                self.durable(&batch.changes);
                BatchState::Published(self.writer.publish(batch))
            }
            BatchState::Published(published) => {
                self.pending.extend(self.writer.expel(published));
                BatchState::Nothing
            }
        };
        None
    }

    /// Checks the audit against the membership, and notes an answer due per removal.
    fn audit(&mut self, audit: &GroupAuditEntry) {
        let group = audit.group;
        let GroupAuditEntry { action: deed, target, actor, .. } = *audit;
        match (deed, target.or(actor)) {
            (GroupAction::Created | GroupAction::Joined, Some(person)) => {
                assert!(self.audited.insert((group, person)), "{person} comes in twice");
            }
            (GroupAction::Removed | GroupAction::Left | GroupAction::Banned, Some(person)) => {
                // A machine may remove a person who is not a member.
                if self.audited.remove(&(group, person)) {
                    *self.out.entry((group, person)).or_default() += 1;
                }
            }
            (GroupAction::Closed, _) => self.audited.retain(|(it, _)| *it != group),
            (GroupAction::Ranked | GroupAction::Unbanned | GroupAction::Applied, _) => (),
            (GroupAction::Denied | GroupAction::Invited | GroupAction::LinkReset, _) => (),
            (
                GroupAction::Created
                | GroupAction::Joined
                | GroupAction::Removed
                | GroupAction::Left
                | GroupAction::Banned,
                None,
            ) => {
                panic!("no target: {audit:?}")
            }
        }
        let of_this = |it: &BTreeSet<(GroupId, PersonId)>| -> Vec<_> {
            it.iter().filter(|(it, _)| *it == group).copied().collect()
        };
        assert_eq!(of_this(&self.audited), of_this(&self.members), "the audit of {group}");
    }

    fn durable(&mut self, changes: &[Change]) {
        // The group's row precedes its people, as in a store.
        let heads = changes.iter().filter(|it| matches!(it, Change::Info(_)));
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
                Change::Info(head) if head.is_closed => drop(self.closed.insert(head.id)),
                Change::Info(_) | Change::Person(_) => (),
            }
        }
    }

    /// Gives the answers that are due, in order, and checks each.
    pub(super) fn answer(&mut self, world: &mut World) {
        while let Some(owed) = self.pending.front_mut() {
            if !owed.is_ready() {
                break;
            }
            self.pending.pop_front().unwrap().send();
            let (out, mut answer) = self.asked.pop_front().unwrap();
            let outcome = answer.try_recv().expect("one answer for each, in order");
            world.lived.insert(if outcome.is_ok() { "done" } else { "not done" });
            let Ok(GroupAnswer::Removed(removed)) = outcome else { continue };
            let (group, person) = out.expect("the ask has a target");
            assert_eq!(removed.person, person);
            if removed.was_member {
                let owed = self.out.get_mut(&(group, person)).filter(|it| 0 < **it);
                *owed.expect("each removal has one answer") -= 1;
            }
            // The person is back, and about to be removed again, by name or with the end of the
            // group. The later answer is for that removal.
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
        let is_quiet = self.pending.is_empty() && matches!(self.under_way, BatchState::Nothing);
        for (group, person) in world.guarded().filter(|_| is_quiet) {
            assert!(self.members.contains(&(group, person)), "{person} in a room of {group}");
        }
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_idle(&self) -> bool {
        let is_idle = self.asked.is_empty();
        let owed: u64 = self.out.values().sum();
        assert!(!is_idle || owed == 0, "no removal is without an answer: {:?}", self.out);
        is_idle
    }
}

fn head(n: u64) -> GroupInfo {
    GroupInfo {
        id: GroupId(n),
        name: format!("group{n}").into(),
        external_id: None,
        created: UnixMillis(0),
        modified: UnixMillis(0),
        creator: Some(PersonId(1)),
        revision: 0,
        is_closed: false,
        is_ownerless: false,
        join_policy: JoinPolicy::Closed,
        link: "".into(),
        members_max: 9,
    }
}
