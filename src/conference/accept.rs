//! Accepting: what callees do from the first ring until each is accepted or ends.
//!
//! ```text
//!  Dialled --> Ringing --> Keys (sendDigits) --> Confirming (confirmSound, confirmKey) --> accepted
//! ```
//!
//! The winner of a `<Dial>` is connected with the caller ([`super::dial`]); the winner of an invitation
//! becomes a member of the room that made it ([`super::invite`]).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Conference, DialEvent, DialStep, Effect, SoundMoment,
    callees::{Callee, CalleeState, DialledPair, Invitation},
    event::CalleeInfo,
    pending_sounds::{PendingSound, SoundPlace, SoundRequester},
    state::DueItem,
};
use crate::{
    base::ids::{CallId, MemberId},
    call::{Call, CallEvent, Party},
    flow::{CallbackTarget, Cause},
    media::{AudioOrder, Ending, HangupCause, HangupSource, LegEvent, Program},
};

/// A callee of a `<Dial>` outlives the conversation's limit by nothing that matters: the room ends it
/// first.
const CALLEE_EXTRA: Duration = Duration::from_secs(3_600);

impl Conference {
    /// Whether this is somebody whom the room has dialled and who is not accepted yet.
    pub fn has_callee(&self, id: MemberId) -> bool {
        self.dial.as_ref().is_some_and(|it| it.callees.contains_key(&id))
    }

    pub(super) fn callee(&mut self, id: MemberId) -> Option<&mut Callee> {
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
        let wanted = callee.invitation.terms.confirm_key;
        match heard {
            LegEvent::Ringing if callee.state == CalleeState::Dialled => {
                callee.state = CalleeState::Ringing;
                publish(&callee.call, CallEvent::Rang, effects);
                if let Some(pair) = self.pair_mut() {
                    pair.has_rung = true;
                }
            }
            LegEvent::Answered if callee.answered_at.is_none() => {
                self.callee_answered(now, id, effects);
            }
            LegEvent::EarlyMedia if callee.answered_at.is_none() => self.early_media(id, effects),
            LegEvent::EarlyMediaOver if callee.answered_at.is_none() => {
                let call = callee.call.id;
                self.early_media_over(id, call, true, effects);
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
                if wanted.is_none() {
                    self.accept(now, id, effects);
                }
            }
            LegEvent::Digit(key) if matches!(callee.state, CalleeState::Confirming(_)) => {
                match wanted {
                    Some(wanted) if wanted == key => self.accept(now, id, effects),
                    Some(_) => self.refuse(now, id, effects),
                    None => (),
                }
            }
            LegEvent::Answered | LegEvent::Digit(_) | LegEvent::EarlyMedia => (),
            LegEvent::Finished(_) | LegEvent::Hold(_) | LegEvent::Ringing => (),
            LegEvent::EarlyMediaOver | LegEvent::Talk(_) | LegEvent::Waits(_) => (),
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
        let callee = self.callee(id).expect("just seen");
        let Invitation { terms, flow, .. } = &*callee.invitation;
        let (callback, limit) = (terms.callback.clone(), terms.time_limit);
        let extra = if flow.is_some() { Duration::ZERO } else { CALLEE_EXTRA };
        callee.answered_at = Some(now);
        callee.call.answered_in_room(now, limit + extra);
        publish(&callee.call, CallEvent::Answered, effects);
        let (info, digits) = (CalleeInfo::of(&callee.call), callee.digits.take());
        self.tell(DialStep::Answered, info, callback, effects);
        let Some(digits) = digits else { return self.confirm(now, id, effects) };
        let callee = self.callee(id).expect("just seen");
        let (call, number) = (callee.call.id, callee.call.order_number());
        callee.state = CalleeState::Keys(number);
        effects.push_back(AudioOrder::SendDigits { call, number, digits }.into());
    }

    /// Asks a callee to confirm, or accepts it at once.
    pub(super) fn confirm(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let callee = self.callee(id).expect("just seen");
        let terms = callee.invitation.terms.clone();
        if terms.confirm_sound.is_none() && terms.confirm_key.is_none() {
            return self.accept(now, id, effects);
        }
        let call = callee.call.id;
        self.early_media_over(id, call, true, effects);
        let callee = self.callee(id).expect("just seen");
        callee.state = CalleeState::Confirming(None);
        let until = callee.confirms_until().unwrap_or(now);
        let requester = SoundRequester::from(&*callee.call);
        self.add_deadline(until, DueItem::Confirm(id));
        if let Some(url) = terms.confirm_sound.clone() {
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
            if callee.invitation.terms.confirm_key.is_none() {
                self.accept(now, id, effects);
            }
            return;
        }
        let (call, number) = (callee.call.id, callee.call.order_number());
        callee.state = CalleeState::Confirming(Some(number));
        effects.push_back(AudioOrder::Play { call, number, program }.into());
    }

    fn refuse(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        self.end_by_platform(now, id, HangupCause::ConfirmFailed, effects);
    }

    /// Ends a callee for a reason of our own.
    pub(super) fn end_by_platform(
        &mut self,
        now: Instant,
        id: MemberId,
        cause: HangupCause,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(callee) = self.callee(id) else { return };
        let source = HangupSource::Platform(callee.call.party.dialect);
        self.end_callee(now, id, Ending { cause, source }, effects);
    }

    /// The time of a callee to confirm is up.
    pub(super) fn confirm_late(
        &mut self,
        now: Instant,
        id: MemberId,
        effects: &mut VecDeque<Effect>,
    ) {
        self.refuse(now, id, effects);
    }

    /// The ring timeout of an invitation: ends its callees that have not answered.
    pub(super) fn ring_late(
        &mut self,
        now: Instant,
        first: MemberId,
        effects: &mut VecDeque<Effect>,
    ) {
        let mut late = self.rivals(first);
        late.retain(|id| self.callee(*id).is_some_and(|it| it.answered_at.is_none()));
        for id in late {
            self.end_by_platform(now, id, HangupCause::RingTimeout, effects);
        }
    }

    /// The callees of an invitation that are left.
    fn rivals(&self, first: MemberId) -> Vec<MemberId> {
        let callees = self.dial.iter().flat_map(|it| &it.callees);
        let rivals = callees.filter(|(_, it)| it.invitation.first == first);
        rivals.map(|(id, _)| *id).collect()
    }

    /// A callee is accepted: the others of its invitation have lost.
    fn accept(&mut self, now: Instant, id: MemberId, effects: &mut VecDeque<Effect>) {
        let Some(callee) = self.callee(id) else { return };
        match callee.invitation.flow.clone() {
            Some(flow) => self.admit(now, id, flow, effects),
            None => self.connect(now, id, effects),
        }
    }

    /// Ends the rivals of a callee that has been accepted.
    pub(super) fn end_rivals(
        &mut self,
        now: Instant,
        first: MemberId,
        winner: MemberId,
        effects: &mut VecDeque<Effect>,
    ) {
        for id in self.rivals(first).into_iter().filter(|it| *it != winner) {
            let Some(callee) = self.remove_callee(id) else { continue };
            let source = HangupSource::Platform(callee.call.party.dialect);
            let lost = Ending { cause: HangupCause::LostRace, source };
            self.callee_over(now, id, callee, lost, effects);
        }
    }

    pub(super) fn end_callee(
        &mut self,
        now: Instant,
        id: MemberId,
        ending: Ending,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(callee) = self.remove_callee(id) else { return };
        if let Some(pair) = self.pair_mut() {
            pair.last = Some(ending);
        }
        self.early_media_over(id, callee.call.id, false, effects);
        self.callee_over(now, id, callee, ending, effects);
    }

    /// Takes a callee out, with its deadlines.
    pub(super) fn remove_callee(&mut self, id: MemberId) -> Option<Box<Callee>> {
        let callee = self.dial.as_mut()?.callees.remove(&id)?;
        if let Some(until) = callee.confirms_until() {
            self.remove_deadline(until, DueItem::Confirm(id));
        }
        let Invitation { first, .. } = *callee.invitation;
        if self.rivals(first).is_empty() {
            self.remove_deadline(callee.invitation.rings_until(), DueItem::Ring(first));
        }
        Some(callee)
    }

    /// Tells of a callee that ends without having been accepted, and ends it.
    #[expect(clippy::boxed_local, reason = "callees are moved as boxes, and here one ends")]
    fn callee_over(
        &mut self,
        now: Instant,
        member: MemberId,
        callee: Box<Callee>,
        ending: Ending,
        effects: &mut VecDeque<Effect>,
    ) {
        let Callee { call, answered_at, invitation, .. } = *callee;
        let info = CalleeInfo::of(&call);
        effects.push_back(Effect::End { member, call, ending });
        self.tell_over(now, info, answered_at, &invitation, ending, effects);
    }

    /// Tells that a callee's call is over, which was dialled by this invitation.
    pub(super) fn tell_over(
        &self,
        now: Instant,
        callee: CalleeInfo,
        answered_at: Option<Instant>,
        invitation: &Invitation,
        ending: Ending,
        effects: &mut VecDeque<Effect>,
    ) {
        let talked = answered_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let all = now.saturating_duration_since(invitation.dialled_at);
        let step = DialStep::Ended { ending, seconds: (all.as_secs(), talked.as_secs()) };
        self.tell(step, callee, invitation.terms.callback.clone(), effects);
    }

    /// Tells of a callee: as an event of the caller in the room of a `<Dial>`, else of the callee.
    pub(super) fn tell(
        &self,
        step: DialStep,
        callee: CalleeInfo,
        callback: Option<Arc<CallbackTarget>>,
        effects: &mut VecDeque<Effect>,
    ) {
        let owner = match self.pair() {
            Some(pair) => self.caller_of(pair),
            None => Some((callee.call, callee.party.clone())),
        };
        let Some((call, party)) = owner else { return };
        let event = Arc::new(DialEvent { callee, step, callback });
        effects.push_back(Effect::Tell { call, party, event });
    }

    /// The caller's call and its parties, also while it leaves.
    fn caller_of(&self, pair: &DialledPair) -> Option<(CallId, Arc<Party>)> {
        let found = self.members.get(&pair.caller).map(|it| &it.call);
        let left = || self.leavers.iter().find(|it| it.id == pair.caller);
        let caller = found.or_else(|| left().map(|it| &it.member.call))?;
        Some((caller.id, caller.party.clone()))
    }

    /// Asserts the invariants of callees after a command.
    pub(super) fn check_callees(&self) {
        let Some(dial) = &self.dial else { return };
        assert!(!self.members.is_empty() || dial.callees.is_empty(), "every callee ends or is in");
        assert!(dial.pair.is_some() || !dial.callees.is_empty(), "nobody is dialled");
        for (id, callee) in &dial.callees {
            assert!(!self.members.contains_key(id), "{id} is a member");
            let (until, first) = (callee.invitation.rings_until(), callee.invitation.first);
            let rings = self.deadlines.contains(&(until, DueItem::Ring(first)));
            assert!(rings || callee.answered_at.is_some(), "{id} rings forever");
        }
        self.check_pair();
    }
}

pub(super) fn publish(call: &Call, event: CallEvent, effects: &mut VecDeque<Effect>) {
    let (call, party) = (call.id, call.party.clone());
    effects.push_back(Effect::Call { call, party, event });
}
