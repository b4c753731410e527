//! Resuming: what the last process has left behind is told to its end. Calls and rooms that died get
//! their last events, as a decision that was cut off says if there is one, and callbacks that were not
//! delivered are queued again.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use super::{
    backlog::Backlog,
    event_store::time,
    journal::{ActiveCall, Journal},
    recorder::{self, KeyKind, TurnRow, UnfinishedExits, callback_key},
    restorable::RestorePlan,
};
use crate::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    call::{CallEvent, CallStatus, Party},
    conference::{ConferenceEvent, MemberInfo, Notice},
    events::{AccountEvent, CallSequence, row},
    flow::Cause,
    state_log::{EventLine, Line, RowKey, RowRecord},
};

/// The kind of the keys of callbacks.
const CALLBACK: u8 = KeyKind::Callback as u8;

/// The kind that they had in logs of November 2026.
const CALLBACK_BEFORE: u8 = 5;

/// What the keys of a kind in the state log stand for, for people.
pub fn kind_name(kind: u8) -> String {
    match KeyKind::of(RowKey { kind, id: 0 }) {
        Some(KeyKind::Call) => "live calls".to_owned(),
        Some(KeyKind::Answer) => "answers of live calls".to_owned(),
        Some(KeyKind::Member) => "members of rooms".to_owned(),
        Some(KeyKind::Room) => "rooms".to_owned(),
        Some(KeyKind::Answered) => "answers of requests with an idempotency key".to_owned(),
        Some(KeyKind::Leaving) => "exits that are being told".to_owned(),
        Some(KeyKind::Ending) => "calls that a request ends".to_owned(),
        Some(KeyKind::Job) => "requests whose answer goes to a URL".to_owned(),
        Some(KeyKind::JobAnswered) => "answers of such requests".to_owned(),
        Some(KeyKind::Delivery) => "callbacks with attempts".to_owned(),
        Some(KeyKind::Callback) => "waiting callbacks".to_owned(),
        Some(KeyKind::Ban) => "bans that are not in the database yet".to_owned(),
        Some(KeyKind::Cdr) => "call detail records that are not in the database yet".to_owned(),
        Some(KeyKind::CallState) => "calls that can be restored".to_owned(),
        Some(KeyKind::RoomState) => "rooms that can be restored".to_owned(),
        Some(KeyKind::Document) => "documents that calls run".to_owned(),
        Some(KeyKind::Dialog) => "signalling of calls".to_owned(),
        Some(KeyKind::Leg) => "sound of calls".to_owned(),
        Some(KeyKind::Registration) => "registered phones".to_owned(),
        Some(KeyKind::Departures) => "members who leave rooms".to_owned(),
        Some(KeyKind::Restoring) => "restores under way".to_owned(),
        Some(KeyKind::HandedOver) => "handovers under way".to_owned(),
        Some(KeyKind::Pair) => "dials that can be restored".to_owned(),
        Some(KeyKind::Playing) => "sounds that calls hear".to_owned(),
        None => format!("rows of kind {kind}"),
    }
}

/// What a start has found of the last process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Resumed {
    /// Calls that were up, and have ended.
    pub calls: usize,
    /// Callbacks that wait to be delivered.
    pub callbacks: usize,
}

/// A call that was up.
struct LostCall {
    account: AccountId,
    party: Arc<Party>,
    status: CallStatus,
    events: CallSequence,
}

/// A room that was there, and its members.
struct LostRoom {
    room: Arc<Incarnation>,
    sequence: u64,
    members: Vec<MemberInfo>,
}

/// Everything that was up when the last process ended.
#[derive(Default)]
struct Remains {
    calls: BTreeMap<CallId, LostCall>,
    rooms: BTreeMap<RoomId, LostRoom>,
    answers: BTreeMap<CallId, SystemTime>,
    entries: Vec<(RoomId, MemberInfo)>,
    /// Exits that were decided, and are not told yet.
    unfinished: UnfinishedExits,
    /// Why calls end, if it is not the crash.
    causes: BTreeMap<CallId, Cause>,
}

impl Journal {
    /// Queues the callbacks that the last process has not delivered, and ends its calls and rooms as
    /// of `last_sign`, in microseconds since 1970: the last time at which it was alive. `rows`: what
    /// the state log has kept.
    pub fn resume(&self, rows: Vec<RowRecord>, last_sign: u64) -> Resumed {
        self.resume_but(&RestorePlan::default(), rows, last_sign).0
    }

    /// As [`Journal::resume`], but calls and rooms of this plan go on. Returns the number of the last
    /// notice of each such room, too.
    pub fn resume_but(
        &self,
        plan: &RestorePlan,
        rows: Vec<RowRecord>,
        last_sign: u64,
    ) -> (Resumed, BTreeMap<RoomId, u64>) {
        self.forget_rows(plan, &rows);
        let mut remains = Remains::default();
        let mut done = Vec::new();
        for RowRecord { key, event, body } in rows {
            if key.kind == CALLBACK_BEFORE {
                self.keep_waiting(key, event, &body);
                continue;
            }
            let Some(kind) = KeyKind::of(key) else { continue };
            if kind == KeyKind::Delivery {
                self.callbacks().deliveries.load(key, &body);
                continue;
            }
            let Some((account, number, at)) = event else {
                let row = remains.take_row(kind, key, &body);
                done.extend(row.filter(|_| plan.is_done_with(kind, key)));
                continue;
            };
            let Ok(account) = account.parse::<AccountId>() else { continue };
            let what = match row::read(&account, &body) {
                Ok(what) => what,
                Err(error) => {
                    tracing::error!(%account, number, "{error}");
                    continue;
                }
            };
            match kind {
                KeyKind::Cdr => self.store_again(what),
                KeyKind::Call | KeyKind::Answer | KeyKind::Member | KeyKind::Room => {
                    remains.take(kind, &account, time(at), what);
                }
                // They are rows without an event, or read later.
                KeyKind::Answered | KeyKind::Ending | KeyKind::Leaving => (),
                KeyKind::Callback | KeyKind::Delivery => (),
                KeyKind::Ban | KeyKind::Job | KeyKind::JobAnswered => (),
                KeyKind::CallState | KeyKind::RoomState | KeyKind::Document => (),
                KeyKind::Dialog | KeyKind::Leg | KeyKind::Registration => (),
                KeyKind::Departures | KeyKind::Pair | KeyKind::Playing => (),
                KeyKind::HandedOver | KeyKind::Restoring => (),
            }
        }
        let waiting = || self.state_log().map_or_else(Vec::new, |it| it.keys(CALLBACK));
        let ended = remains.calls.keys().filter(|it| !plan.has(**it)).count();
        let resumed = Resumed { calls: ended, callbacks: waiting().len() };

        // The callbacks of the calls that end now go to the same receivers as those that wait, and
        // after them.
        self.callbacks().is_resuming.store(self.state_log().is_some(), SeqCst);
        let sequences = self.end(plan, remains, time(last_sign));
        self.write_rows(&done);
        self.callbacks().is_resuming.store(false, SeqCst);
        if let Some(log) = self.state_log() {
            let mut backlog = Backlog::new(self.callbacks().clone(), log.clone(), waiting());
            backlog.fill();
            *self.backlog.lock() = Some(backlog);
        }
        (resumed, sequences)
    }

    /// Removes the rows of calls if none go on. First: another start must not restore calls that this
    /// one has begun to end.
    fn forget_rows(&self, plan: &RestorePlan, rows: &[RowRecord]) {
        let of_restore = |it: &&RowRecord| KeyKind::of(it.key).is_some_and(KeyKind::is_of_restore);
        let is_of_call = |it: &&RowRecord| KeyKind::of(it.key) != Some(KeyKind::Departures);
        let useless = rows.iter().filter(of_restore).filter(is_of_call);
        if !plan.restores() {
            self.write_rows(&useless.map(|it| TurnRow::gone(it.key)).collect::<Vec<_>>());
        }
    }

    /// Gives a callback of an older log the key that it has now.
    fn keep_waiting(&self, key: RowKey, event: Option<(Box<str>, u64, u64)>, body: &[u8]) {
        let (Some(log), Some((account, number, at))) = (self.state_log(), event) else { return };
        let Ok(owner) = account.parse() else { return };
        let keys = [Some(callback_key(&owner, number)), None, None, None];
        let event = EventLine { account: &account, number, at, keys, body };
        log.append(&[Line::Copied(event), Line::Gone(key)], |_| ());
    }

    /// Adds a CDR that the last process may not have got into the database.
    fn store_again(&self, what: AccountEvent) {
        let AccountEvent::Call { cdr: Some(cdr), .. } = what else { return };
        match self.cdrs.find(&cdr.account, cdr.call) {
            // With its audio statistics, which events do not have.
            Ok(Some(_)) => self.forget_cdr(cdr.call),
            Ok(None) => self.add_cdr(cdr),
            Err(error) => tracing::error!(call = %cdr.call, "{error}"),
        }
    }

    fn end(
        &self,
        plan: &RestorePlan,
        remains: Remains,
        last_sign: SystemTime,
    ) -> BTreeMap<RoomId, u64> {
        let mut sequences = BTreeMap::new();
        let Remains { calls, mut rooms, answers, entries, unfinished, mut causes } = remains;
        let mut in_room = BTreeMap::new();
        for (room, who) in entries {
            if let Some(room) = rooms.get_mut(&room) {
                in_room.insert(who.call, room.room.clone());
                room.members.push(who);
            }
        }
        for (call, lost) in &calls {
            let began_at = lost.party.session.began_at;
            let answered = answers.get(call).map(|it| it.duration_since(began_at));
            let answered = answered.map(Result::unwrap_or_default).map(nanos);
            let active = ActiveCall::lost(
                lost.party.clone(),
                lost.status,
                answered,
                lost.events,
                in_room.remove(call),
            );
            match plan.has(*call) {
                true => self.add_restored(&lost.account, *call, active),
                false => self.add_lost(&lost.account, *call, active),
            }
        }
        for LostRoom { room, mut sequence, mut members } in rooms.into_values() {
            let goes_on = plan.has_room(room.id);
            members.retain(|who| !goes_on || !plan.has(who.call));
            let count = members.len();
            let exits = members.into_iter().enumerate().map(|(at, who)| {
                let is_last = at + 1 == count && !goes_on;
                // A member's call has a cause if a request has ended it.
                let ended = || causes.get(&who.call).map(|cause| (*cause, None));
                let by_member = unfinished.get(&(who.call, Some(who.member)));
                let exit = by_member.or_else(|| unfinished.get(&(who.call, None)));
                let exit = exit.cloned().or_else(ended);
                let (cause, reason) = exit.unwrap_or((Cause::Crashed, None));
                causes.entry(who.call).or_insert(cause);
                ConferenceEvent::Exited { who, cause, reason, is_last, ends: false }
            });
            for event in exits.chain((!goes_on).then_some(ConferenceEvent::Over)) {
                sequence += 1;
                self.conference_at(last_sign, &room, &Notice { sequence, event });
            }
            sequences.insert(room.id, sequence);
        }
        let lost = calls.into_iter().filter(|(call, _)| !plan.has(*call));
        for (call, LostCall { account, party, .. }) in lost {
            // A call that has left a room and went on has died in the crash.
            let decided = causes.get(&call).and_then(|it| it.ending(party.dialect));
            let crashed = || Cause::Crashed.ending(party.dialect).expect("such a call has ended");
            let ending = decided.unwrap_or_else(crashed);
            let began_at = party.session.began_at;
            let age = last_sign.duration_since(began_at).unwrap_or_default();
            self.call_at(nanos(age), &account, call, &party, CallEvent::Ended(ending));
        }
        sequences
    }
}

impl Remains {
    /// Takes a row without an event; its end, if this start finishes it.
    fn take_row(&mut self, kind: KeyKind, key: RowKey, body: &[u8]) -> Option<TurnRow> {
        match kind {
            KeyKind::Ending => {
                self.causes.insert(CallId::of(key.id), Cause::HungUpByApi);
            }
            KeyKind::Leaving => recorder::read_leaving(body, &mut self.unfinished),
            KeyKind::Departures => recorder::read_departures(body, &mut self.unfinished),
            // Calls that go on need them; the others end.
            KeyKind::CallState | KeyKind::RoomState | KeyKind::Document => (),
            KeyKind::Pair => (),
            // The API takes answers and jobs, and the ban list bans; the others have an event.
            KeyKind::Ban | KeyKind::Answered | KeyKind::Job | KeyKind::JobAnswered => return None,
            KeyKind::Answer | KeyKind::Call | KeyKind::Delivery => return None,
            KeyKind::Callback | KeyKind::Cdr | KeyKind::Member | KeyKind::Room => return None,
            KeyKind::Dialog | KeyKind::Leg | KeyKind::Registration => return None,
            KeyKind::HandedOver | KeyKind::Playing | KeyKind::Restoring => return None,
        }
        Some(TurnRow::gone(key))
    }

    fn take(&mut self, kind: KeyKind, account: &AccountId, at: SystemTime, what: AccountEvent) {
        match what {
            AccountEvent::Call { call, call_sequence, party, status, .. } => {
                if kind == KeyKind::Answer {
                    self.answers.insert(call, at);
                    return;
                }
                self.call(call, account, &party, status, call_sequence);
            }
            AccountEvent::Dial { call, call_sequence, party, .. } => {
                self.call(call, account, &party, CallStatus::InProgress, call_sequence);
            }
            // Its row has what a start needs.
            AccountEvent::Recording(_) => (),
            AccountEvent::Conference { room, notice, call_sequence } => {
                let Notice { sequence, event } = notice;
                match (kind, event.who()) {
                    (KeyKind::Call, Some(who)) => {
                        if let ConferenceEvent::Exited { cause, .. } = &event {
                            self.causes.entry(who.call).or_insert(*cause);
                        }
                        let events = call_sequence.unwrap_or(CallSequence::MIN);
                        let status = CallStatus::InProgress;
                        self.call(who.call, account, &who.party, status, events);
                    }
                    (KeyKind::Member, Some(who)) => self.entries.push((room.id, who.clone())),
                    (KeyKind::Room, _) => {
                        let (id, members) = (room.id, Vec::new());
                        self.rooms.insert(id, LostRoom { room, sequence, members });
                    }
                    (KeyKind::Answer | KeyKind::Answered | KeyKind::Ban | KeyKind::Callback, _)
                    | (KeyKind::Cdr, _)
                    | (KeyKind::Delivery | KeyKind::Ending | KeyKind::Job, _)
                    | (KeyKind::JobAnswered | KeyKind::Leaving, _)
                    | (KeyKind::CallState | KeyKind::RoomState | KeyKind::Document, _)
                    | (KeyKind::Dialog | KeyKind::Leg | KeyKind::Registration, _)
                    | (KeyKind::Departures | KeyKind::Pair | KeyKind::Playing, _)
                    | (KeyKind::HandedOver | KeyKind::Restoring, _)
                    | (KeyKind::Call | KeyKind::Member, None) => (),
                }
            }
        }
    }

    fn call(
        &mut self,
        call: CallId,
        account: &AccountId,
        party: &Arc<Party>,
        status: CallStatus,
        events: CallSequence,
    ) {
        let (account, party) = (account.clone(), party.clone());
        let lost = LostCall { account, party, status, events };
        self.calls.insert(call, lost);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
