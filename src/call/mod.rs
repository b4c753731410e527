//! Calls: one live call as a value, with its parties, its leg's state and its position in the flow.
//!
//! A call lives in exactly one place: in a call worker while it plays or waits, in a conference
//! while it is a member. It cannot be cloned, and a live one must not be dropped: its last owner
//! calls [`Call::end`].

pub mod applications;
mod callee;
mod effect;
mod element;
mod facts;
mod kept;
pub mod numbers;
mod party;
mod preview;
mod record;
mod requests;
mod row;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::{
    effect::{CallAct, CallEvent, Effect, PastMembership},
    kept::KeptCall,
    party::{
        AnswerUrls, CallDirection, CallSession, CallStatus, Headers, Hook, OutgoingCall, Party,
        SessionDetails,
    },
    row::{CallPlaceRow, CallStateRow, MemberRow},
};
use self::{
    facts::CallFacts,
    requests::{add_dial, add_membership, request},
};
use crate::{
    base::ids::{AccountId, CallId},
    flow::{
        self, AfterExit, Cause, DocumentRequest, Exit, Fetched, FlowEvent, Purpose, Run,
        has_variables,
    },
    group::Admission,
    media::{AudioOrder, DialOrigin, Ending, HangupCause, HangupSource, LegEvent, SignallingOrder},
};

/// A live call, owned by value.
#[derive(Debug, PartialEq)]
pub struct Call {
    /// Its id, also in events, traces and its CDR.
    pub id: CallId,
    /// The account that has the call.
    pub account: AccountId,
    /// From, to, direction and session; they do not change.
    pub party: Arc<Party>,
    /// The call ends at this time, wherever it is: the ring timeout, the time limit, or a
    /// `<Hangup>`.
    pub ends_at: Instant,
    /// Its admission to the guarded room that it is in or queues for; None of other rooms.
    pub admission: Option<Box<Admission>>,
    /// At most 49 days.
    time_limit_ms: u32,
    run: Run,
    /// The number of the last order or fetch.
    number_last: u32,
    awaits: Awaits,
    /// None once the far end has answered, and of inbound calls.
    outgoing: Option<Box<OutgoingCall>>,
    /// None once the first document has come.
    fallback: Option<Box<Hook>>,
    /// The document that it awaits, or will fetch once it has left its conference.
    request: Option<Box<DocumentRequest>>,
    facts: Option<Box<CallFacts>>,
    transfers: u8,
    has_rung: bool,
    is_answered: bool,
    is_scheduled: bool,
    /// As its leg has reported since it is in no conference.
    is_talking: bool,
    /// None if the state log has no row of the call.
    pub kept: Option<Box<KeptCall>>,
    #[cfg(debug_assertions)]
    is_over: bool,
}

// One machine holds a million of them.
const _: () = assert!(size_of::<Call>() <= 168);

/// More transfers than this end a call as a loop (contract 5.1).
pub const TRANSFERS_MAX: u8 = 70;

/// The report or document that the call waits for. One with another number is stale.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Awaits {
    Document(u32),
    Nothing,
    Order(u32),
    Recording(u32),
}

/// The result of one effect of the flow.
enum EffectResult {
    Effect(Effect),
    Move(CallAct),
    Nothing,
}

impl Call {
    /// A ringing call without a document: [`Call::begin`], [`Call::ask_for_flow`] or [`Call::dial`]
    /// starts it.
    pub fn new(
        now: Instant,
        id: CallId,
        account: AccountId,
        party: Arc<Party>,
        time_limit: Duration,
    ) -> Box<Self> {
        let run = Run::new(party.dialect);
        Box::new(Self {
            id,
            account,
            party,
            ends_at: now + time_limit,
            admission: None,
            time_limit_ms: u32::try_from(time_limit.as_millis()).unwrap_or(u32::MAX),
            run,
            number_last: 0,
            awaits: Awaits::Nothing,
            outgoing: None,
            fallback: None,
            request: None,
            facts: None,
            transfers: 0,
            has_rung: false,
            is_answered: false,
            is_scheduled: false,
            is_talking: false,
            kept: None,
            #[cfg(debug_assertions)]
            is_over: false,
        })
    }

    /// The number of the current element, from zero.
    pub fn step(&self) -> u32 {
        self.run.step()
    }

    /// The time of the next [`Call::tick`].
    pub fn deadline(&self) -> Instant {
        self.run.deadline().map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    /// `InProgress` once it is answered, else `Ringing`.
    pub fn status(&self) -> CallStatus {
        match self.is_answered {
            true => CallStatus::InProgress,
            false => CallStatus::Ringing,
        }
    }

    /// Dials the far end. The flow begins once that has answered.
    pub fn dial(&mut self, now: Instant, out: OutgoingCall, effects: &mut Vec<Effect>) -> CallAct {
        self.ends_at = now + out.ring_timeout;
        self.outgoing = Some(Box::new(out));
        effects.push(Effect::Signal(self.dial_order(DialOrigin::Request)));
        CallAct::Stay
    }

    /// Fetches the first document.
    pub fn ask_for_flow(&mut self, answer: AnswerUrls, effects: &mut Vec<Effect>) -> CallAct {
        let AnswerUrls { hook, fallback } = answer;
        self.fallback = fallback.map(Box::new);
        self.fetch(request(hook, Purpose::Answer), effects);
        CallAct::Stay
    }

    /// Takes the first document and begins its first element.
    pub fn begin(&mut self, now: Instant, document: Fetched, effects: &mut Vec<Effect>) -> CallAct {
        self.handle(now, FlowEvent::Fetched(document), effects)
    }

    /// Continues after the call left its conference, or was refused, as the exit says.
    ///
    /// `membership` is None if the call was refused.
    pub fn left(
        &mut self,
        now: Instant,
        exit: &Exit,
        membership: Option<PastMembership>,
        effects: &mut Vec<Effect>,
    ) -> CallAct {
        (self.admission, self.is_talking) = (None, false);
        match (exit.ends_call(), self.request.take()) {
            (true, _) => {
                if exit.dialled.is_some() {
                    self.flow_left(now, exit, membership, effects);
                }
                CallAct::End(self.ending(exit))
            }
            (false, Some(request)) => self.transfer(*request, effects),
            (false, None) => {
                self.note_exit(exit);
                self.flow_left(now, exit, membership, effects)
            }
        }
    }

    fn flow_left(
        &mut self,
        now: Instant,
        exit: &Exit,
        membership: Option<PastMembership>,
        effects: &mut Vec<Effect>,
    ) -> CallAct {
        let first = effects.len();
        let act = self.handle(now, FlowEvent::Left(exit.clone()), effects);
        let asked = effects[first..].iter_mut();
        match &exit.dialled {
            Some(_) => asked.for_each(|effect| add_dial(effect, self.id)),
            None => asked.for_each(|effect| add_membership(effect, membership)),
        }
        act
    }

    /// Ends a call that neither rings nor is answered yet. Others stay as they are.
    pub fn cancel(&self) -> CallAct {
        match self.outgoing.is_some() && !self.has_rung {
            true => CallAct::End(self.ending(&Cause::HungUpByApi.into())),
            false => CallAct::Stay,
        }
    }

    /// Takes an event of its leg, or a report on one of its orders.
    pub fn heard(&mut self, now: Instant, heard: LegEvent, effects: &mut Vec<Effect>) -> CallAct {
        let event = match heard {
            // Early media: the flow has not begun.
            LegEvent::Digit(_) | LegEvent::Talk(_) if self.outgoing.is_some() => {
                return CallAct::Stay;
            }
            LegEvent::Digit(digit) => FlowEvent::Digit(digit),
            LegEvent::Finished(number) if self.awaits == Awaits::Order(number) => FlowEvent::Over,
            LegEvent::Talk(on) => {
                self.is_talking = on;
                FlowEvent::Talk(on)
            }
            LegEvent::Answered => return self.picked_up(now, effects),
            LegEvent::EarlyMedia => return self.early_media(effects),
            LegEvent::Failed(failure) if self.outgoing.is_some() => {
                return CallAct::End(failure.ending(self.party.dialect));
            }
            LegEvent::Ringing => return self.rang(now, effects),
            LegEvent::Waits(seconds) => {
                if let Some(out) = &self.outgoing {
                    self.ends_at = now + Duration::from_secs(seconds.into()) + out.ring_timeout;
                }
                return CallAct::Stay;
            }
            LegEvent::EarlyMediaOver | LegEvent::Failed(_) => return CallAct::Stay,
            LegEvent::Hold(_) | LegEvent::Finished(_) => return CallAct::Stay,
            LegEvent::HungUp => return CallAct::End(self.ending(&Cause::CallerLeft.into())),
            LegEvent::MediaLost => return CallAct::End(self.ending(&Cause::MediaLost.into())),
        };
        self.handle(now, event, effects)
    }

    /// Takes a document. A number that the call does not wait for is stale and changes nothing.
    pub fn fetched(
        &mut self,
        now: Instant,
        number: u32,
        document: Fetched,
        effects: &mut Vec<Effect>,
    ) -> CallAct {
        if self.awaits != Awaits::Document(number) {
            return CallAct::Stay;
        }
        self.request = None;
        match (self.fallback.take(), &document) {
            (Some(hook), Err(_)) => {
                self.fetch(request(*hook, Purpose::Answer), effects);
                CallAct::Stay
            }
            (Some(_), Ok(_)) | (None, _) => self.handle(now, FlowEvent::Fetched(document), effects),
        }
    }

    /// Stops the current element and fetches another document. The call must be in no conference.
    pub fn transfer(&mut self, request: DocumentRequest, effects: &mut Vec<Effect>) -> CallAct {
        if TRANSFERS_MAX <= self.transfers {
            let (cause, source) = (HangupCause::LoopDetected, HangupSource::Error);
            return CallAct::End(Ending { cause, source });
        }
        self.transfers += 1;
        self.fallback = None;
        self.stop_element(effects);
        self.run.transfer();
        self.fetch(request, effects);
        CallAct::Stay
    }

    /// Notes a transfer of a member: [`Call::left`] fetches the document.
    pub fn transfer_once_out(&mut self, request: DocumentRequest) {
        self.request = Some(Box::new(request));
    }

    /// Handles a deadline that has passed: the call's own, or one of its element.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CallAct {
        if self.ends_at <= now {
            if self.outgoing.is_some() {
                let source = HangupSource::Platform(self.party.dialect);
                return CallAct::End(Ending { cause: HangupCause::RingTimeout, source });
            }
            return CallAct::End(self.ending(&Cause::CallTimeUp.into()));
        }
        self.handle(now, FlowEvent::Tick, effects)
    }

    /// The ending of the call by an exit that ends it.
    pub fn ending(&self, exit: &Exit) -> Ending {
        if let AfterExit::End(ending) = exit.then {
            return ending;
        }
        let dialect = self.party.dialect;
        let cause = match (exit.cause, &exit.then) {
            // The kick asked for a hang-up.
            (Cause::Kicked, AfterExit::HangUp) => Cause::HungUpByApi,
            (cause, _) => cause,
        };
        // A cause that lets the flow continue ends the call only at shutdown, after the drain time.
        let mut ending = cause.ending(dialect).unwrap_or(Ending {
            cause: HangupCause::Normal,
            source: HangupSource::Platform(dialect),
        });
        if ending.source == HangupSource::Caller && self.party.direction == CallDirection::Outbound
        {
            ending.source = HangupSource::Callee;
        }
        if self.outgoing.is_some() && ending.cause == HangupCause::Normal {
            ending.cause = HangupCause::Canceled;
        }
        ending
    }

    /// Ends a call: the only way to drop one without a panic in debug builds.
    #[expect(clippy::boxed_local, reason = "calls are moved as boxes, and here one ends")]
    pub fn end(mut self: Box<Self>) {
        self.awaits = Awaits::Nothing;
        #[cfg(debug_assertions)]
        {
            self.is_over = true;
        }
    }

    fn time_limit(&self) -> Duration {
        Duration::from_millis(self.time_limit_ms.into())
    }

    fn rang(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CallAct {
        let Some(out) = &self.outgoing else { return CallAct::Stay };
        self.has_rung = true;
        if let Some(max) = out.ring_max {
            self.ends_at = self.ends_at.min(now + max);
        }
        effects.push(Effect::Publish(CallEvent::Rang));
        CallAct::Stay
    }

    fn picked_up(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CallAct {
        let Some(out) = self.outgoing.take() else { return CallAct::Stay };
        self.is_answered = true;
        self.ends_at = now + self.time_limit();
        self.run.set_answered();
        effects.push(Effect::Publish(CallEvent::Answered));
        let OutgoingCall { answer, digits, .. } = *out;
        self.send_digits(digits, effects);
        self.ask_for_flow(answer, effects)
    }

    fn fetch(&mut self, request: DocumentRequest, effects: &mut Vec<Effect>) {
        effects.push(self.await_document(request));
    }

    fn await_document(&mut self, request: DocumentRequest) -> Effect {
        let number = self.number();
        self.awaits = Awaits::Document(number);
        self.request = Some(Box::new(request.clone()));
        Effect::Fetch { number, request }
    }

    fn handle(&mut self, now: Instant, event: FlowEvent, effects: &mut Vec<Effect>) -> CallAct {
        let mut asked = Vec::new();
        self.run.handle(now, event, &mut asked);
        self.apply(now, asked, effects)
    }

    fn apply(
        &mut self,
        now: Instant,
        asked: Vec<flow::Effect>,
        effects: &mut Vec<Effect>,
    ) -> CallAct {
        let mut act = CallAct::Stay;
        for effect in asked {
            debug_assert_eq!(act, CallAct::Stay, "a move is the last effect of a flow");
            match self.effect(now, effect) {
                EffectResult::Effect(effect @ Effect::Signal(SignallingOrder::Answer { .. })) => {
                    effects.extend([effect, Effect::Publish(CallEvent::Answered)]);
                }
                EffectResult::Effect(effect) => effects.push(effect),
                EffectResult::Move(wanted) => act = wanted,
                EffectResult::Nothing => (),
            }
        }
        act
    }

    /// Translates an effect of the flow into one of the call.
    fn effect(&mut self, now: Instant, effect: flow::Effect) -> EffectResult {
        let call = self.id;
        let effect = match effect {
            flow::Effect::Answer if self.is_answered => return EffectResult::Nothing,
            flow::Effect::Answer => {
                self.is_answered = true;
                // The limit counts from the answer; a scheduled hang-up keeps its time.
                if !self.is_scheduled {
                    self.ends_at = now + self.time_limit();
                }
                Effect::Signal(SignallingOrder::Answer { call })
            }
            flow::Effect::Begin { step } => {
                self.awaits = Awaits::Nothing;
                Effect::Begin { step }
            }
            flow::Effect::EarlyMedia if self.is_answered => return EffectResult::Nothing,
            flow::Effect::EarlyMedia => Effect::Signal(SignallingOrder::EarlyMedia { call }),
            flow::Effect::End(ending) => return EffectResult::Move(CallAct::End(ending)),
            flow::Effect::Dial(options) => return EffectResult::Move(CallAct::Dial(options)),
            flow::Effect::Join { room, options: entry } => {
                return EffectResult::Move(CallAct::Join { room, entry });
            }
            flow::Effect::Fetch(request) => self.await_document(request),
            flow::Effect::Notify(request) => Effect::Notify(request),
            flow::Effect::Entered(digits) => return self.note_digits(digits),
            flow::Effect::Play(program) => {
                let program = self.values().fill(program);
                let number = self.number();
                self.awaits = Awaits::Order(number);
                Effect::Audio(AudioOrder::Play { call, number, program })
            }
            flow::Effect::Record(options) => self.record(now, options),
            flow::Effect::StopRecording(why) => return self.stop_recording(why),
            // Its text is not known yet.
            flow::Effect::Prepare(program) if has_variables(&program) => {
                return EffectResult::Nothing;
            }
            flow::Effect::Prepare(program) => Effect::Audio(AudioOrder::Prepare { call, program }),
            flow::Effect::Schedule(after) => {
                self.is_scheduled = true;
                self.ends_at = self.ends_at.min(now + after);
                return EffectResult::Nothing;
            }
            flow::Effect::SendDigits { digits, awaits } => {
                let number = self.number();
                if awaits {
                    self.awaits = Awaits::Order(number);
                }
                Effect::Audio(AudioOrder::SendDigits { call, number, digits })
            }
            flow::Effect::Stop => {
                self.awaits = Awaits::Nothing;
                Effect::Audio(AudioOrder::Stop { call })
            }
        };
        EffectResult::Effect(effect)
    }

    fn number(&mut self) -> u32 {
        self.number_last = self.number_last.wrapping_add(1);
        self.number_last
    }
}

#[cfg(debug_assertions)]
impl Drop for Call {
    fn drop(&mut self) {
        // While a panic unwinds, a second one would stop the process.
        assert!(self.is_over || std::thread::panicking(), "call {} is dropped alive", self.id);
    }
}

#[cfg(test)]
mod tests;
