//! One run: whoever can do something gets a turn, and when nobody can, time goes on.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot::{Receiver, error::TryRecvError};
use uuid::Uuid;

use super::{
    Act, Deed, Schedule, Script, Shelf, Told, Whom,
    report::{self, Note},
    schedule::Dice,
    script::{Event, Said},
    world::World,
};
use crate::{
    base::ids::{AccountId, CallId, ConferenceName, MemberId, RoomKey},
    call::{Call, Direction, Party, Session},
    conference::{Answer, Ask, Departure, Outcome, Who},
    engine::{
        registry::{AskError, House, Transferring},
        scheduler::Turns,
    },
    flow::{Cause, Method, Next, Purpose, Request},
    media::Report,
    sim_phones::Dial,
};

/// A day of many busy callers; a run that has not come to its end by then never will.
pub const TURNS_MAX: u64 = 20_000_000;

/// As calls last in an engine that is not told otherwise (contract 5.2).
const CALL_TIME_LIMIT: Duration = Duration::from_secs(14_400);

/// The run does not come to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("after {TURNS_MAX} turns, at {at_ms} ms, calls are still busy: is there a loop?")]
pub struct Endless {
    /// When it was cut off.
    pub at_ms: u64,
}

/// Runs a script to its end: until every call is over.
///
/// `flow` is the name of the main flow, which is on the shelf.
///
/// # Errors
///
/// It has none.
pub fn run(
    script: &Arc<Script>,
    shelf: &Arc<Shelf>,
    flow: &str,
    schedule: Schedule,
) -> Result<Told, Endless> {
    let world = Arc::new(World::new(script.clone(), shelf.clone()));
    let turns = Turns::default();
    let house = world.house(&turns);
    let life = Life {
        script,
        shelf,
        flow,
        account: shelf.account(),
        world,
        house,
        turns,
        dice: Dice::new(schedule),
        events: script.events.iter().collect(),
        due: Vec::new(),
        reports: VecDeque::new(),
        asked: Vec::new(),
        moving: Vec::new(),
        request_last: 0,
    };
    life.live()
}

struct Life<'a> {
    script: &'a Arc<Script>,
    shelf: &'a Arc<Shelf>,
    flow: &'a str,
    account: &'a AccountId,
    world: Arc<World>,
    house: Arc<House>,
    turns: Turns,
    dice: Dice,
    /// Those whose time has not come.
    events: VecDeque<&'a Event>,
    /// Those whose time has come.
    due: Vec<&'a Event>,
    reports: VecDeque<Report>,
    /// Requests that wait for their answer, and the notes about them.
    asked: Vec<(usize, Receiver<Outcome>)>,
    moving: Vec<Moving>,
    request_last: u128,
}

/// A transfer that waits for its answer.
struct Moving {
    note: usize,
    call: CallId,
    request: Request,
    transferring: Transferring,
}

/// Something that could happen now.
enum Choice {
    Document(usize),
    Event(usize),
    Phones,
    Report(usize),
    Turn(usize),
}

impl Life<'_> {
    fn live(mut self) -> Result<Told, Endless> {
        for _ in 0..TURNS_MAX {
            if self.step() {
                continue;
            }
            match self.next_moment() {
                Some(ms) => self.go_to(ms),
                None => {
                    debug_assert!(self.turns.is_empty(), "somebody is left");
                    return Ok(report::told(self.script, &self.world, self.account));
                }
            }
        }
        self.cut_off();
        Err(Endless { at_ms: self.world.clock.ms() })
    }

    /// No call may be dropped alive.
    fn cut_off(&mut self) {
        self.events.clear();
        self.due.clear();
        for _ in 0..TURNS_MAX {
            self.house.calls().iter().for_each(|it| self.house.hang_up(*it, Cause::HungUpByApi));
            self.turns.wake();
            while self.step() {}
            if self.turns.is_empty() {
                return;
            }
        }
    }

    /// Lets one thing happen; false if nothing can at this moment.
    fn step(&mut self) -> bool {
        self.turns.admit();
        self.look();
        let mut choices = self.choices();
        if choices.is_empty() {
            return false;
        }
        let n = self.dice.pick(choices.len());
        match choices.swap_remove(n) {
            Choice::Turn(n) => {
                self.turns.turn(n, self.world.clock.now(), || self.dice.slice());
                return true;
            }
            Choice::Report(n) => {
                let report = self.reports.remove(n).expect("it was there");
                self.house.report(report);
            }
            Choice::Phones => {
                let mut reports = Vec::new();
                self.world.phones.lock().tick(self.world.clock.now(), &mut reports);
                self.reports.extend(reports);
            }
            Choice::Document(n) => {
                let due = self.world.due.lock().swap_remove(n);
                (due.done)(due.fetch, due.fetched);
            }
            Choice::Event(n) => {
                let event = self.due.remove(n);
                self.perform(event);
            }
        }
        self.turns.wake();
        true
    }

    /// What can happen at this moment: in the order in which it should, where there is order.
    fn choices(&self) -> Vec<Choice> {
        let now_ms = self.world.clock.ms();
        let mut choices: Vec<_> = self.turns.busy().map(Choice::Turn).collect();
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
        let due = self.world.due.lock();
        let mut documents: Vec<_> = (0..due.len()).filter(|n| due[*n].at_ms <= now_ms).collect();
        documents.sort_by_key(|n| due[*n].at_ms);
        choices.extend(documents.into_iter().map(Choice::Document));
        let may_be_next = |n: &usize| {
            let who = self.due[*n].deed.caller();
            who.is_none() || self.due[..*n].iter().all(|it| it.deed.caller() != who)
        };
        choices.extend((0..self.due.len()).filter(may_be_next).map(Choice::Event));
        choices
    }

    fn next_moment(&self) -> Option<u64> {
        let clock = &self.world.clock;
        let actors = self.turns.deadline().map(|at| clock.ms_of(at));
        let phones = self.world.phones.lock().deadline().map(|at| clock.ms_of(at));
        let documents = self.world.due.lock().iter().map(|it| it.at_ms).min();
        let event = self.events.front().map(|it| it.at_ms);
        [actors, phones, documents, event].into_iter().flatten().min()
    }

    fn go_to(&mut self, ms: u64) {
        self.world.clock.set(ms);
        while let Some(event) = self.events.pop_front_if(|it| it.at_ms <= ms) {
            self.due.push(event);
        }
        self.turns.wake();
    }

    fn perform(&mut self, event: &Event) {
        let said = Said(self.script, &event.deed).to_string();
        let (note, api_id) = self.note(said, &event.deed);
        let done = match &event.deed {
            Deed::Ask { room, whom, wish } => match self.whom(room.as_ref(), whom) {
                Ok((room, who)) => self.ask(note, api_id, room, wish.ask(who)),
                Err(why) => Err(why),
            },
            Deed::Call(who) => self.call(*who),
            Deed::Cut(who) => self.cut(id(*who), api_id),
            Deed::End(room) => self.ask(note, api_id, room.clone(), Ask::HangUp { who: Who::All }),
            Deed::Phone(who, act) => self.phone(id(*who), act),
            Deed::Transfer(who, url) => self.transfer(note, id(*who), api_id, url.clone()),
        };
        if let Err(why) = done {
            self.answer(note, why);
        }
    }

    fn note(&mut self, what: String, deed: &Deed) -> (usize, Uuid) {
        let is_request = deed.caller().is_none();
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
        let to = caller.to.clone().unwrap_or_else(|| self.flow.into());
        let (from, caller_name) = (caller.from.clone(), caller.caller_name.clone());
        let dial = Dial { to, from, caller_name, user: caller.user.clone(), script: Vec::new() };
        let arrival = self.world.phones.lock().dial(now, call, self.account, dial);
        let arrival = arrival.map_err(|error| error.to_string())?;
        let dialect = self.script.dialect;
        let party = Party {
            from: arrival.from,
            to: arrival.to,
            caller_name: arrival.caller_name,
            direction: Direction::Inbound,
            dialect,
            trusted: arrival.trusted.map(Box::new),
            session: Session::at(SystemTime::UNIX_EPOCH),
        };
        let flow = caller.flow.as_deref().unwrap_or(self.flow);
        let document = self.shelf.fetched(flow, dialect);
        let why = document.as_ref().err().map(ToString::to_string);
        let call = Call::new(now, call, self.account.clone(), Arc::new(party), CALL_TIME_LIMIT);
        self.house.begin(now, call, document);
        why.map_or(Ok(()), Err)
    }

    fn phone(&self, call: CallId, act: &Act) -> Result<(), String> {
        let (now, mut phones) = (self.world.clock.now(), self.world.phones.lock());
        let done = match act {
            Act::HangUp => phones.hang_up(now, self.account, call),
            Act::Hold(on) => phones.hold(now, self.account, call, *on),
            Act::Press(keys) => phones.press(now, self.account, call, keys),
            Act::Talk(ms) => phones.talk(now, self.account, call, *ms),
        };
        done.map_err(|error| error.to_string())
    }

    /// The conference, and its members, that a request is about.
    fn whom(
        &self,
        room: Option<&ConferenceName>,
        whom: &Whom,
    ) -> Result<(ConferenceName, Who), String> {
        let seen = self.world.seen.lock();
        let place = |n: &usize| seen.members.get(&id(*n));
        let these = match whom {
            Whom::All => None,
            Whom::These(these) => Some(these.iter().filter_map(place).collect::<Vec<_>>()),
        };
        let found = match (room, &these) {
            (Some(room), _) => Some(room.clone()),
            (None, Some(places)) => places.first().map(|(room, _)| room.clone()),
            (None, None) => match &self.house.conferences(self.account)[..] {
                [room] => Some(room.clone()),
                [] => None,
                _ => return Err("there are several conferences: give room = \"…\"".to_owned()),
            },
        };
        let room = found.ok_or("no such member: nobody of them is in a conference")?;
        let who = these.map_or(Who::All, |places| {
            let here = places.into_iter().filter(|(it, _)| *it == room);
            Who::These(here.map(|(_, member)| *member).collect())
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
        let asked = self.house.ask_for(Some(api_id), &key, ask);
        self.asked.push((note, asked.map_err(|error| error.to_string())?));
        Ok(())
    }

    fn cut(&self, call: CallId, api_id: Uuid) -> Result<(), String> {
        if !self.house.is_up(call) {
            return Err("call not found".to_owned());
        }
        self.house.note_request(call, api_id, "HangUp");
        self.house.hang_up(call, Cause::HungUpByApi);
        Ok(())
    }

    fn transfer(
        &mut self,
        note: usize,
        call: CallId,
        api_id: Uuid,
        url: Arc<str>,
    ) -> Result<(), String> {
        let (method, purpose, fields) = (Method::Post, Purpose::Transfer, Vec::new());
        let request = Request { url, method, purpose, fields, is_private: false };
        let asked = self.house.transfer(call, request.clone());
        let transferring = asked.map_err(|_| "call not found".to_owned())?;
        self.house.note_request(call, api_id, "Transfer");
        self.moving.push(Moving { note, call, request, transferring });
        Ok(())
    }

    /// Takes in the answers that have come.
    fn look(&mut self) {
        let (mut answers, world) = (Vec::new(), &self.world);
        self.asked.retain_mut(|(note, answer)| {
            let answer = match answer.try_recv() {
                Ok(Ok(Answer::Banned { members, unknown })) => banned(world, &members, &unknown),
                Ok(Ok(Answer::Departures(would))) => foretold(world, &would),
                Ok(Ok(Answer::Members(members))) => names(world, &members),
                Ok(Ok(Answer::Roster(_))) => "done".to_owned(),
                Ok(Err(refusal)) => refusal.to_string(),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Closed) => AskError::Gone.to_string(),
            };
            answers.push((*note, answer));
            false
        });
        let house = &self.house;
        self.moving.retain_mut(|it| {
            let answer = match &mut it.transferring {
                Transferring::Call(answer) => answer.try_recv(),
                Transferring::OnItsWay => Err(TryRecvError::Closed),
                Transferring::Room(answer) => match answer.try_recv() {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(_)) => Err(TryRecvError::Closed),
                    Err(error) => Err(error),
                },
            };
            match answer {
                Ok(()) => answers.push((it.note, "done".to_owned())),
                Err(TryRecvError::Empty) => return true,
                // It has gone elsewhere meanwhile.
                Err(TryRecvError::Closed) => match house.transfer(it.call, it.request.clone()) {
                    Ok(again) => {
                        it.transferring = again;
                        return true;
                    }
                    Err(_) => answers.push((it.note, "call not found".to_owned())),
                },
            }
            false
        });
        answers.into_iter().for_each(|(note, answer)| self.answer(note, answer));
    }
}

fn names(world: &World, members: &[MemberId]) -> String {
    let seen = world.seen.lock();
    let name = |member: &MemberId| {
        let call = seen.callers.get(member);
        call.map_or_else(|| format!("member {member}"), |it| world.name(*it).to_owned())
    };
    members.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn banned(world: &World, members: &[MemberId], unknown: &[MemberId]) -> String {
    let names_ = names(world, members);
    match unknown.is_empty() {
        true => format!("{names_}; banned"),
        false => format!(
            "{names_}; not banned, since nobody vouches for them: {}",
            names(world, unknown)
        ),
    }
}

fn foretold(world: &World, departures: &[Departure]) -> String {
    let next = |it: &Departure| {
        let name = world.name(it.call);
        let next = match &it.next {
            Next::Element { tag, at, .. } => format!("{tag} {at}"),
            Next::End(ending) => ending.cause.name().to_owned(),
            Next::Fetch(url) => url.to_string(),
        };
        format!("{name} ({}) to {next}", it.cause.text())
    };
    let would: Vec<_> = departures.iter().map(next).collect();
    format!("would leave: {}", would.join(", "))
}

impl Deed {
    /// Whose doing it is, and after what else that he does; None of a request.
    fn caller(&self) -> Option<usize> {
        match self {
            Self::Call(who) | Self::Phone(who, _) => Some(*who),
            Self::Ask { .. } | Self::Cut(_) | Self::End(_) | Self::Transfer(..) => None,
        }
    }
}

/// The call of the nth caller.
pub(super) fn id(caller: usize) -> CallId {
    CallId::of(caller as u128 + 1)
}
