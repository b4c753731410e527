//! Demultiplexer: routes orders to the mixer threads that own the calls.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{
    command::{Command, LoadedAudio, MailboxMessage, RoomSound},
    leg::RtpLeg,
    leg_counters::LegCounters,
    loader::ProgramLoader,
    mailbox::{FrameOwner, MailboxSender, WaitFor},
    socket::RtpSocket,
};
use crate::{
    base::ids::{CallId, RecordingId, RoomId},
    media::{
        AudioOrder, MemberAudio, Program, RecordingFeed, RecordingSource, SoundToAll,
        legs::LegSummary,
    },
};

/// The thread of every leg. Nothing here blocks, except for a packet that is being made.
pub(super) struct Demultiplexer<W> {
    pub(super) threads: Arc<[MailboxSender<MailboxMessage<W>>]>,
    pub(super) program_loader: ProgramLoader,
    calls: Box<[Mutex<HashMap<CallId, LegRoute>>]>,
    /// The number of legs in each room. Its lock is taken alone, or inside that of a call.
    rooms: Mutex<HashMap<RoomId, usize>>,
    /// Counts opened legs; chooses the thread of the next one.
    next: AtomicUsize,
}

/// A call that signalling has opened and not closed.
struct LegRoute {
    /// The thread that has the leg, or will have it when it arrives.
    thread: usize,
    has_ended: bool,
    room: Option<RoomId>,
    counters: Arc<LegCounters>,
}

/// Enough that callers seldom collide.
const LOCKS: usize = 64;

impl<W: RtpSocket> Demultiplexer<W> {
    pub(super) fn new(
        threads: Arc<[MailboxSender<MailboxMessage<W>>]>,
        program_loader: ProgramLoader,
    ) -> Self {
        let calls = (0..LOCKS).map(|_| Mutex::default()).collect();
        let rooms = Mutex::default();
        Self { threads, program_loader, calls, rooms, next: AtomicUsize::new(0) }
    }

    pub(super) fn open(&self, leg: Box<RtpLeg<W>>) {
        let (call, counters) = (leg.call, leg.counters());
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        let mut calls = self.calls_of(call);
        let before =
            calls.insert(call, LegRoute { thread, has_ended: false, room: None, counters });
        debug_assert!(before.is_none(), "{call} is opened once");
        self.threads[thread].post(MailboxMessage::Open(leg)).wait(WaitFor::Nothing);
    }

    /// Ends a leg and forgets its call.
    pub(super) fn close(&self, call: CallId) -> LegSummary {
        self.end(call);
        let entry = self.calls_of(call).remove(&call);
        entry.map_or_else(LegSummary::default, |entry| entry.counters.summary())
    }

    /// Sees to it that an order is in effect.
    pub(super) fn send(&self, order: AudioOrder) {
        match order {
            AudioOrder::Play { call, number, program } => self.play(call, number, None, &program),
            AudioOrder::PlayOn { call, number, before, program } => {
                self.play(call, number, Some(before), &program);
            }
            AudioOrder::Prepare { call, program } => {
                if self.is_known(call) {
                    self.program_loader.prefetch(call, &program);
                }
            }
            AudioOrder::Stop { call } => {
                self.send_to_leg(call, Command::Stop, WaitFor::FramesOf(FrameOwner::of_call(call)));
            }
            AudioOrder::PlayOver { call, kind, mixes, length, program } => {
                if self.is_known(call) {
                    let loaded = self.program_loader.load_program(call, &program);
                    let command = Command::PlayOver { kind, mixes, length, loaded };
                    self.send_to_leg(call, command, WaitFor::AnyFrame);
                }
            }
            AudioOrder::StopOver { call, kind } => {
                self.send_to_leg(call, Command::StopOver { kind }, WaitFor::AnyFrame);
            }
            AudioOrder::SendDigits { call, number, digits } => {
                self.send_to_leg(call, Command::SendDigits { number, digits }, WaitFor::Nothing);
            }
            AudioOrder::Place { room, calls, hears } => self.place(room.id, calls, &hears),
            AudioOrder::Remove { room, calls } => self.remove(room, calls),
            AudioOrder::Mute { room, calls, on } => {
                // It may be just before the legs come into the room.
                let calls = self.move_to_thread_of(room, calls);
                self.send_to_room(room, calls, Command::Mute { room, on });
            }
            AudioOrder::Deafen { room, calls, on } => {
                self.send_to_room(room, calls, Command::Deafen { room, on });
            }
            AudioOrder::Announce { room, mut calls, address, program } => {
                calls.retain(|call| self.is_known(*call));
                if let [first, ..] = calls[..] {
                    let (address, loaded) =
                        (Some(address), self.program_loader.load_program(first, &program));
                    self.play_in_room(room, calls, RoomSound::Announce { address, loaded });
                }
            }
            AudioOrder::Hush { room, calls, address } => {
                self.play_in_room(room, calls, RoomSound::Hush(address));
            }
            AudioOrder::ToRoom { room, sound } => self.play_to_room(room, &sound),
            AudioOrder::Record { source, feed } => self.record(source, feed),
            AudioOrder::StopRecording { source, recording } => {
                self.stop_recording(source, recording);
            }
        }
    }

    fn play(&self, call: CallId, number: u32, before: Option<u32>, program: &Program) {
        if self.is_known(call) {
            let loaded = self.program_loader.load_program(call, program);
            let wait_for = WaitFor::FramesOf(FrameOwner::of_call(call));
            self.send_to_leg(call, Command::Play { number, before, loaded }, wait_for);
        }
    }

    fn remove(&self, room: RoomId, calls: Vec<CallId>) {
        for call in &calls {
            let mut calls = self.calls_of(*call);
            if let Some(entry) = calls.get_mut(call).filter(|it| it.room == Some(room)) {
                self.set_room(entry, None);
            }
        }
        self.send_to_room(room, calls, Command::Leave { room });
    }

    /// Records from the next tick on. No packet differs, so there is none to wait for.
    fn record(&self, source: RecordingSource, feed: RecordingFeed) {
        match source {
            RecordingSource::Call(call) => {
                self.send_to_leg(call, Command::Record(feed), WaitFor::Nothing);
            }
            RecordingSource::Room(room) => {
                self.post_to_room(room, MailboxMessage::RecordRoom(room, feed));
            }
        }
    }

    fn stop_recording(&self, source: RecordingSource, recording: RecordingId) {
        match source {
            RecordingSource::Call(call) => {
                self.send_to_leg(call, Command::StopRecording(recording), WaitFor::Nothing);
            }
            RecordingSource::Room(room) => {
                self.post_to_room(room, MailboxMessage::StopRecordingRoom(room, recording));
            }
        }
    }

    fn post_to_room(&self, room: RoomId, message: MailboxMessage<W>) {
        self.threads[self.thread_of(room)].post(message).wait(WaitFor::Nothing);
    }

    /// Sends a command to one leg, on whichever thread it is.
    pub(super) fn send_to_leg(&self, call: CallId, command: Command, wait_for: WaitFor) {
        let posted = {
            let calls = self.calls_of(call);
            let Some(entry) = calls.get(&call).filter(|it| !it.has_ended) else { return };
            // Under the lock, so that a move to another thread cannot overtake it.
            self.threads[entry.thread].post(MailboxMessage::One(call, command))
        };
        posted.wait(wait_for);
    }

    /// No packet of the leg is sent from now on.
    pub(super) fn end(&self, call: CallId) {
        let posted = {
            let mut calls = self.calls_of(call);
            let Some(entry) = calls.get_mut(&call).filter(|it| !it.has_ended) else { return };
            entry.has_ended = true;
            self.set_room(entry, None);
            self.threads[entry.thread].post(MailboxMessage::One(call, Command::End))
        };
        posted.wait(WaitFor::AnyFrame);
    }

    /// Sends a command to legs of a room. Unknown calls have ended, or belong to another backend.
    fn send_to_room(&self, room: RoomId, calls: Vec<CallId>, command: Command) {
        if calls.is_empty() {
            return;
        }
        let wait_for = WaitFor::FramesOf(FrameOwner::of_room(room));
        self.threads[self.thread_of(room)]
            .post(MailboxMessage::Many(calls, command))
            .wait(wait_for);
    }

    fn play_in_room(&self, room: RoomId, calls: Vec<CallId>, sound: RoomSound) {
        self.send_to_room(room, calls, Command::RoomSound { room, sound });
    }

    /// Sends a sound to a room, if any leg is in it.
    fn play_to_room(&self, room: RoomId, sound: &SoundToAll) {
        if !self.rooms.lock().contains_key(&room) {
            return;
        }
        let (by, sound) = match sound {
            SoundToAll::Play { member, address, program } => {
                let address = address.clone();
                let loaded = self.program_loader.load_program(*member, program);
                (*member, RoomSound::Announce { address, loaded })
            }
            // No call hears less or more of it than the others.
            SoundToAll::Hush { address } => (CallId(Uuid::nil()), RoomSound::Hush(address.clone())),
            SoundToAll::RelayDigit { from, digit } => (*from, RoomSound::Relay(*digit)),
        };
        let wait_for = WaitFor::FramesOf(FrameOwner::of_room(room));
        let thread = &self.threads[self.thread_of(room)];
        thread.post(MailboxMessage::ToRoom(room, by, sound)).wait(wait_for);
    }

    /// Notes in which room a leg is. Called under the lock of its call.
    fn set_room(&self, leg: &mut LegRoute, room: Option<RoomId>) {
        let before = mem::replace(&mut leg.room, room);
        if before == room {
            return;
        }
        let mut rooms = self.rooms.lock();
        if let Some(before) = before
            && let Entry::Occupied(mut legs) = rooms.entry(before)
        {
            *legs.get_mut() -= 1;
            if *legs.get() == 0 {
                legs.remove();
            }
        }
        room.into_iter().for_each(|room| *rooms.entry(room).or_default() += 1);
    }

    fn place(&self, room: RoomId, calls: Vec<CallId>, hears: &MemberAudio) {
        let calls = self.move_to_thread_of(room, calls);
        let [first, ..] = calls[..] else { return };
        for call in &calls {
            let mut entries = self.calls_of(*call);
            if let Some(entry) = entries.get_mut(call).filter(|it| !it.has_ended) {
                self.set_room(entry, Some(room));
            }
        }
        let hears = match hears {
            MemberAudio::Room => LoadedAudio::Room,
            MemberAudio::Wait(program) => LoadedAudio::Wait(
                program.as_ref().map(|program| self.program_loader.load_program(first, program)),
            ),
        };
        let enter = MailboxMessage::Many(calls, Command::Enter { room, hears });
        self.threads[self.thread_of(room)].post(enter).wait(WaitFor::AnyFrame);
    }

    /// Moves legs to the thread of a room. Returns those that exist and have not ended.
    fn move_to_thread_of(&self, room: RoomId, mut calls: Vec<CallId>) -> Vec<CallId> {
        let thread = self.thread_of(room);
        calls.retain(|&call| {
            let mut entries = self.calls_of(call);
            let Some(entry) = entries.get_mut(&call).filter(|it| !it.has_ended) else {
                return false;
            };
            if entry.thread != thread {
                let expect =
                    self.threads[thread].post(MailboxMessage::One(call, Command::ExpectLeg));
                let depart = &self.threads[entry.thread];
                let depart = depart.post(MailboxMessage::One(call, Command::MoveToThread(thread)));
                entry.thread = thread;
                drop(entries);
                expect.wait(WaitFor::Nothing);
                depart.wait(WaitFor::AnyFrame);
            }
            true
        });
        calls
    }

    fn is_known(&self, call: CallId) -> bool {
        self.calls_of(call).contains_key(&call)
    }

    /// Room ids are random, so any part of them spreads rooms evenly.
    fn thread_of(&self, room: RoomId) -> usize {
        (room.0.as_u128() >> 64) as usize % self.threads.len()
    }

    fn calls_of(&self, call: CallId) -> MutexGuard<'_, HashMap<CallId, LegRoute>> {
        self.calls[call.0.as_u128() as usize % LOCKS].lock()
    }
}

impl<W> fmt::Debug for Demultiplexer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demultiplexer").finish_non_exhaustive()
    }
}
