//! Dial: the room of a `<Dial>`, from the connection to the end of the conversation.
//!
//! The caller and the callee that is connected are the two members of a room without a name. What
//! becomes of the two when one leaves is decided here; who is accepted, in [`super::accept`].

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{
    Conference, DialStep, Effect, NewCallee,
    accept::publish,
    callees::{Callee, ConnectedCallee, DialState, DialledPair, Invitation},
    event::CalleeInfo,
    member::Member,
    state::DueItem,
};
use crate::{
    base::ids::{CallId, Dialect, MemberId},
    call::{Call, CallDirection, CallEvent},
    flow::{AfterExit, Cause, DialOptions, DialResult, DialStatus, Exit, JoinOptions},
    media::{DialOrigin, Ending, HangupCause, HangupSource},
};

impl Conference {
    /// Whether the room is that of a `<Dial>`: it has no name, and nobody is told of its members.
    pub fn is_private(&self) -> bool {
        self.pair().is_some()
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
        let origin = origin(&options, &call);
        let entry = Arc::new(caller_options(&options));
        let destinations: Vec<_> = callees.iter().map(|it| (it.member, it.no_route)).collect();
        let first = destinations.first().map_or(caller, |it| it.0);
        let (terms, dialled_at, flow) = (options.terms.clone(), now, None);
        let invitation = Arc::new(Invitation { first, terms, dialled_at, flow });
        // The two have room for each other, however small conferences are.
        self.members_cap = self.members_cap.max(2);
        self.add_deadline(invitation.rings_until(), DueItem::Ring(first));
        let callee =
            |(n, it): (usize, NewCallee)| (it.member, Callee::new(it, invitation.clone(), n));
        // All calls are in the room before anything can panic.
        self.dial = Some(Box::new(DialState {
            pair: Some(DialledPair {
                caller,
                options,
                connected: None,
                has_rung: false,
                last: None,
                heard_early: None,
            }),
            callees: callees.into_iter().enumerate().map(callee).collect(),
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

    pub(super) fn pair(&self) -> Option<&DialledPair> {
        self.dial.as_ref()?.pair.as_ref()
    }

    pub(super) fn pair_mut(&mut self) -> Option<&mut DialledPair> {
        self.dial.as_mut()?.pair.as_mut()
    }

    /// Connects a callee: the others end, the caller is answered, and the two hear each other.
    pub(super) fn connect(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let Some(callee) = self.remove_callee(id) else { return };
        let Callee { call, answered_at, invitation, .. } = *callee;
        let info = CalleeInfo::of(&call);
        let entry = self.pair().map(|it| Arc::new(callee_options(&it.options)));
        let entry = entry.unwrap_or_else(|| Arc::new(JoinOptions::private()));
        self.insert_member(id, Box::new(Member::new(self.age(now), call, entry)));
        self.end_rivals(now, invitation.first, id, effects);
        let Some(pair) = self.pair_mut() else { return };
        let answered_at = answered_at.unwrap_or(now);
        pair.connected = Some(ConnectedCallee { member: id, info: info.clone(), answered_at });
        let caller = pair.caller;
        if let Some(member) = self.members.get_mut(&caller)
            && let Some(answer) = member.call.answer_in_room(now)
        {
            let ends_at = member.call.ends_at;
            effects.push_back(Effect::Signal(answer));
            publish(&member.call, CallEvent::Answered, effects);
            self.call_ends.add(ends_at, caller);
        }
        self.set_conversation_limit(now + invitation.terms.time_limit);
        self.hear_the_caller(id, &info, effects);
        self.enter(now, id, effects);
        self.record_dialled(caller, effects);
        self.tell(DialStep::Connected, info, invitation.terms.callback.clone(), effects);
    }

    /// Decides what follows when the caller or the connected callee leaves, or no callee is left.
    pub(super) fn settle_dial(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        let Some(pair) = self.pair() else { return self.settle_invitations(now, effects) };
        let caller = pair.caller;
        if self.members.contains_key(&caller) {
            let is_separated =
                pair.connected.as_ref().is_some_and(|it| !self.members.contains_key(&it.member));
            let is_alone = pair.connected.is_none() && self.callee_ids().is_empty();
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
        self.stop_dialled(caller, effects);
        self.end_others(now, cause, effects);
        let Some(result) = self.pair().map(|it| self.result(it, cause)) else { return };
        if let Some(leaver) = self.leavers.iter_mut().find(|it| it.id == caller) {
            leaver.exit.dialled = Some(Box::new(result));
        }
    }

    /// Ends the callees of a caller who leaves by this cause.
    fn end_others(&mut self, now: Instant, cause: Cause, effects: &mut VecDeque<Effect>) {
        let dialect = self.dialect();
        for id in self.callee_ids() {
            self.end_callee(now, id, callee_ending(cause, false, dialect), effects);
        }
        let Some(pair) = self.pair() else { return };
        let callback = pair.options.terms.callback.clone();
        let Some(ConnectedCallee { member, info, answered_at }) = &pair.connected else { return };
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
            self.pair_mut().into_iter().for_each(|it| it.last = Some(ending));
            self.tell(DialStep::Ended { ending, seconds }, info, callback, effects);
        }
    }

    fn result(&self, dial: &DialledPair, cause: Cause) -> DialResult {
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
        let pair = self.pair()?;
        let connected = pair.connected.as_ref()?;
        let other = if id == pair.caller { connected.member } else { pair.caller };
        self.members.get(&other).map(|it| it.call.id)
    }

    /// The callee that is connected with this caller.
    pub(super) fn callee_of(&self, caller: MemberId) -> Option<MemberId> {
        let pair = self.pair().filter(|it| it.caller == caller)?;
        pair.connected.as_ref().map(|it| it.member).filter(|it| self.has(*it))
    }

    /// Reports a pattern that one of the two has typed.
    pub(super) fn dial_digits(
        &mut self,
        id: MemberId,
        digits: Arc<str>,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(pair) = self.pair() else { return };
        let Some(connected) = &pair.connected else { return };
        let (info, by_caller) = (connected.info.clone(), id == pair.caller);
        let callback = pair.options.terms.callback.clone();
        self.tell(DialStep::Digits { digits, by_caller }, info, callback, effects);
    }

    /// The caller's dialect.
    pub(super) fn dialect(&self) -> Dialect {
        let Some(pair) = self.pair() else { return Dialect::default() };
        let caller = self.members.get(&pair.caller);
        let left = self.leavers.iter().find(|it| it.id == pair.caller).map(|it| &it.member);
        caller.or(left).map_or_else(Dialect::default, |it| it.call.party.dialect)
    }

    /// Asserts the invariants of a `<Dial>` after a command.
    pub(super) fn check_pair(&self) {
        let Some(pair) = self.pair() else { return };
        let has_caller = self.members.contains_key(&pair.caller);
        assert!(self.members.is_empty() || has_caller, "no callee without a caller");
        let is_one = pair.connected.is_none() || self.callee_ids().is_empty();
        assert!(is_one, "one callee is connected");
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

/// How callees are told who calls.
pub(super) fn origin(options: &DialOptions, caller: &Call) -> DialOrigin {
    let is_forwarded = caller.party.direction == CallDirection::Inbound;
    DialOrigin::Dial {
        is_inherited: options.caller_id.is_none(),
        forwarded: is_forwarded.then(|| caller.party.to.clone()),
    }
}

/// The caller waits until somebody is connected, and hears the music.
pub(super) fn caller_options(options: &DialOptions) -> JoinOptions {
    JoinOptions {
        leaves_on_star: options.leaves_on_star,
        wait_sound: Some(options.music.clone()),
        digits_match: options.digits_match.clone(),
        ..JoinOptions::private()
    }
}

/// The callee that is connected starts the room.
pub(super) fn callee_options(options: &DialOptions) -> JoinOptions {
    JoinOptions {
        starts: true,
        digits_match: options.callee_digits_match.clone(),
        ..JoinOptions::private()
    }
}
