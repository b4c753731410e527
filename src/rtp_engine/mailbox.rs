//! Mailbox of a mixer thread: commands take effect before their sender continues.
//!
//! It is a queue that never blocks, with two counters. Before each packet the thread publishes who
//! owns the packet's sound, then checks for new commands and takes them first. The sender of a
//! command checks that owner, and waits only while a packet that its command concerns is being
//! made: some microseconds. So no packet is made without a command posted before it, and no lock is
//! held while a packet is made.

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::base::ids::{CallId, RoomId};

/// The sending end of a mailbox. Cheap to clone.
#[derive(Debug)]
pub(super) struct MailboxSender<T> {
    queue: Sender<T>,
    state: Arc<MailboxState>,
}

/// The receiving end of a mailbox, owned by a mixer thread.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    queue: Receiver<T>,
    state: Arc<MailboxState>,
    /// Commands up to this number have been taken.
    taken: u64,
    /// The number posted when taking began; None between times.
    posted_at_start: Option<u64>,
}

/// The owner of the sound in a packet: a room, or one call alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FrameOwner(u64);

/// The packets that the sender of a command waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WaitFor {
    /// Packets with sound of this owner.
    FramesOf(FrameOwner),
    /// Whichever packet is being made.
    AnyFrame,
    /// No packet: the effect is heard soon enough.
    Nothing,
}

/// A command that was posted; the packet being made may not obey it yet.
#[must_use = "a command takes effect once it has been waited for"]
#[derive(Debug)]
pub(super) struct PostedCommand<'a> {
    state: &'a MailboxState,
    number: u64,
}

#[derive(Debug, Default)]
struct MailboxState {
    posted: AtomicU64,
    /// The number of these that have been taken.
    taken: AtomicU64,
    /// The owner of the packet that is being made, or [`NO_FRAME`].
    frame_owner: AtomicU64,
}

const NO_FRAME: u64 = 0;

/// Spins before yielding. A packet is sent sooner, unless its thread has lost its core: then it may
/// get ours.
const SPINS: u32 = 200;

/// Creates a mailbox and its sender.
pub(super) fn mailbox<T>() -> (MailboxSender<T>, Mailbox<T>) {
    let (queue, receiver) = mpsc::channel();
    let state = Arc::new(MailboxState::default());
    let sender = MailboxSender { queue, state: Arc::clone(&state) };
    (sender, Mailbox { queue: receiver, state, taken: 0, posted_at_start: None })
}

impl FrameOwner {
    /// Sound that one call alone hears.
    pub(super) fn of_call(call: CallId) -> Self {
        Self(call.0.as_u128() as u64 | 1)
    }

    /// Sound of a room.
    pub(super) fn of_room(room: RoomId) -> Self {
        Self((room.0.as_u128() as u64 | 2) & !1)
    }
}

impl<T> MailboxSender<T> {
    /// Posts a command after those posted before. It is dropped if the thread has ended: then no
    /// more packets are made.
    pub(super) fn post(&self, command: T) -> PostedCommand<'_> {
        drop(self.queue.send(command));
        let number = self.state.posted.fetch_add(1, Ordering::SeqCst) + 1;
        PostedCommand { state: &self.state, number }
    }
}

impl<T> Clone for MailboxSender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), state: Arc::clone(&self.state) }
    }
}

impl PostedCommand<'_> {
    /// Waits until no packet that the command concerns is being made. From then on it is in effect.
    pub(super) fn wait(self, wait_for: WaitFor) {
        let mut spins = 0;
        while wait_for.concerns(self.state.frame_owner.load(Ordering::SeqCst))
            && self.state.taken.load(Ordering::SeqCst) < self.number
        {
            spins += 1;
            if spins < SPINS { hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

impl WaitFor {
    fn concerns(self, frame_owner: u64) -> bool {
        match self {
            Self::FramesOf(owner) => frame_owner == owner.0,
            Self::AnyFrame => frame_owner != NO_FRAME,
            Self::Nothing => false,
        }
    }
}

impl<T> Mailbox<T> {
    /// Takes the next command. None once all are taken that were posted when taking began.
    pub(super) fn take(&mut self) -> Option<T> {
        let posted =
            *self.posted_at_start.get_or_insert_with(|| self.state.posted.load(Ordering::SeqCst));
        if let Ok(command) = self.queue.try_recv() {
            return Some(command);
        }
        (self.taken, self.posted_at_start) = (posted, None);
        self.state.taken.store(posted, Ordering::SeqCst);
        None
    }

    /// Begins a packet. Returns false if commands have been posted, which must be taken first.
    #[must_use]
    pub(super) fn begin_frame(&self, owner: FrameOwner) -> bool {
        self.state.frame_owner.store(owner.0, Ordering::SeqCst);
        let is_clear = self.state.posted.load(Ordering::SeqCst) == self.taken;
        if !is_clear {
            self.end_frame();
        }
        is_clear
    }

    /// Ends the packet, which has been sent.
    pub(super) fn end_frame(&self) {
        self.state.frame_owner.store(NO_FRAME, Ordering::SeqCst);
    }
}

impl<T> Drop for Mailbox<T> {
    /// A thread that ends, even by a panic, blocks nobody.
    fn drop(&mut self) {
        self.end_frame();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn take_all(mailbox: &mut Mailbox<u32>) -> Vec<u32> {
        std::iter::from_fn(|| mailbox.take()).collect()
    }

    #[test]
    fn commands_are_taken_in_the_order_of_posting() {
        let (sender, mut mailbox) = mailbox();
        (1..4).for_each(|it| sender.post(it).wait(WaitFor::AnyFrame));
        assert_eq!(take_all(&mut mailbox), [1, 2, 3]);
        assert_eq!(take_all(&mut mailbox), [0; 0]);
    }

    #[test]
    fn no_packet_begins_while_a_command_waits() {
        let (sender, mut mailbox) = mailbox();
        let owner = FrameOwner::of_room(RoomId::of(7));
        assert!(mailbox.begin_frame(owner));
        mailbox.end_frame();
        sender.post(1).wait(WaitFor::AnyFrame);
        assert!(!mailbox.begin_frame(owner));
        take_all(&mut mailbox);
        assert!(mailbox.begin_frame(owner));
    }

    #[test]
    fn a_command_waits_for_the_packets_that_it_concerns_and_no_other() {
        let (room, call) = (FrameOwner::of_room(RoomId::of(7)), FrameOwner::of_call(CallId::of(7)));
        assert_ne!(room, call);
        let (sender, mailbox) = mailbox();
        assert!(mailbox.begin_frame(room));
        sender.post(1).wait(WaitFor::FramesOf(call));
        sender.post(2).wait(WaitFor::Nothing);

        let is_out = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                sender.post(3).wait(WaitFor::FramesOf(room));
                assert!(is_out.load(Ordering::SeqCst), "it went on before the packet was out");
            });
            (0..100).for_each(|_| thread::yield_now());
            is_out.store(true, Ordering::SeqCst);
            mailbox.end_frame();
        });
    }

    #[test]
    fn a_command_that_has_been_taken_waits_for_nothing() {
        let room = FrameOwner::of_room(RoomId::of(7));
        let (sender, mut mailbox) = mailbox();
        let posted = sender.post(1);
        take_all(&mut mailbox);
        assert!(mailbox.begin_frame(room));
        posted.wait(WaitFor::FramesOf(room));
    }

    #[test]
    fn no_packet_misses_a_command_that_was_in_effect() {
        const ROUNDS: u32 = 20_000;
        let (sender, mut mailbox) = mailbox::<u32>();
        let owner = FrameOwner::of_room(RoomId::of(7));
        // The command that the last packet obeyed, and the last command in effect.
        let (obeyed, in_effect) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=ROUNDS {
                    sender.post(n).wait(WaitFor::FramesOf(owner));
                    in_effect.store(n.into(), Ordering::SeqCst);
                }
            });
            let mut word = 0;
            while word < ROUNDS {
                while !mailbox.begin_frame(owner) {
                    word = take_all(&mut mailbox).last().copied().unwrap_or(word);
                }
                // The packet made here must obey every command that was in effect when it began.
                let before = in_effect.load(Ordering::SeqCst);
                assert!(before <= u64::from(word), "{before} was in effect, {word} was obeyed");
                obeyed.store(word.into(), Ordering::SeqCst);
                mailbox.end_frame();
            }
        });
        assert_eq!(obeyed.into_inner(), u64::from(ROUNDS));
    }
}
