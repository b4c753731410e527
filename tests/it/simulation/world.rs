//! World: what can be observed of a registry from outside, and the promises that must hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use conflow::{
    base::ids::{CallId, MemberId, RoomId},
    call::{Call, CallEvent},
    conference::{
        Ask, ConferenceAnswer, ConferenceEvent as RoomNews, MemberInfo, MemberSelector, Notice,
        Outcome,
    },
    documents::{DocumentFetch, DocumentRecipient, DocumentStore, LocalFlow, OnDocument},
    engine::{registry::Observed, restore::PlannedPlace},
    flow::{AfterExit, Branch, Cause, Exit, Fetched, Flow, Purpose, Verb},
    group::{GroupId, PersonId},
    media::{
        AudioEngine, AudioOrder, MemberAudio, Program, SignallingBackend, SignallingOrder,
        SoundKind, SoundToAll,
    },
    state_log::StateLog,
    trace::Initiator,
};
use parking_lot::Mutex;

use super::crashes::{Found, is_dead};

/// Everything observed so far.
#[derive(Default)]
pub(super) struct World {
    pub(super) calls: BTreeMap<CallId, CallSeen>,
    pub(super) members: BTreeMap<MemberId, (RoomId, CallId)>,
    exits: BTreeSet<MemberId>,
    rooms: BTreeMap<RoomId, RoomSeen>,
    inside: BTreeMap<CallId, RoomId>,
    muted: BTreeMap<CallId, bool>,
    deaf: BTreeMap<CallId, bool>,
    /// Those in a room who hear nobody in it, and are not heard.
    waiting: BTreeSet<CallId>,
    pub(super) playing: Vec<(CallId, u32)>,
    pub(super) played: BTreeSet<(CallId, u32)>,
    pub(super) hung_up: BTreeSet<CallId>,
    /// Documents that have been requested.
    pub(super) pending_fetches: Vec<(DocumentFetch, OnDocument)>,
    pub(super) lived: BTreeSet<&'static str>,
    /// Whether faults may be injected into rooms in this life.
    pub(super) may_inject_faults: bool,
    /// The log of a process that may die.
    log: Option<Arc<StateLog>>,
}

/// The observed state of a call.
#[derive(Debug, Default)]
pub(super) struct CallSeen {
    /// The number of elements of its document that have begun.
    begun: u32,
    /// Its exit has been announced, and it has not been released yet.
    exits: bool,
    /// It was released alive and has not continued yet.
    must_go_on: bool,
    /// It had hung up before its release, so nothing may begin.
    doomed: bool,
    ended: bool,
    /// Its end has been ordered, which comes after it is told.
    is_hung_up: bool,
    /// The number of the playing program that it waits for.
    awaits: Option<u32>,
    /// The document that it waits for.
    reads: Option<AwaitedDocument>,
    pub(super) flow: Option<Arc<Flow>>,
    /// The exit by which it left its conference, until it continues.
    left: Option<Exit>,
    /// Whether it is an outgoing call.
    pub(super) is_out: bool,
    /// Whether its far end has answered.
    pub(super) picked_up: bool,
    answered: bool,
    /// The trusted identity of the caller.
    pub(super) person: Option<PersonId>,
    /// The number of transfers.
    transfers: u32,
    transfers_answered: u32,
    /// Whether its phone outlives the process.
    pub(super) stands: bool,
    /// The process that begins has restored it.
    is_restored: bool,
}

/// A document that has been requested, and may have arrived.
#[derive(Debug)]
struct AwaitedDocument {
    number: u32,
    purpose: Purpose,
    came: Option<Fetched>,
}

#[derive(Default)]
struct RoomSeen {
    sequence: u64,
    /// It has the floor, and its unmuting is to come: notices are told before orders are carried out.
    unmutes: Option<CallId>,
    exits: usize,
    is_over: bool,
    /// The process that begins has restored it.
    is_restored: bool,
    in_room: BTreeSet<MemberId>,
    group: Option<GroupId>,
}

impl World {
    /// A process begins, whose log is this; everything in the last one has died.
    pub(super) fn begin(&mut self, log: Arc<StateLog>) {
        for seen in self.calls.values_mut() {
            if !std::mem::take(&mut seen.is_restored) {
                (seen.ended, seen.exits, seen.must_go_on) = (true, false, false);
            }
        }
        for room in self.rooms.values_mut() {
            if !std::mem::take(&mut room.is_restored) {
                room.is_over = true;
                room.in_room.clear();
            }
        }
        self.inside.clear();
        self.muted.clear();
        self.deaf.clear();
        self.waiting.clear();
        self.playing.clear();
        self.pending_fetches.clear();
        self.log = Some(log);
    }

    /// A process begins that restores calls of the last one: those of `found`, of whose phones those in
    /// `stands` are still there. `is_settled`: all who have asked for flags are answered.
    pub(super) fn revive(
        &mut self,
        log: Arc<StateLog>,
        found: &Found,
        stands: &BTreeSet<CallId>,
        is_settled: bool,
    ) {
        let mut members: BTreeMap<RoomId, BTreeSet<MemberId>> = BTreeMap::new();
        for (call, seen) in &self.calls {
            let must_stand = seen.stands && seen.answered && !seen.ended && !found.is_other_boot;
            assert!(!must_stand || found.plan.has(*call), "{call} is not restored: {seen:?}");
        }
        for (call, place) in found.plan.places() {
            self.lived.insert("restored");
            let seen = self.calls.get_mut(&call.id).unwrap();
            assert!(!seen.ended && seen.stands, "{} is restored", call.id);
            // The process may have died between what it wrote and what the world saw of it.
            seen.answered = true;
            seen.restore(call, &self.played, matches!(place, PlannedPlace::Left(..)));
            if !stands.contains(&call.id) {
                self.hung_up.insert(call.id);
                self.lived.insert("restored to hang up");
            }
            match place {
                PlannedPlace::Alone => (),
                PlannedPlace::Left(room, member) => {
                    assert_eq!(self.members[&member], (room, call.id));
                    if self.exits.insert(member) {
                        let room = self.rooms.get_mut(&room).expect("its members have been seen");
                        assert!(room.in_room.remove(&member), "{member} leaves once");
                        room.exits += 1;
                    }
                    self.lived.insert("restored once out");
                }
                PlannedPlace::Pair(_) => unreachable!("no flow of a life dials"),
                PlannedPlace::Member(row) => {
                    let is_new = self.members.insert(row.member, (row.room, call.id));
                    assert!(is_new.is_none_or(|it| it == (row.room, call.id)), "another id");
                    if is_new.is_none() {
                        self.rooms.entry(row.room).or_default().in_room.insert(row.member);
                    }
                    members.entry(row.room).or_default().insert(row.member);
                    self.lived.insert("restored in a room");
                    if is_settled {
                        let is =
                            |flags: &BTreeMap<CallId, bool>| flags.get(&call.id) == Some(&true);
                        assert_eq!((row.muted, row.deaf), (is(&self.muted), is(&self.deaf)));
                    }
                }
            }
        }
        for (id, room) in &mut self.rooms {
            let Some(members) = members.remove(id) else { continue };
            assert!(!room.is_over, "a room is restored after its end");
            assert!(members.is_subset(&room.in_room), "{members:?} of {:?}", room.in_room);
            let lost: Vec<_> = room.in_room.difference(&members).copied().collect();
            room.exits += lost.len();
            self.exits.extend(lost);
            (room.in_room, room.is_restored) = (members, true);
            room.sequence = found.sequences[id];
            room.unmutes = None;
        }
        assert!(members.is_empty(), "rooms nobody has seen: {members:?}");
        self.begin(log);
    }

    /// Whether the process has died: what it does then is not seen.
    fn is_dead(&self) -> bool {
        self.log.as_ref().is_some_and(|it| is_dead(it))
    }

    pub(super) fn see(&mut self, trace: Observed) {
        if self.is_dead() {
            return;
        }
        match trace {
            Observed::Began { call, step, .. } => self.began(call, step),
            Observed::Left { call, member, exit, by } => {
                let cause = exit.cause;
                let announced = self.members.contains_key(&member);
                assert!(!self.inside.contains_key(&call), "{call} is still in the mix");
                let doomed = self.hung_up.contains(&call);
                let seen = self.calls.get_mut(&call).unwrap();
                assert!(!seen.must_go_on, "{call} leaves once");
                assert_eq!(seen.exits, announced, "the exit of {call} was not announced first");
                assert!(!(announced && cause == Cause::Full), "{call} was never a member");
                let may_be_new = [Cause::Full, Cause::Fault].contains(&cause);
                assert!(announced || may_be_new, "{call} is announced before it leaves");
                let goes_on = exit.then != AfterExit::HangUp;
                (seen.exits, seen.must_go_on, seen.doomed) = (false, goes_on, doomed);
                seen.left = Some(exit);
                self.lived.insert(cause.text());
                // The asks here have no requester, but a call taken along names the member who
                // caused it.
                let is_taken = [Cause::Alone, Cause::Ended].contains(&cause);
                let is_named = matches!(by, Some(Initiator::Call(other)) if other != call);
                assert!(
                    is_taken == is_named || self.may_inject_faults || self.log.is_some(),
                    "{call} left by {by:?}: {cause:?}"
                );
            }
            Observed::Turn(_) => unreachable!("it comes event by event"),
            Observed::Attempted { .. } | Observed::RecordingChanged { .. } => (),
            Observed::Dialled { .. } => unreachable!("no flow of a life dials"),
            Observed::Recording { .. } => unreachable!("a life is not recorded"),
            Observed::Fetched { .. } | Observed::PassedOver { .. } | Observed::Resumed { .. } => (),
            Observed::Fetching { .. } | Observed::Warned { .. } | Observed::Requested { .. } => (),
            Observed::Call { call, event: CallEvent::Begun | CallEvent::Rang, .. } => {
                assert!(!self.calls[&call].ended && !self.calls[&call].answered, "{call} is young");
            }
            Observed::Call { call, event: CallEvent::Answered, .. } => {
                let seen = self.calls.get_mut(&call).unwrap();
                assert!(!seen.answered && !seen.ended, "{call} is answered once");
                assert!(!seen.is_out || seen.picked_up, "the far end of {call} has not answered");
                seen.answered = true;
                self.lived.insert("answered");
            }
            Observed::Call { call, event: CallEvent::Ended(_), .. } => {
                let seen = self.calls.get_mut(&call).unwrap();
                assert!(!seen.ended, "{call} ends once");
                (seen.ended, seen.must_go_on) = (true, false);
                assert!(!self.inside.contains_key(&call), "{call} is still in the mix");
                self.playing.retain(|(it, _)| *it != call);
            }
            Observed::Notice { room, notice } => self.hear(room.id, notice),
            Observed::Refused { call, cause } => {
                assert!(cause != Cause::Fault, "{call} met a dead room");
                self.lived.insert(cause.text());
                let goes_on = Exit::from(cause).then == AfterExit::Onward;
                let seen = self.calls.get_mut(&call).unwrap();
                (seen.must_go_on, seen.left) = (goes_on, Some(cause.into()));
            }
            Observed::Requeued { .. } => drop(self.lived.insert("passed on")),
        }
    }

    fn began(&mut self, call: CallId, step: u32) {
        let seen = self.calls.get_mut(&call).unwrap();
        assert!(!seen.ended, "{call} continues after its end");
        assert!(!seen.exits, "{call} continues before it is released");
        assert!(!seen.is_out || seen.answered, "{call} is not answered yet");
        let expected = seen.next();
        if expected != 0 && expected != seen.begun {
            self.lived.insert("branched");
        }
        assert_eq!(step, expected, "{call} continues at the right element");
        if let Some(number) = seen.awaits.take() {
            assert!(self.played.contains(&(call, number)), "{call} was still speaking");
        }
        seen.must_go_on = false;
        seen.begun = step + 1;
    }

    fn hear(&mut self, id: RoomId, Notice { sequence, event: news }: Notice) {
        let room = self.rooms.entry(id).or_default();
        room.sequence += 1;
        assert_eq!(sequence, room.sequence, "the sequence has a gap");
        assert!(!room.is_over, "{news:?} comes after the end");
        assert_eq!(room.unmutes, None, "the muted have no floor");
        match news {
            RoomNews::Entered { who: MemberInfo { member, call, .. }, is_first, group } => {
                if is_first && room.exits == 0 {
                    room.group = group;
                }
                assert!(self.members.insert(member, (id, call)).is_none(), "{member} comes twice");
                assert_eq!(is_first, room.in_room.is_empty());
                room.in_room.insert(member);
            }
            RoomNews::Exited {
                who: MemberInfo { member, call, .. },
                cause,
                reason,
                is_last,
                ..
            } => {
                assert!(room.in_room.remove(&member), "{member} exits once");
                assert!(cause != Cause::Alone || 0 < room.exits, "{member} waits for company");
                assert_eq!(self.members[&member], (id, call));
                room.exits += 1;
                self.calls.get_mut(&call).unwrap().exits = true;
                self.exits.insert(member);
                let may_say_why = [Cause::Kicked, Cause::GroupKicked].contains(&cause);
                assert!(reason.is_some() == may_say_why || cause == Cause::GroupKicked);
                assert!(cause != Cause::GroupKicked || room.group.is_some());
                assert!(!is_last || room.in_room.is_empty(), "{member} is not the last");
            }
            RoomNews::DigitsMatched { who: MemberInfo { member, .. }, .. } => {
                assert!(room.in_room.contains(&member), "{member} is outside");
                self.lived.insert("digits");
            }
            RoomNews::FloorTaken { who: MemberInfo { member, call, .. } } => {
                assert!(room.in_room.contains(&member), "{member} is outside");
                room.unmutes = self.muted.get(&call).is_some_and(|it| *it).then_some(call);
                self.lived.insert("floor");
            }
            RoomNews::Over => {
                assert!(room.in_room.is_empty(), "left behind: {:?}", room.in_room);
                room.is_over = true;
            }
            RoomNews::Started => (),
        }
    }

    fn order(&mut self, order: AudioOrder) {
        if self.is_dead() {
            return;
        }
        match order {
            AudioOrder::Place { room, calls, hears } => {
                for call in calls {
                    match hears {
                        MemberAudio::Room => self.waiting.remove(&call),
                        MemberAudio::Wait(_) => self.waiting.insert(call),
                    };
                    let before = self.inside.insert(call, room.id);
                    assert!(before.is_none_or(|it| it == room.id), "{call} is in two rooms");
                }
            }
            AudioOrder::Remove { room, calls } => {
                for call in calls {
                    // A panic can strike between the notice of an entry and the placement in the
                    // mix.
                    let before = self.inside.remove(&call);
                    let is_new = before.is_none() && self.may_inject_faults;
                    assert!(is_new || before == Some(room), "{call} is in the room");
                    self.muted.remove(&call);
                    self.deaf.remove(&call);
                    self.waiting.remove(&call);
                }
            }
            AudioOrder::Mute { room, calls, on } => {
                set(&mut self.muted, &calls, on);
                let room = self.rooms.entry(room).or_default();
                room.unmutes = room.unmutes.filter(|it| on || !calls.contains(it));
            }
            AudioOrder::Deafen { room, calls, on } => {
                self.are_in(room, &calls);
                set(&mut self.deaf, &calls, on);
            }
            AudioOrder::Announce { room, calls, .. } | AudioOrder::Hush { room, calls, .. } => {
                self.are_in(room, &calls);
            }
            AudioOrder::ToRoom { room, sound } => match *sound {
                SoundToAll::Play { member: call, .. }
                | SoundToAll::RelayDigit { from: call, .. } => self.are_in(room, &[call]),
                SoundToAll::Hush { .. } => (),
            },
            AudioOrder::Play { call, number, program }
            | AudioOrder::PlayOn { call, number, program, .. } => {
                self.play(call, number, &program);
            }
            AudioOrder::SendDigits { call, number, .. } => self.play(call, number, &[].into()),
            AudioOrder::Stop { call } => {
                self.calls.get_mut(&call).unwrap().awaits = None;
                self.playing.retain(|(it, _)| *it != call);
            }
            AudioOrder::PlayOver { .. } | AudioOrder::StopOver { .. } => {}
            AudioOrder::Record { .. } | AudioOrder::StopRecording { .. } => {}
            AudioOrder::Prepare { call, .. } => {
                assert!(!self.calls[&call].ended, "{call} prepares after its end");
            }
        }
    }

    fn signal(&mut self, order: &SignallingOrder) {
        if self.is_dead() {
            return;
        }
        let seen = self.calls.get_mut(&order.call()).unwrap();
        let is_over = seen.ended;
        match order {
            SignallingOrder::Answer { call }
            | SignallingOrder::Dial { call, .. }
            | SignallingOrder::EarlyMedia { call } => {
                assert!(!is_over, "{call} is picked up after its end");
            }
            SignallingOrder::End { call, .. } => {
                assert!(is_over && !seen.is_hung_up, "{call} ends once, and is told first");
                seen.is_hung_up = true;
            }
        }
    }

    fn play(&mut self, call: CallId, number: u32, program: &Program) {
        let seen = self.calls.get_mut(&call).unwrap();
        assert!(!seen.doomed, "{call} has hung up, and continues");
        assert!(!self.inside.contains_key(&call), "{call} is in a room, and alone");
        // A prompt may be interrupted; other programs are awaited.
        let is_prompt = program.iter().any(|sound| match &sound.what {
            SoundKind::Speech { text, .. } => &**text == "prompt",
            SoundKind::Beep(_) | SoundKind::Silence(_) | SoundKind::Url(_) => false,
        });
        seen.awaits = (!is_prompt).then_some(number);
        self.playing.retain(|(it, _)| *it != call);
        self.playing.push((call, number));
    }

    /// Whether a person has a call in a room that a group guards.
    pub(super) fn is_in(&self, group: GroupId, person: PersonId) -> bool {
        self.guarded().any(|it| it == (group, person))
    }

    /// The persons in rooms that groups guard. A caller without an identity must not be there.
    pub(super) fn guarded(&self) -> impl Iterator<Item = (GroupId, PersonId)> {
        let of_room = move |(room, group): (&RoomSeen, GroupId)| {
            let calls: Vec<_> = room.in_room.iter().map(|it| self.members[it].1).collect();
            calls.into_iter().map(move |it| {
                let person = self.calls[&it].person;
                (group, person.expect("a caller without identity was admitted"))
            })
        };
        self.rooms.values().filter_map(|it| Some((it, it.group?))).flat_map(of_room)
    }

    fn are_in(&self, room: RoomId, calls: &[CallId]) {
        for call in calls {
            assert_eq!(self.inside.get(call), Some(&room), "{call} is in the room");
        }
    }

    fn asked(&mut self, fetch: DocumentFetch, done: OnDocument) {
        if self.is_dead() {
            return;
        }
        let DocumentFetch { call, recipient: reader, .. } = &fetch;
        if let DocumentRecipient::Call { number } = reader {
            let seen = self.calls.get_mut(call).unwrap();
            assert!(!seen.doomed, "{call} has hung up, and reads on");
            assert!(!seen.ended, "{call} reads after its end");
            let (number, purpose) = (*number, fetch.request.purpose);
            (seen.must_go_on, seen.reads) =
                (false, Some(AwaitedDocument { number, purpose, came: None }));
            seen.check_may_ask(purpose);
            seen.left = None;
            assert!(!self.inside.contains_key(call), "{call} reads, and is in a room");
            seen.transfers += u32::from(fetch.request.purpose == Purpose::Transfer);
        }
        self.pending_fetches.push((fetch, done));
    }

    /// Notes a document that is about to arrive.
    pub(super) fn fetched(&mut self, fetch: &DocumentFetch, document: &Fetched) {
        self.lived.insert(if document.is_ok() { "fetched" } else { "missing" });
        if document.is_err() && fetch.request.purpose == Purpose::Answer {
            self.lived.insert("spared");
        }
        let DocumentRecipient::Call { number } = fetch.recipient else { return };
        let Some(seen) = self.calls.get_mut(&fetch.call) else { return };
        if let Some(reads) = &mut seen.reads
            && reads.number == number
        {
            reads.came = Some(document.clone());
        }
    }

    /// Checks that what an answer says has happened everywhere, with its consequences.
    pub(super) fn check_reply(&self, ask: &Ask, outcome: &Outcome) {
        let members = match outcome {
            Ok(ConferenceAnswer::Members(members) | ConferenceAnswer::Banned { members, .. }) => {
                members
            }
            Ok(ConferenceAnswer::Departures(departures)) => {
                let room = self.members[&departures[0].member].0;
                let in_room = &self.rooms[&room].in_room;
                assert!(
                    departures.iter().all(|it| in_room.contains(&it.member)),
                    "not in the room"
                );
                return;
            }
            Ok(ConferenceAnswer::Roster(roster)) => {
                let listed: BTreeSet<_> = roster.members.iter().map(|it| it.member).collect();
                let room = self.members[listed.first().unwrap()].0;
                assert_eq!(listed, self.rooms[&room].in_room, "the roster differs");
                return;
            }
            Ok(ConferenceAnswer::Callee(_)) | Err(_) => return,
        };
        let rooms: BTreeSet<RoomId> = members.iter().map(|it| self.members[it].0).collect();
        assert_eq!(rooms.len(), 1, "an ask is about one room");
        let in_room = &self.rooms[rooms.first().unwrap()].in_room;
        match ask {
            Ask::Kick { who, .. } | Ask::HangUp { who } => {
                for member in members {
                    assert!(self.exits.contains(member), "{member} is still in");
                }
                assert!(
                    *who != MemberSelector::All || in_room.is_empty(),
                    "forgotten: {in_room:?}"
                );
                self.check_gone_on(&rooms);
            }
            Ask::Mute { who, on } => self.check_flags(members, in_room, who, &self.muted, *on),
            Ask::Deafen { who, on } => self.check_flags(members, in_room, who, &self.deaf, *on),
            Ask::Announce { .. } | Ask::Hush { .. } | Ask::Roster => (),
            Ask::Hold { on: true, .. } => self.check_held(members),
            Ask::Hold { on: false, .. } => (),
            Ask::Callee { .. } => unreachable!("not asked in this simulation"),
            // Checked with the transfers of calls outside of rooms.
            Ask::Transfer { .. } => (),
            // The rooms answer the groups' writer.
            Ask::Expel(_) => unreachable!("not asked in this simulation"),
        }
        if let Ask::Kick { who: MemberSelector::These(ids), .. } = ask {
            let mut order = ids.iter();
            assert!(members.iter().all(|it| order.any(|id| id == it)), "{ids:?} → {members:?}");
        }
    }

    /// Checks a transfer that was answered: the call has left, and its new document was requested.
    /// (When the answer is read, the call may be in another room, or about to leave that.)
    pub(super) fn check_transferred(&mut self, call: CallId) {
        let seen = self.calls.get_mut(&call).unwrap();
        seen.transfers_answered += 1;
        let is_done = seen.transfers_answered <= seen.transfers;
        assert!(is_done || seen.ended || seen.doomed, "{call} has not been transferred: {seen:?}");
        self.lived.insert("moved");
    }

    fn check_gone_on(&self, rooms: &BTreeSet<RoomId>) {
        let owed = self.calls.iter().filter(|(_, seen)| seen.exits || seen.must_go_on);
        let owed: Vec<_> = owed.map(|(call, _)| call).collect();
        // A call may have been in many rooms; the last one counts.
        let theirs = |call: &&CallId| {
            let last = self.members.values().rev().find(|(_, it)| it == *call);
            last.is_some_and(|(room, _)| rooms.contains(room))
        };
        assert!(!owed.iter().any(theirs), "calls have not continued: {owed:?}");
    }

    fn check_flags(
        &self,
        members: &[MemberId],
        in_room: &BTreeSet<MemberId>,
        who: &MemberSelector,
        flags: &BTreeMap<CallId, bool>,
        on: bool,
    ) {
        for member in members {
            let flag = flags.get(&self.members[member].1).copied();
            assert_eq!(flag.unwrap_or(false), on, "{member}");
        }
        assert!(*who != MemberSelector::All || members.len() == in_room.len(), "forgotten");
    }

    /// Members on hold are out of the mix.
    fn check_held(&self, members: &[MemberId]) {
        for member in members {
            assert!(self.waiting.contains(&self.members[member].1), "{member} is on hold");
        }
    }

    pub(super) fn check_end(&self) {
        for (call, seen) in &self.calls {
            assert!(seen.ended, "{call} has ended: {seen:?}");
        }
        assert!(self.rooms.values().all(|room| room.is_over && room.in_room.is_empty()));
        assert!(self.inside.is_empty(), "the mix is empty: {:?}", self.inside);
    }
}

impl CallSeen {
    /// It is restored: no element begins twice, and none is skipped that was not over.
    fn restore(&mut self, call: &Call, played: &BTreeSet<(CallId, u32)>, is_out: bool) {
        let begun = call.flow().map_or(0, |_| call.step() + 1);
        let text = |flow: Option<&Arc<Flow>>| flow.map(|it| it.source.text.clone());
        let is_same = text(self.flow.as_ref()) == text(call.flow());
        if is_same && self.reads.is_none() && self.left.is_none() {
            let last = self.flow.as_ref().and_then(|it| it.steps.get(self.begun as usize - 1));
            // The end that it had ordered was not told yet.
            let is_ending = last.is_some_and(|it| matches!(it.verb, Verb::Hangup(_)));
            assert!(self.begun <= begun || is_ending, "{} goes back to {begun}: {self:?}", call.id);
            let is_over = |number| played.contains(&(call.id, number));
            let may_go_on = self.awaits.is_none_or(is_over);
            assert!(begun <= self.begun || may_go_on, "{} skips to {begun}: {self:?}", call.id);
        }
        (self.begun, self.flow) = (begun, call.flow().cloned());
        (self.awaits, self.reads, self.left) = (None, None, None);
        (self.exits, self.must_go_on, self.doomed) = (is_out, false, false);
        self.is_restored = true;
    }

    /// The step at which its flow must continue now.
    fn next(&mut self) -> u32 {
        if let Some(AwaitedDocument { number, purpose, came }) = self.reads.take() {
            let came = came.unwrap_or_else(|| panic!("document {number} is not there yet"));
            if let Ok(flow) = came {
                self.flow = Some(flow);
                return 0;
            }
            if purpose == Purpose::Kick {
                return self.begun;
            }
            assert!([Purpose::Action, Purpose::Redirect].contains(&purpose), "{purpose:?}");
            return self.branch(Branch::Error).expect("without onError, it ends");
        }
        let Some(exit) = self.left.take() else { return self.begun };
        match exit.then {
            AfterExit::Document(flow) => {
                self.flow = Some(flow);
                0
            }
            AfterExit::Element(step) => {
                assert!(self.begun <= step, "forwards only");
                step
            }
            AfterExit::End(_) | AfterExit::Fetch(_) | AfterExit::HangUp => {
                panic!("wrong exit: {:?}", exit.then)
            }
            AfterExit::Onward => self.branch_by(exit.cause).unwrap_or(self.begun),
        }
    }

    /// The kick's target and a branch precede the answer of an action.
    fn check_may_ask(&self, purpose: Purpose) {
        let Some(exit) = &self.left else { return };
        match purpose {
            Purpose::Kick => assert!(matches!(exit.then, AfterExit::Fetch(_)), "{:?}", exit.then),
            Purpose::Action => {
                assert_eq!(exit.then, AfterExit::Onward);
                assert_eq!(self.branch_by(exit.cause), None, "a branch comes first");
            }
            Purpose::Answer | Purpose::Redirect | Purpose::Sound | Purpose::Transfer => (),
        }
    }

    fn branch_by(&self, cause: Cause) -> Option<u32> {
        self.branch(Branch::of(cause)?)
    }

    fn branch(&self, branch: Branch) -> Option<u32> {
        let step = usize::try_from(self.begun.checked_sub(1)?).unwrap();
        self.flow.as_ref()?.steps[step].branches.find(branch)
    }
}

fn set(flags: &mut BTreeMap<CallId, bool>, calls: &[CallId], on: bool) {
    for call in calls {
        let before = flags.insert(*call, on);
        assert_eq!(before.unwrap_or(false), !on, "{call} already has this flag");
    }
}

/// Records every order and document request.
pub(super) struct Observer(pub(super) Arc<Mutex<World>>);

impl SignallingBackend for Observer {
    fn signal(&self, order: SignallingOrder) {
        self.0.lock().signal(&order);
    }

    fn restores(&self, call: CallId) -> bool {
        self.0.lock().calls.get(&call).is_some_and(|it| it.stands)
    }
}

impl AudioEngine for Observer {
    fn send(&self, order: AudioOrder) {
        self.0.lock().order(order);
    }
}

impl DocumentStore for Observer {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        self.0.lock().asked(fetch, done);
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}
