//! Resuming: what the last process has left behind is told to its end. Calls and rooms that died get
//! their last events, and callbacks that were not delivered are queued again.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    callbacks::EventCallback,
    event_store::{KeyKind, time},
    journal::{ActiveCall, Journal},
};
use crate::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    call::{CallEvent, CallStatus, Party},
    conference::{ConferenceEvent, MemberInfo, Notice},
    events::{AccountEvent, CallSequence, log::Event, row},
    flow::Cause,
    state_log::RowRecord,
};

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
        let mut callbacks = Vec::new();
        for RowRecord { key, event, body } in rows {
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
                KeyKind::Callback => {
                    callbacks.push((account, key, Arc::new(Event { number, at: time(at), what })));
                }
                KeyKind::Call | KeyKind::Answer | KeyKind::Member | KeyKind::Room => {
                    remains.take(kind, &account, time(at), what);
                }
            }
        }

        // Before those of the calls that end now, which go to the same receivers.
        callbacks.sort_by(|a, b| (&a.0, a.2.number).cmp(&(&b.0, b.2.number)));
        let mut resumed = Resumed { calls: remains.calls.len(), callbacks: callbacks.len() };
        for (account, key, event) in callbacks {
            match EventCallback::of(&event.what) {
                Some(callback) => self.callbacks().send(&account, callback, key, event),
                None => resumed.callbacks -= 1,
            }
        }
        self.end(remains, time(last_sign));
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
            AccountEvent::Dial { call, call_sequence, party, .. } => {
                self.call(call, account, &party, CallStatus::InProgress, call_sequence);
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
                    (KeyKind::Answer | KeyKind::Callback, _)
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
