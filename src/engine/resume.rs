//! Resuming: what the last process has left behind is told to its end. Calls and rooms that died get
//! their last events, and callbacks that were not delivered are queued again.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use super::{
    backlog::Backlog,
    event_store::{KeyKind, time},
    journal::{ActiveCall, Journal},
};
use crate::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    call::{CallEvent, CallStatus, Party},
    conference::{ConferenceEvent, MemberInfo, Notice},
    events::{AccountEvent, CallSequence, row},
    flow::Cause,
    state_log::{RowKey, RowRecord},
};

/// The kind of the keys of callbacks.
const CALLBACK: u8 = KeyKind::Callback as u8;

/// What the keys of a kind in the state log stand for, for people.
pub fn kind_name(kind: u8) -> String {
    match KeyKind::of(RowKey { kind, id: 0 }) {
        Some(KeyKind::Call) => "live calls".to_owned(),
        Some(KeyKind::Answer) => "answers of live calls".to_owned(),
        Some(KeyKind::Member) => "members of rooms".to_owned(),
        Some(KeyKind::Room) => "rooms".to_owned(),
        Some(KeyKind::Delivery) => "callbacks with attempts".to_owned(),
        Some(KeyKind::Callback) => "waiting callbacks".to_owned(),
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
}

impl Journal {
    /// Queues the callbacks that the last process has not delivered, and ends its calls and rooms as
    /// of `last_sign`, in microseconds since 1970: the last time at which it was alive. `rows`: what
    /// the state log has kept.
    pub fn resume(&self, rows: Vec<RowRecord>, last_sign: u64) -> Resumed {
        let mut remains = Remains::default();
        for RowRecord { key, event, body } in rows {
            if KeyKind::of(key) == Some(KeyKind::Delivery) {
                self.callbacks().deliveries.load(key, &body);
                continue;
            }
            let (Some(kind), Some((account, number, at))) = (KeyKind::of(key), event) else {
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
                KeyKind::Call | KeyKind::Answer | KeyKind::Member | KeyKind::Room => {
                    remains.take(kind, &account, time(at), what);
                }
                KeyKind::Callback | KeyKind::Delivery => (),
            }
        }
        let waiting = || self.state_log().map_or_else(Vec::new, |it| it.keys(CALLBACK));
        let resumed = Resumed { calls: remains.calls.len(), callbacks: waiting().len() };

        // The callbacks of the calls that end now go to the same receivers as those that wait, and
        // after them.
        self.callbacks().is_resuming.store(self.state_log().is_some(), SeqCst);
        self.end(remains, time(last_sign));
        self.callbacks().is_resuming.store(false, SeqCst);
        if let Some(log) = self.state_log() {
            let mut backlog = Backlog::new(self.callbacks().clone(), log.clone(), waiting());
            backlog.fill();
            *self.backlog.lock() = Some(backlog);
        }
        resumed
    }

    fn end(&self, remains: Remains, last_sign: SystemTime) {
        let Remains { calls, mut rooms, answers, entries } = remains;
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
            self.add_lost(&lost.account, *call, active);
        }
        for LostRoom { room, mut sequence, members } in rooms.into_values() {
            let count = members.len();
            let exits = members.into_iter().enumerate().map(|(at, who)| {
                let is_last = at + 1 == count;
                ConferenceEvent::Exited {
                    who,
                    cause: Cause::Crashed,
                    reason: None,
                    is_last,
                    ends: false,
                }
            });
            for event in exits.chain([ConferenceEvent::Over]) {
                sequence += 1;
                self.conference_at(last_sign, &room, &Notice { sequence, event });
            }
        }
        for (call, LostCall { account, party, .. }) in calls {
            let ending = Cause::Crashed.ending(party.dialect).expect("such a call has ended");
            let began_at = party.session.began_at;
            let age = last_sign.duration_since(began_at).unwrap_or_default();
            self.call_at(nanos(age), &account, call, &party, CallEvent::Ended(ending));
        }
    }
}

impl Remains {
    fn take(&mut self, kind: KeyKind, account: &AccountId, at: SystemTime, what: AccountEvent) {
        match what {
            AccountEvent::Call { call, call_sequence, party, status, .. } => {
                if kind == KeyKind::Answer {
                    self.answers.insert(call, at);
                    return;
                }
                self.call(call, account, &party, status, call_sequence);
            }
            AccountEvent::Conference { room, notice, call_sequence } => {
                let Notice { sequence, event } = notice;
                match (kind, event.who()) {
                    (KeyKind::Call, Some(who)) => {
                        let events = call_sequence.unwrap_or(CallSequence::MIN);
                        let status = CallStatus::InProgress;
                        self.call(who.call, account, &who.party, status, events);
                    }
                    (KeyKind::Member, Some(who)) => self.entries.push((room.id, who.clone())),
                    (KeyKind::Room, _) => {
                        let (id, members) = (room.id, Vec::new());
                        self.rooms.insert(id, LostRoom { room, sequence, members });
                    }
                    (KeyKind::Answer | KeyKind::Callback | KeyKind::Delivery, _)
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
