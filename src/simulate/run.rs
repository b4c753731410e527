//! Simulation run: gives turns to everything that can act, then advances the clock.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot::{Receiver, error::TryRecvError};
use uuid::Uuid;

use super::{
    Schedule, Script, ScriptAction, ScriptInvitation, ScriptPhoneAction, ScriptTargets,
    SimulatedFlows, SimulationReport,
    answers::{banned, names, would_leave},
    dial,
    note::Note,
    report::{self, id},
    schedule::TurnPicker,
    script::{EventText, ScriptEvent},
    world::SimulatedWorld,
};
use crate::{
    base::ids::{AccountId, CallId, ConferenceName, RoomKey},
    call::{Call, CallDirection, CallSession, Party},
    conference::{Ask, ConferenceAnswer, MemberSelector, Outcome},
    engine::{
        invite::InviteRequest,
        recordings::Recordings,
        registry::{AskError, PendingTransfer, Registry},
        scheduler::Scheduler,
    },
    flow::{Cause, DocumentRequest, Purpose, RequestMethod},
    media::Report,
    sim_phones::Dial,
};

/// A day with many busy callers; a run that takes more turns does not end.
pub const TURNS_MAX: u64 = 20_000_000;

/// Default time limit of calls in the engine (contract 5.2).
const CALL_TIME_LIMIT: Duration = Duration::from_secs(14_400);

/// Error: the run does not end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("after {TURNS_MAX} turns, at {at_ms} ms, calls are still busy: is there a loop?")]
pub struct Endless {
    /// Virtual time at which the run was stopped.
    pub at_ms: u64,
}

/// Runs a script until all calls have ended.
///
/// `flow` is the name of the main flow in `flows`.
///
/// # Errors
///
/// The run does not end.
pub fn run(
    script: &Arc<Script>,
    flows: &Arc<SimulatedFlows>,
    flow: &str,
    schedule: Schedule,
) -> Result<SimulationReport, Endless> {
    let world = Arc::new(SimulatedWorld::new(script.clone(), flows.clone()));
    let scheduler = Scheduler::default();
    let registry = world.registry(&scheduler);
    let recordings = world.recordings(&registry);
    let simulation = SimulationRun {
        script,
        flows,
        flow,
        account: flows.account(),
        world,
        registry,
        recordings,
        scheduler,
        dice: TurnPicker::new(schedule),
        events: script.events.iter().collect(),
        due: Vec::new(),
        reports: VecDeque::new(),
        asked: Vec::new(),
        transfers: Vec::new(),
        request_last: 0,
    };
    simulation.run_to_end()
}

pub(super) struct SimulationRun<'a> {
    pub(super) script: &'a Arc<Script>,
    flows: &'a Arc<SimulatedFlows>,
    flow: &'a str,
    pub(super) account: &'a AccountId,
    pub(super) world: Arc<SimulatedWorld>,
    pub(super) registry: Arc<Registry>,
    recordings: Arc<Recordings>,
    scheduler: Scheduler,
    dice: TurnPicker,
    /// Future events, in order.
    events: VecDeque<&'a ScriptEvent>,
    /// Events of the current moment.
    due: Vec<&'a ScriptEvent>,
    reports: VecDeque<Report>,
    /// Requests that wait for their response, with the indexes of their notes.
    asked: Vec<(usize, Receiver<Outcome>)>,
    transfers: Vec<TransferInProgress>,
    request_last: u128,
}

/// A transfer that waits for its response.
struct TransferInProgress {
    note: usize,
    call: CallId,
    request: DocumentRequest,
    transferring: PendingTransfer,
}

/// Something that can happen now.
enum Choice {
    Document(usize),
    Event(usize),
    Phones,
    Recordings,
    Report(usize),
    Turn(usize),
}

impl SimulationRun<'_> {
    fn run_to_end(mut self) -> Result<SimulationReport, Endless> {
        for _ in 0..TURNS_MAX {
            if self.step() {
                continue;
            }
            match self.next_moment() {
                Some(ms) => self.go_to(ms),
                None => {
                    debug_assert!(self.scheduler.is_empty(), "an actor is left");
                    return Ok(report::report(self.script, &self.world, self.account));
                }
            }
        }
        self.cut_off();
        Err(Endless { at_ms: self.world.clock.ms() })
    }

    /// Hangs up all calls: no call may be dropped while it is up.
    fn cut_off(&mut self) {
        self.events.clear();
        self.due.clear();
        for _ in 0..TURNS_MAX {
            self.registry
                .calls()
                .iter()
                .for_each(|it| self.registry.hang_up(*it, Cause::HungUpByApi));
            self.scheduler.wake();
            while self.step() {}
            if self.scheduler.is_empty() {
                return;
            }
        }
    }

    /// Lets one thing happen. False if nothing can happen at this moment.
    fn step(&mut self) -> bool {
        self.scheduler.add_new_actors();
        self.collect_answers();
        let mut choices = self.choices();
        if choices.is_empty() {
            return false;
        }
        let n = self.dice.pick(choices.len());
        match choices.swap_remove(n) {
            Choice::Turn(n) => {
                self.scheduler.turn(n, self.world.clock.now(), || self.dice.slice());
                return true;
            }
            Choice::Report(n) => {
                let report = self.reports.remove(n).expect("it was there");
                self.registry.report(report);
            }
            Choice::Phones => {
                let mut reports = Vec::new();
                self.world.phones.lock().tick(self.world.clock.now(), &mut reports);
                self.reports.extend(reports);
            }
            Choice::Recordings => self.world.files.turn(&self.recordings),
            Choice::Document(n) => {
                let due = self.world.due.lock().swap_remove(n);
                (due.done)(due.fetch, due.fetched, None);
            }
            Choice::Event(n) => {
                let event = self.due.remove(n);
                self.perform(event);
            }
        }
        self.scheduler.wake();
        true
    }

    /// Everything that can happen at this moment, in order for an orderly schedule.
    fn choices(&self) -> Vec<Choice> {
        let now_ms = self.world.clock.ms();
        let mut choices: Vec<_> = self.scheduler.busy().map(Choice::Turn).collect();
        if self.dice.is_orderly() && !choices.is_empty() {
            return choices;
        }
        let is_first = |n: &usize| {
            let call = self.reports[*n].call;
            self.reports.iter().take(*n).all(|it| it.call != call)
        };
        choices.extend((0..self.reports.len()).filter(is_first).map(Choice::Report));
        let due_at = self.world.phones.lock().deadline();
        if due_at.is_some_and(|at| at <= self.world.clock.now()) {
            choices.push(Choice::Phones);
        }
        let recording_due_at = self.recordings.deadline();
        if self.world.files.has_ends()
            || recording_due_at.is_some_and(|at| at <= self.world.clock.now())
        {
            choices.push(Choice::Recordings);
        }
        let due = self.world.due.lock();
        let mut documents: Vec<_> = (0..due.len()).filter(|n| due[*n].at_ms <= now_ms).collect();
        documents.sort_by_key(|n| due[*n].at_ms);
        choices.extend(documents.into_iter().map(Choice::Document));
        let may_be_next = |n: &usize| {
            let who = self.due[*n].action.caller();
            who.is_none() || self.due[..*n].iter().all(|it| it.action.caller() != who)
        };
        choices.extend((0..self.due.len()).filter(may_be_next).map(Choice::Event));
        choices
    }

    fn next_moment(&self) -> Option<u64> {
        let clock = &self.world.clock;
        let actors = self.scheduler.deadline().map(|at| clock.ms_of(at));
        let phones = self.world.phones.lock().deadline().map(|at| clock.ms_of(at));
        let documents = self.world.due.lock().iter().map(|it| it.at_ms).min();
        let event = self.events.front().map(|it| it.at_ms);
        let recordings = self.recordings.deadline().map(|at| clock.ms_of(at));
        [actors, phones, documents, event, recordings].into_iter().flatten().min()
    }

    fn go_to(&mut self, ms: u64) {
        self.world.clock.set(ms);
        while let Some(event) = self.events.pop_front_if(|it| it.at_ms <= ms) {
            self.due.push(event);
        }
        self.scheduler.wake();
    }

    fn perform(&mut self, event: &ScriptEvent) {
        let text = EventText(self.script, &event.action).to_string();
        let (note, api_id) = self.note(text, &event.action);
        let done = match &event.action {
            ScriptAction::Ask { room, targets, command } => {
                match self.find_targets(room.as_ref(), targets) {
                    Ok((room, who)) => self.ask(note, api_id, room, command.ask(who)),
                    Err(why) => Err(why),
                }
            }
            ScriptAction::Call(who) => self.call(*who),
            ScriptAction::Cut(who) => self.cut(id(*who), api_id),
            ScriptAction::Dial(invitation) => self.dial(note, api_id, invitation),
            ScriptAction::End(room) => {
                self.ask(note, api_id, room.clone(), Ask::HangUp { who: MemberSelector::All })
            }
            ScriptAction::Phone(who, act) => self.phone(id(*who), act),
            ScriptAction::Record(recording) => {
                self.record(api_id, recording).map(|it| self.answer(note, it))
            }
            ScriptAction::Transfer(who, url) => self.transfer(note, id(*who), api_id, url.clone()),
        };
        if let Err(why) = done {
            self.answer(note, why);
        }
    }

    fn note(&mut self, what: String, action: &ScriptAction) -> (usize, Uuid) {
        let is_request = action.caller().is_none();
        self.request_last += u128::from(is_request);
        let api_id = Uuid::from_u128(self.request_last);
        let at_ms = self.world.clock.ms();
        let notes = &mut self.world.seen.lock().notes;
        notes.push(Note { at_ms, what, answer: None, api_id: is_request.then_some(api_id) });
        (notes.len() - 1, api_id)
    }

    fn answer(&self, note: usize, answer: String) {
        self.world.seen.lock().notes[note].answer = Some(answer);
    }

    fn call(&mut self, n: usize) -> Result<(), String> {
        let caller = &self.script.callers[n];
        let (call, now) = (id(n), self.world.clock.now());
        let own = caller.to.clone().or_else(|| caller.flow.clone());
        let to = own.unwrap_or_else(|| self.flow.into());
        let (from, caller_name) = (caller.from.clone(), caller.caller_name.clone());
        let dial = Dial { to, from, caller_name, user: caller.user.clone(), script: Vec::new() };
        let arrival = self.world.phones.lock().dial(now, call, self.account, dial);
        let arrival = arrival.map_err(|error| error.to_string())?;
        let dialect = self.script.dialect;
        let party = Party {
            from: arrival.from,
            to: arrival.to,
            caller_name: arrival.caller_name,
            direction: CallDirection::Inbound,
            dialect,
            trusted: arrival.trusted.map(Box::new),
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        let flow = caller.flow.as_deref().unwrap_or(self.flow);
        let document = self.flows.fetched(flow, dialect);
        let why = document.as_ref().err().map(ToString::to_string);
        let call = Call::new(now, call, self.account.clone(), Arc::new(party), CALL_TIME_LIMIT);
        self.registry.begin(now, call, &format!("flow:{flow}"), document);
        why.map_or(Ok(()), Err)
    }

    fn phone(&self, call: CallId, act: &ScriptPhoneAction) -> Result<(), String> {
        let (now, mut phones) = (self.world.clock.now(), self.world.phones.lock());
        let done = match act {
            ScriptPhoneAction::HangUp => phones.hang_up(now, self.account, call),
            ScriptPhoneAction::Hold(on) => phones.hold(now, self.account, call, *on),
            ScriptPhoneAction::Press(keys) => phones.press(now, self.account, call, keys),
            ScriptPhoneAction::Talk(ms) => phones.talk(now, self.account, call, *ms),
        };
        done.map_err(|error| error.to_string())
    }

    /// The conference of a request, and the members that it names.
    fn find_targets(
        &self,
        room: Option<&ConferenceName>,
        targets: &ScriptTargets,
    ) -> Result<(ConferenceName, MemberSelector), String> {
        let seen = self.world.seen.lock();
        let place = |n: &usize| seen.members.get(&id(*n));
        let these = match targets {
            ScriptTargets::All => None,
            ScriptTargets::These(these) => Some(these.iter().filter_map(place).collect::<Vec<_>>()),
        };
        let found = match (room, &these) {
            (Some(room), _) => Some(room.clone()),
            (None, Some(places)) => places.first().map(|(room, _)| room.clone()),
            (None, None) => match &self.registry.conferences(self.account)[..] {
                [room] => Some(room.clone()),
                [] => None,
                _ => return Err("there are several conferences: give room = \"…\"".to_owned()),
            },
        };
        let room = found.ok_or("no such member: none of them is in a conference")?;
        let who = these.map_or(MemberSelector::All, |places| {
            let here = places.into_iter().filter(|(it, _)| *it == room);
            MemberSelector::These(here.map(|(_, member)| *member).collect())
        });
        Ok((room, who))
    }

    fn ask(
        &mut self,
        note: usize,
        api_id: Uuid,
        name: ConferenceName,
        ask: Ask,
    ) -> Result<(), String> {
        let key = RoomKey { account: self.account.clone(), name };
        let asked = self.registry.ask_for(Some(api_id).into(), &key, ask);
        self.asked.push((note, asked.map_err(|error| error.to_string())?));
        Ok(())
    }

    /// Calls somebody into a conference.
    fn dial(
        &mut self,
        note: usize,
        api_id: Uuid,
        invitation: &ScriptInvitation,
    ) -> Result<(), String> {
        let ScriptInvitation { room, terms, flow, .. } = invitation;
        let callees = dial::calls(invitation, self.script);
        for callee in &callees {
            let route = self.registry.can_dial(self.account, &callee.party.to);
            route.map_err(|error| format!("to: {error}"))?;
        }
        let calls: Vec<_> = callees.iter().map(|it| it.call).collect();
        let request = InviteRequest { callees, terms: terms.clone(), flow: flow.clone() };
        let key = RoomKey { account: self.account.clone(), name: room.clone() };
        let now = self.world.clock.now();
        let asked = self.registry.invite(now, Some(api_id).into(), &key, request);
        self.asked.push((note, asked.map_err(|error| error.to_string())?));
        calls.into_iter().for_each(|it| self.registry.note_request(it, api_id, "DialMember"));
        Ok(())
    }

    fn cut(&self, call: CallId, api_id: Uuid) -> Result<(), String> {
        if !self.registry.is_up(call) {
            return Err("call not found".to_owned());
        }
        self.registry.note_request(call, api_id, "HangUp");
        self.registry.hang_up(call, Cause::HungUpByApi);
        Ok(())
    }

    fn transfer(
        &mut self,
        note: usize,
        call: CallId,
        api_id: Uuid,
        url: Arc<str>,
    ) -> Result<(), String> {
        let (method, purpose, fields) = (RequestMethod::Post, Purpose::Transfer, Vec::new());
        let request = DocumentRequest { url, method, purpose, fields, is_private: false };
        let asked = self.registry.transfer(call, request.clone().into(), None);
        let transferring = asked.map_err(|_| "call not found".to_owned())?;
        self.registry.note_request(call, api_id, "Transfer");
        self.transfers.push(TransferInProgress { note, call, request, transferring });
        Ok(())
    }

    /// Writes the responses that have arrived into the notes.
    fn collect_answers(&mut self) {
        let (mut answers, world) = (Vec::new(), &self.world);
        self.asked.retain_mut(|(note, answer)| {
            let answer = match answer.try_recv() {
                Ok(Ok(ConferenceAnswer::Banned { members, unknown })) => {
                    banned(world, &members, &unknown)
                }
                Ok(Ok(ConferenceAnswer::Departures(would))) => would_leave(world, &would),
                Ok(Ok(ConferenceAnswer::Members(members))) => names(world, &members),
                Ok(Ok(ConferenceAnswer::Callee(_) | ConferenceAnswer::Roster(_))) => {
                    "done".to_owned()
                }
                Ok(Err(refusal)) => refusal.to_string(),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Closed) => AskError::Gone.to_string(),
            };
            answers.push((*note, answer));
            false
        });
        let registry = &self.registry;
        self.transfers.retain_mut(|it| {
            let answer = match &mut it.transferring {
                PendingTransfer::Call(answer) => answer.try_recv(),
                PendingTransfer::InTransit => Err(TryRecvError::Closed),
                PendingTransfer::Room(answer) => match answer.try_recv() {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(_)) => Err(TryRecvError::Closed),
                    Err(error) => Err(error),
                },
            };
            match answer {
                Ok(()) => answers.push((it.note, "done".to_owned())),
                Err(TryRecvError::Empty) => return true,
                // The call has moved meanwhile: asks its new owner.
                Err(TryRecvError::Closed) => {
                    match registry.transfer(it.call, it.request.clone().into(), None) {
                        Ok(again) => {
                            it.transferring = again;
                            return true;
                        }
                        Err(_) => answers.push((it.note, "call not found".to_owned())),
                    }
                }
            }
            false
        });
        answers.into_iter().for_each(|(note, answer)| self.answer(note, answer));
    }
}

impl ScriptAction {
    /// Index of the caller who acts; None for a request.
    fn caller(&self) -> Option<usize> {
        match self {
            Self::Call(who) | Self::Phone(who, _) => Some(*who),
            Self::Ask { .. } | Self::Cut(_) | Self::Dial(_) => None,
            Self::End(_) | Self::Record(_) | Self::Transfer(..) => None,
        }
    }
}
