//! The order side of the plane: knows which thread has which call, and posts there.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    command::{Deed, Hearing, Message, Over},
    leg::{Leg, Tally},
    loader::Studio,
    mailbox::{Concern, Mark, Post},
    socket::Wire,
};
use crate::{
    base::ids::{CallId, RoomId},
    media::{Hears, Order, legs::LegSummary},
};

/// Where every call's leg is. An order goes to one thread; nothing here waits, but for a packet
/// that is under way.
pub(super) struct Switchboard<W> {
    pub(super) threads: Arc<[Post<Message<W>>]>,
    pub(super) studio: Studio,
    calls: Box<[Mutex<HashMap<CallId, Entry>>]>,
    /// The thread of the next leg.
    next: AtomicUsize,
}

/// A call that signalling has opened and not closed.
struct Entry {
    /// Where its leg is, or will be when it has come.
    thread: usize,
    has_ended: bool,
    tally: Arc<Tally>,
}

/// Enough that callers seldom meet.
const SHARDS: usize = 64;

impl<W: Wire> Switchboard<W> {
    /// No calls yet.
    pub(super) fn new(threads: Arc<[Post<Message<W>>]>, studio: Studio) -> Self {
        let calls = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { threads, studio, calls, next: AtomicUsize::new(0) }
    }

    /// A leg begins.
    pub(super) fn open(&self, leg: Box<Leg<W>>) {
        let (call, tally) = (leg.call, leg.tally());
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        let mut calls = self.calls_of(call);
        let before = calls.insert(call, Entry { thread, has_ended: false, tally });
        debug_assert!(before.is_none(), "{call} is opened once");
        self.threads[thread].post(Message::Open(leg)).settle(Concern::Nothing);
    }

    /// It is over, and forgotten.
    pub(super) fn close(&self, call: CallId) -> LegSummary {
        self.end(call);
        let entry = self.calls_of(call).remove(&call);
        entry.map_or_else(LegSummary::default, |entry| entry.tally.summary())
    }
    /// Sees to it that an order is in effect.
    pub(super) fn send(&self, order: Order) {
        match order {
            // Sound flows from the moment at which signalling has agreed on it.
            Order::Answer { .. } | Order::EarlyMedia { .. } => (),
            Order::End { call, .. } => self.end(call),
            Order::Play { call, number, program } => {
                if self.is_known(call) {
                    let score = self.studio.score(call, &program);
                    let concern = Concern::Only(Mark::of_call(call));
                    self.one(call, Deed::Play { number, score }, concern);
                }
            }
            Order::Prepare { call, program } => {
                if self.is_known(call) {
                    self.studio.warm(call, &program);
                }
            }
            Order::Stop { call } => {
                self.one(call, Deed::Stop, Concern::Only(Mark::of_call(call)));
            }
            // Calls are made by signalling; until then there is no leg.
            Order::Dial { .. } => (),
            Order::PlayOver { call, kind, mixes, length, program } => {
                if self.is_known(call) {
                    let score = self.studio.score(call, &program);
                    let deed = Deed::PlayOver { kind, mixes, length, score };
                    self.one(call, deed, Concern::Any);
                }
            }
            Order::StopOver { call, kind } => {
                self.one(call, Deed::StopOver { kind }, Concern::Any);
            }
            Order::SendDigits { call, number, digits } => {
                self.one(call, Deed::SendDigits { number, digits }, Concern::Nothing);
            }
            Order::Place { room, calls, hears } => self.place(room.id, calls, &hears),
            Order::Remove { room, calls } => self.many(room, calls, Deed::Leave { room }),
            Order::Mute { room, calls, on } => {
                // It may be just before the legs come into the room.
                let calls = self.gather(room, calls);
                self.many(room, calls, Deed::Mute { room, on });
            }
            Order::Deafen { room, calls, on } => {
                self.many(room, calls, Deed::Deafen { room, on });
            }
            Order::Announce { room, mut calls, address, program } => {
                calls.retain(|call| self.is_known(*call));
                if let [first, ..] = calls[..] {
                    let score = self.studio.score(first, &program);
                    let sound = Over::Announce { address, score };
                    self.many(room, calls, Deed::Over { room, sound });
                }
            }
            Order::Hush { room, calls, address } => {
                self.many(room, calls, Deed::Over { room, sound: Over::Hush(address) });
            }
            Order::RelayDigit { room, calls, digit } => {
                self.many(room, calls, Deed::Over { room, sound: Over::Relay(digit) });
            }
        }
    }

    /// For one leg, wherever it is.
    pub(super) fn one(&self, call: CallId, deed: Deed, concern: Concern) {
        let posted = {
            let calls = self.calls_of(call);
            let Some(entry) = calls.get(&call).filter(|it| !it.has_ended) else { return };
            // Under the lock, so that it is not overtaken by a move to another thread.
            self.threads[entry.thread].post(Message::One(call, deed))
        };
        posted.settle(concern);
    }

    fn end(&self, call: CallId) {
        let posted = {
            let mut calls = self.calls_of(call);
            let Some(entry) = calls.get_mut(&call).filter(|it| !it.has_ended) else { return };
            entry.has_ended = true;
            self.threads[entry.thread].post(Message::One(call, Deed::End))
        };
        posted.settle(Concern::Any);
    }

    /// For legs in a room. Those that are unknown have ended, or are another backend's.
    fn many(&self, room: RoomId, calls: Vec<CallId>, deed: Deed) {
        if calls.is_empty() {
            return;
        }
        let concern = Concern::Only(Mark::of_room(room));
        self.threads[self.thread_of(room)].post(Message::Many(calls, deed)).settle(concern);
    }

    fn place(&self, room: RoomId, calls: Vec<CallId>, hears: &Hears) {
        let calls = self.gather(room, calls);
        let [first, ..] = calls[..] else { return };
        let hears = match hears {
            Hears::Room => Hearing::Room,
            Hears::Wait(program) => {
                Hearing::Wait(program.as_ref().map(|program| self.studio.score(first, program)))
            }
        };
        let enter = Message::Many(calls, Deed::Enter { room, hears });
        self.threads[self.thread_of(room)].post(enter).settle(Concern::Any);
    }

    /// Sends legs to the thread of a room. Answers those that are ours and up.
    fn gather(&self, room: RoomId, mut calls: Vec<CallId>) -> Vec<CallId> {
        let thread = self.thread_of(room);
        calls.retain(|&call| {
            let mut entries = self.calls_of(call);
            let Some(entry) = entries.get_mut(&call).filter(|it| !it.has_ended) else {
                return false;
            };
            if entry.thread != thread {
                let expect = self.threads[thread].post(Message::One(call, Deed::Expect));
                let depart = &self.threads[entry.thread];
                let depart = depart.post(Message::One(call, Deed::Move(thread)));
                entry.thread = thread;
                drop(entries);
                expect.settle(Concern::Nothing);
                depart.settle(Concern::Any);
            }
            true
        });
        calls
    }

    fn is_known(&self, call: CallId) -> bool {
        self.calls_of(call).contains_key(&call)
    }

    /// Rooms live by a random id: any part of it spreads them well.
    fn thread_of(&self, room: RoomId) -> usize {
        (room.0.as_u128() >> 64) as usize % self.threads.len()
    }

    fn calls_of(&self, call: CallId) -> MutexGuard<'_, HashMap<CallId, Entry>> {
        self.calls[call.0.as_u128() as usize % SHARDS].lock()
    }
}

impl<W> fmt::Debug for Switchboard<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switchboard").finish_non_exhaustive()
    }
}
