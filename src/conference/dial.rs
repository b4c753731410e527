//! Dial: the calls that a `<Dial>` makes, from the first ring to the end of the conversation.
//!
//! The caller and the callee that is connected are the two members of a room without a name. The
//! other callees are kept here. Who is connected, who stops ringing, and what becomes of the two when
//! one leaves is decided in this file and nowhere else:
//!
//! ```text
//!  Dialled --> Ringing --> Keys (sendDigits) --> Confirming (confirmSound, confirmKey) --> connected
//! ```

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Conference, DialEvent, DialStep, Effect, NewCallee, SoundMoment,
    callees::{Callee, CalleeState, ConnectedCallee, DialState},
    event::CalleeInfo,
    member::Member,
    pending_sounds::{PendingSound, SoundPlace, SoundRequester},
    state::DueItem,
};
use crate::{
    base::ids::{CallId, Dialect, MemberId},
    call::{Call, CallDirection, CallEvent},
    flow::{AfterExit, Cause, DialOptions, DialResult, DialStatus, Exit, JoinOptions},
    media::{AudioOrder, DialOrigin, Ending, HangupCause, HangupSource, LegEvent, Program},
};

/// A callee outlives the conversation's limit by nothing that matters: the room ends it first.
const CALLEE_EXTRA: Duration = Duration::from_secs(3_600);

impl Conference {
    /// Whether the room is that of a `<Dial>`: it has no name, and nobody is told of its members.
    pub fn is_private(&self) -> bool {
        self.dial.is_some()
    }

    /// Takes the caller in, and dials all callees.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        caller: MemberId,
        call: Box<Call>,
        options: Arc<DialOptions>,
        callees: Vec<NewCallee>,
        effects: &mut VecDeque<Effect>,
    ) {
        let early = call.early_media_in_room();
        let origin = DialOrigin::Dial {
            is_inherited: options.caller_id.is_none(),
            forwarded: (call.party.direction == CallDirection::Inbound)
                .then(|| call.party.to.clone()),
        };
        let entry = Arc::new(caller_options(&options));
        let destinations: Vec<_> = callees.iter().map(|it| (it.member, it.no_route)).collect();
        let callee = |it: NewCallee| {
            let NewCallee { member, call, digits, no_route: _ } = it;
            let (state, answered_at) = (CalleeState::Dialled, None);
            (member, Box::new(Callee { call, digits, state, answered_at }))
        };
        // The two have room for each other, however small conferences are.
        self.members_cap = self.members_cap.max(2);
        self.add_deadline(now + options.ring_timeout, DueItem::Ring);
        // All calls are in the room before anything can panic.
        self.dial = Some(Box::new(DialState {
            caller,
            options,
            callees: callees.into_iter().map(callee).collect(),
            connected: None,
            has_rung: false,
            last: None,
        }));
        self.insert_member(caller, Box::new(Member::new(self.age(now), call, entry)));
        effects.extend(early.map(Effect::Signal));
        self.enter(now, caller, effects);
        for (member, no_route) in destinations {
            match no_route {
                Some(ending) => self.end_callee(now, member, ending, effects),
                None => {
                    let order = self.callee(member).map(|it| it.call.dial_order(origin.clone()));
                    effects.extend(order.map(Effect::Signal));
                }
            }
            self.maybe_inject_fault();
        }
    }

    fn dial_mut(&mut self) -> &mut DialState {
        self.dial.as_mut().expect("only the room of a dial has callees")
    }

    fn callee(&mut self, id: MemberId) -> Option<&mut Callee> {
        self.dial.as_mut()?.callees.get_mut(&id).map(|it| &mut **it)
    }

    /// Takes a report on a callee. One on a callee that is over is stale.
    pub(super) fn callee_heard(
        &mut self,
        now: Instant,
        id: MemberId,
        heard: LegEvent,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(callee) = self.callee(id) else { return };
        match heard {
            LegEvent::Ringing if callee.state == CalleeState::Dialled => {
                callee.state = CalleeState::Ringing;
                publish(&callee.call, CallEvent::Rang, effects);
                self.dial_mut().has_rung = true;
            }
            LegEvent::Answered if callee.answered_at.is_none() => {
                self.callee_answered(now, id, effects);
            }
            LegEvent::Failed(failure) => {
                let ending = failure.ending(callee.call.party.dialect);
                self.end_callee(now, id, ending, effects);
            }
            LegEvent::Finished(number) if callee.state == CalleeState::Keys(number) => {
                self.confirm(now, id, effects);
            }
            LegEvent::Finished(number) if callee.state == CalleeState::Confirming(Some(number)) => {
                callee.state = CalleeState::Confirming(None);
                if self.dial_mut().options.confirm_key.is_none() {
                    self.connect(now, id, effects);
                }
            }
            LegEvent::Digit(key) if matches!(callee.state, CalleeState::Confirming(_)) => {
                match self.dial_mut().options.confirm_key {
                    Some(wanted) if wanted == key => self.connect(now, id, effects),
                    Some(_) => self.refuse(now, id, effects),
                    None => (),
                }
            }
            LegEvent::Answered | LegEvent::Digit(_) | LegEvent::Finished(_) => (),
            LegEvent::Hold(_) | LegEvent::Ringing | LegEvent::Talk(_) | LegEvent::Waits(_) => (),
            LegEvent::HungUp => self.hang_up_callee(now, id, Cause::CallerLeft, effects),
            LegEvent::MediaLost => self.hang_up_callee(now, id, Cause::MediaLost, effects),
        }
    }

    /// Ends a callee by a cause that ends calls.
    pub(super) fn hang_up_callee(
        &mut self,
        now: Instant,
        id: MemberId,
        cause: Cause,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(callee) = self.callee(id) else { return };
        let mut ending = callee.call.ending(&cause.into());
        if callee.answered_at.is_none() && ending.cause == HangupCause::Normal {
            ending.cause = HangupCause::Canceled;
        }
        self.end_callee(now, id, ending, effects);
    }

    fn callee_answered(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let limit = self.dial_mut().options.time_limit + CALLEE_EXTRA;
        let callee = self.callee(id).expect("just seen");
        callee.answered_at = Some(now);
        callee.call.answered_in_room(now, limit);
        publish(&callee.call, CallEvent::Answered, effects);
        let (info, digits) = (CalleeInfo::of(&callee.call), callee.digits.take());
        self.tell(DialStep::Answered, info, effects);
        let Some(digits) = digits else { return self.confirm(now, id, effects) };
        let callee = self.callee(id).expect("just seen");
        let (call, number) = (callee.call.id, callee.call.order_number());
        callee.state = CalleeState::Keys(number);
        effects.push_back(AudioOrder::SendDigits { call, number, digits }.into());
    }

    /// Asks a callee to confirm, or connects it at once.
    fn confirm(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let options = self.dial_mut().options.clone();
        if options.confirm_sound.is_none() && options.confirm_key.is_none() {
            return self.connect(now, id, effects);
        }
        let callee = self.callee(id).expect("just seen");
        callee.state = CalleeState::Confirming(None);
        let answered_at = callee.answered_at.unwrap_or(now);
        let requester = SoundRequester::from(&*callee.call);
        self.add_deadline(answered_at + options.confirm_timeout, DueItem::Confirm(id));
        if let Some(url) = options.confirm_sound.clone() {
            let pending = PendingSound { place: SoundPlace::Callee(id), expires_at: None };
            self.fetch(url, SoundMoment::Confirm, requester, pending, effects);
        }
    }

    /// Plays the confirm sound; it is empty if it cannot be had.
    pub(super) fn confirm_sound_fetched(
        &mut self,
        now: Instant,
        id: MemberId,
        program: Program,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(callee) = self.callee(id) else { return };
        if program.is_empty() {
            if self.dial_mut().options.confirm_key.is_none() {
                self.connect(now, id, effects);
            }
            return;
        }
        let (call, number) = (callee.call.id, callee.call.order_number());
        callee.state = CalleeState::Confirming(Some(number));
        effects.push_back(AudioOrder::Play { call, number, program }.into());
    }

    fn refuse(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let source = HangupSource::Platform(self.dialect());
        let ending = Ending { cause: HangupCause::ConfirmFailed, source };
        self.end_callee(now, id, ending, effects);
    }

    /// The time of a callee to confirm is up.
    pub(super) fn confirm_late(
        &mut self,
        now: Instant,
        id: MemberId,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.callee(id).is_some() {
            self.refuse(now, id, effects);
        }
    }

    /// The ring timeout: ends the callees that have not answered.
    pub(super) fn ring_late(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        let Some(dial) = &self.dial else { return };
        let late = dial.callees.iter().filter(|(_, it)| it.answered_at.is_none());
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        let source = HangupSource::Platform(self.dialect());
        for id in late {
            let ending = Ending { cause: HangupCause::RingTimeout, source };
            self.end_callee(now, id, ending, effects);
        }
    }

    /// Connects a callee: the others end, the caller is answered, and the two hear each other.
    fn connect(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let dialect = self.dialect();
        let dial = self.dial_mut();
        let Some(callee) = dial.callees.remove(&id) else { return };
        let (losers, options) = (mem::take(&mut dial.callees), dial.options.clone());
        let (caller, info) = (dial.caller, CalleeInfo::of(&callee.call));
        let answered_at = callee.answered_at.unwrap_or(now);
        dial.connected = Some(ConnectedCallee { member: id, info: info.clone(), answered_at });
        let entry = Arc::new(callee_options(&options));
        let member = Box::new(Member::new(self.age(now), callee.call, entry));
        self.insert_member(id, member);
        self.deadlines.retain(|(_, due)| !matches!(due, DueItem::Confirm(_) | DueItem::Ring));
        let lost = Ending { cause: HangupCause::LostRace, source: HangupSource::Platform(dialect) };
        for loser in losers.into_values() {
            self.callee_over(now, *loser, lost, effects);
        }
        if let Some(member) = self.members.get_mut(&caller)
            && let Some(answer) = member.call.answer_in_room(now)
        {
            let ends_at = member.call.ends_at;
            effects.push_back(Effect::Signal(answer));
            publish(&member.call, CallEvent::Answered, effects);
            self.call_ends.add(ends_at, caller);
        }
        self.set_conversation_limit(now + options.time_limit);
        self.enter(now, id, effects);
        self.tell(DialStep::Connected, info, effects);
    }

    fn end_callee(
        &mut self,
        now: Instant,
        id: MemberId,
        ending: Ending,
        effects: &mut VecDeque<Effect>,
    ) {
        let dial = self.dial_mut();
        let Some(callee) = dial.callees.remove(&id) else { return };
        dial.last = Some(ending);
        self.deadlines.retain(|(_, due)| *due != DueItem::Confirm(id));
        self.callee_over(now, *callee, ending, effects);
    }

    /// Tells of a callee that ends without having been connected, and ends it.
    fn callee_over(
        &mut self,
        now: Instant,
        callee: Callee,
        ending: Ending,
        effects: &mut VecDeque<Effect>,
    ) {
        let Callee { call, answered_at, .. } = callee;
        let info = CalleeInfo::of(&call);
        effects.push_back(Effect::End { call, ending });
        let talked = answered_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let seconds = (self.age(now).as_secs(), talked.as_secs());
        self.tell(DialStep::Ended { ending, seconds }, info, effects);
    }

    /// Decides what follows when the caller or the connected callee leaves, or no callee is left.
    pub(super) fn settle_dial(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        let Some(dial) = &self.dial else { return };
        let caller = dial.caller;
        let caller_is_here = self.members.contains_key(&caller);
        if caller_is_here {
            let is_separated =
                dial.connected.as_ref().is_some_and(|it| !self.members.contains_key(&it.member));
            let is_alone = dial.connected.is_none() && dial.callees.is_empty();
            if !is_separated && !is_alone {
                return;
            }
            let cause = if is_separated { Cause::DialEnded } else { Cause::DialFailed };
            self.take_out(caller, &cause.into());
        }
        let Some(leaver) = self.leavers.iter_mut().find(|it| it.id == caller) else { return };
        if leaver.exit.cause == Cause::Starred {
            leaver.exit.cause = Cause::DialStarred;
        } else if leaver.exit.cause == Cause::TimeUp {
            leaver.exit.cause = Cause::DialTimeUp;
        }
        let cause = leaver.exit.cause;
        self.end_others(now, cause, effects);
        let result = self.result(cause);
        if let Some(leaver) = self.leavers.iter_mut().find(|it| it.id == caller) {
            leaver.exit.dialled = Some(Box::new(result));
        }
    }

    /// Ends the callees of a caller who leaves by this cause.
    fn end_others(&mut self, now: Instant, cause: Cause, effects: &mut VecDeque<Effect>) {
        let dialect = self.dialect();
        let callees: Vec<_> = self.dial_mut().callees.keys().copied().collect();
        for id in callees {
            self.end_callee(now, id, callee_ending(cause, false, dialect), effects);
        }
        let Some(ConnectedCallee { member, info, answered_at }) =
            self.dial_mut().connected.as_ref()
        else {
            return;
        };
        let (member, info, answered_at) = (*member, info.clone(), *answered_at);
        let then = AfterExit::End(callee_ending(cause, true, dialect));
        self.take_out(member, &Exit { then: then.clone(), ..cause.into() });
        let talked = now.saturating_duration_since(answered_at).as_secs();
        let seconds = (self.age(now).as_secs(), talked);
        let Some(leaver) = self.leavers.iter_mut().find(|it| it.id == member) else { return };
        // It has no flow: only a transfer gives it one.
        if !leaver.exit.ends_call() && leaver.exit.cause != Cause::Transferred {
            leaver.exit.then = then;
        }
        if leaver.exit.ends_call() {
            let ending = leaver.member.call.ending(&leaver.exit);
            self.dial_mut().last = Some(ending);
            self.tell(DialStep::Ended { ending, seconds }, info, effects);
        }
    }

    fn result(&self, cause: Cause) -> DialResult {
        let dial = self.dial.as_ref().expect("it is being settled");
        let last = dial.last.unwrap_or_else(|| Ending {
            cause: HangupCause::Normal,
            source: HangupSource::Platform(self.dialect()),
        });
        let status = match (&dial.connected, cause) {
            (Some(_), _) => DialStatus::Completed,
            (None, Cause::DialFailed) => DialStatus::of(last.cause, last.source),
            (None, _) => DialStatus::Cancel,
        };
        let callee = dial.connected.as_ref().map(|it| it.info.call);
        DialResult { status, has_rung: dial.has_rung, cause: last.cause, callee }
    }

    /// The other of the two who are connected.
    pub(super) fn counterpart(&self, id: MemberId) -> Option<CallId> {
        let dial = self.dial.as_ref()?;
        let connected = dial.connected.as_ref()?;
        let other = if id == dial.caller { connected.member } else { dial.caller };
        self.members.get(&other).map(|it| it.call.id)
    }

    /// Reports a pattern that one of the two has typed.
    pub(super) fn dial_digits(
        &mut self,
        id: MemberId,
        digits: Arc<str>,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(dial) = &self.dial else { return };
        let Some(connected) = &dial.connected else { return };
        let (info, by_caller) = (connected.info.clone(), id == dial.caller);
        self.tell(DialStep::Digits { digits, by_caller }, info, effects);
    }

    fn tell(&mut self, step: DialStep, callee: CalleeInfo, effects: &mut VecDeque<Effect>) {
        let Some(dial) = &self.dial else { return };
        let found = self.members.get(&dial.caller).map(|it| &it.call);
        let left = || self.leavers.iter().find(|it| it.id == dial.caller);
        let Some(caller) = found.or_else(|| left().map(|it| &it.member.call)) else { return };
        let event = DialEvent { callee, step, callback: dial.options.callback.clone() };
        let (call, party) = (caller.id, caller.party.clone());
        effects.push_back(Effect::Tell { call, party, event: Arc::new(event) });
    }

    /// The caller's dialect.
    fn dialect(&self) -> Dialect {
        let Some(dial) = &self.dial else { return Dialect::default() };
        let caller = self.members.get(&dial.caller);
        let left = self.leavers.iter().find(|it| it.id == dial.caller).map(|it| &it.member);
        caller.or(left).map_or_else(Dialect::default, |it| it.call.party.dialect)
    }

    /// Asserts the invariants of a dial after a command.
    pub(super) fn check_dial(&self) {
        let Some(dial) = &self.dial else { return };
        let is_over = self.members.is_empty();
        assert!(!is_over || dial.callees.is_empty(), "every callee ends or is connected");
        assert!(is_over || self.members.contains_key(&dial.caller), "no callee without a caller");
        assert!(dial.connected.is_none() || dial.callees.is_empty(), "one callee is connected");
        assert!(self.members.len() <= 2, "the caller and one callee");
    }
}

/// What becomes of a callee when the caller leaves (contract of calling, section 14.2).
fn callee_ending(cause: Cause, is_connected: bool, dialect: Dialect) -> Ending {
    let platform = HangupSource::Platform(dialect);
    let (over, source) = match cause {
        Cause::Fault | Cause::Crashed => {
            return Ending { cause: HangupCause::Internal, source: platform };
        }
        Cause::DialTimeUp => return Ending { cause: HangupCause::Scheduled, source: platform },
        Cause::CallerLeft | Cause::DialStarred => (HangupCause::Normal, HangupSource::Caller),
        Cause::HungUpByApi | Cause::Kicked | Cause::Transferred => {
            (HangupCause::Normal, HangupSource::ApiRequest)
        }
        Cause::Alone | Cause::Banned | Cause::CallTimeUp | Cause::DialEnded | Cause::DialFailed => {
            (HangupCause::Normal, platform)
        }
        Cause::Drained | Cause::Ended | Cause::Full | Cause::GroupKicked | Cause::MediaLost => {
            (HangupCause::Normal, platform)
        }
        Cause::NotMember | Cause::Starred | Cause::TimeUp => (HangupCause::Normal, platform),
    };
    let cause = if is_connected { over } else { HangupCause::Canceled };
    Ending { cause, source }
}

fn publish(call: &Call, event: CallEvent, effects: &mut VecDeque<Effect>) {
    let (call, party) = (call.id, call.party.clone());
    effects.push_back(Effect::Call { call, party, event });
}

/// The caller waits until somebody is connected, and hears the music.
fn caller_options(options: &DialOptions) -> JoinOptions {
    JoinOptions {
        leaves_on_star: options.leaves_on_star,
        wait_sound: Some(options.music.clone()),
        digits_match: options.digits_match.clone(),
        ..JoinOptions::private()
    }
}

/// The callee that is connected starts the room.
fn callee_options(options: &DialOptions) -> JoinOptions {
    JoinOptions {
        starts: true,
        digits_match: options.callee_digits_match.clone(),
        ..JoinOptions::private()
    }
}
