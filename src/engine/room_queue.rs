//! Room queue: messages to the actor of a conference, and the limit of asks among them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::oneshot;

use super::{
    queue::{self, QueueReceiver, QueueSender},
    recorder::AskedBy,
};
use crate::{
    base::ids::{Incarnation, MemberId, RoomId},
    call::Call,
    conference::{Ask, Conference, MemberSelector, NewCallee, Outcome, Refusal},
    flow::{CalleeTerms, Cause, DialOptions, Flow, JoinOptions},
    media::{LegEvent, Program},
    store::rows::WriteError,
};

/// Handle to a room: its identity and its queue.
#[derive(Debug)]
pub(super) struct RoomHandle {
    pub(super) incarnation: Arc<Incarnation>,
    queue: QueueSender<RoomMessage>,
    /// Asks in the queue. The number of calls bounds all other messages.
    asks: AtomicUsize,
    asks_max: usize,
    is_closing: AtomicBool,
}

/// A message in a room's queue.
#[derive(Debug)]
pub(super) enum RoomMessage {
    Ask {
        ask: Box<(AskedBy, Ask)>,
        reply: oneshot::Sender<Outcome>,
    },
    /// Wakes the actor, which then asks [`RoomHandle::is_closing`].
    Close,
    /// A join, in the second lane of the queue: many may wait there, and nobody waits for them but
    /// the messages that [`RoomMessage::waits_for_joins`] names.
    Enter {
        member: MemberId,
        call: Box<Call>,
        entry: Arc<JoinOptions>,
    },
    /// The first message of the room of a `<Dial>`.
    Dial(Box<DialMessage>),
    /// Calls somebody into the room. An ask, which carries calls.
    Invite(Box<InviteMessage>),
    HangUp {
        member: MemberId,
        cause: Cause,
    },
    Report {
        member: MemberId,
        heard: LegEvent,
    },
    Sounds {
        number: u32,
        program: Program,
    },
}

/// The calls of a `<Dial>`: see [`crate::conference::Command::Dial`].
#[derive(Debug)]
pub(super) struct DialMessage {
    pub(super) member: MemberId,
    pub(super) call: Box<Call>,
    pub(super) options: Arc<DialOptions>,
    pub(super) callees: Vec<NewCallee>,
}

/// The calls of an invitation: see [`crate::conference::Command::Invite`].
#[derive(Debug)]
pub(super) struct InviteMessage {
    pub(super) by: AskedBy,
    pub(super) callees: Vec<NewCallee>,
    pub(super) terms: Arc<CalleeTerms>,
    pub(super) flow: Arc<Flow>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

// There are many queues, and some hold a few of them at times.
const _: () = assert!(size_of::<RoomMessage>() <= 32);

/// The reason why an ask has no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// The room's queue holds `asks_max` asks. Nothing was done.
    #[error("the conference is too busy: try again")]
    Busy,
    /// The account has no conference of that name.
    #[error("conference not found")]
    Gone,
    /// The ask may have been carried out or not.
    #[error("no answer in time: outcome unknown")]
    Late,
    /// The bans of a kick cannot be stored. Nothing was done.
    #[error(transparent)]
    NotStored(#[from] WriteError),
    /// The conference refused the ask and did nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RoomHandle {
    pub(super) fn new(
        incarnation: Arc<Incarnation>,
        asks_max: usize,
    ) -> (Arc<Self>, QueueReceiver<RoomMessage>) {
        let (queue, receiver) = queue::queue();
        let (asks, is_closing) = (AtomicUsize::new(0), AtomicBool::new(false));
        (Arc::new(Self { incarnation, queue, asks, asks_max, is_closing }), receiver)
    }

    /// An ask has left the queue.
    pub(super) fn ask_taken(&self) {
        self.asks.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a place among the asks of the queue, or refuses it as `Busy`.
    pub(super) fn reserve_ask(&self) -> Result<(), AskError> {
        if self.asks_max <= self.asks.fetch_add(1, Ordering::Relaxed) {
            self.asks.fetch_sub(1, Ordering::Relaxed);
            return Err(AskError::Busy);
        }
        Ok(())
    }

    /// Queues an invitation, which has a place. Hands it back if the room is over.
    pub(super) fn invite(&self, invite: Box<InviteMessage>) -> Result<(), Box<InviteMessage>> {
        match self.queue.send(RoomMessage::Invite(invite)) {
            Err(RoomMessage::Invite(invite)) => Err(invite),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Queues an ask, or refuses it as `Busy`. No other message can be refused.
    pub(super) fn ask(
        &self,
        by: AskedBy,
        ask: Ask,
        reply: oneshot::Sender<Outcome>,
    ) -> Result<(), AskError> {
        self.reserve_ask()?;
        self.queue
            .send(RoomMessage::Ask { ask: Box::new((by, ask)), reply })
            .map_err(|_| AskError::Gone)
    }

    /// Queues an ask beyond the limit. The number of removals under way bounds these.
    pub(super) fn ask_unlimited(&self, ask: Ask, reply: oneshot::Sender<Outcome>) {
        self.asks.fetch_add(1, Ordering::Relaxed);
        drop(self.queue.send(RoomMessage::Ask { ask: Box::new((AskedBy::default(), ask)), reply }));
    }

    /// Hands the call back if the room is over.
    pub(super) fn enter(
        &self,
        member: MemberId,
        call: Box<Call>,
        entry: Arc<JoinOptions>,
    ) -> Result<(), Box<Call>> {
        match self.queue.send_later(RoomMessage::Enter { member, call, entry }) {
            Err(RoomMessage::Enter { call, .. }) => Err(call),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The room must be new: its queue is open then.
    pub(super) fn dial(&self, dial: DialMessage) {
        drop(self.queue.send(RoomMessage::Dial(Box::new(dial))));
    }

    /// If the room is over it has released its members, and the report is stale.
    pub(super) fn report(&self, member: MemberId, heard: LegEvent) {
        drop(self.queue.send(RoomMessage::Report { member, heard }));
    }

    pub(super) fn hang_up(&self, member: MemberId, cause: Cause) {
        drop(self.queue.send(RoomMessage::HangUp { member, cause }));
    }

    /// Drops a sound that an earlier incarnation asked for.
    pub(super) fn sounds(&self, room: RoomId, number: u32, program: Program) {
        if room == self.incarnation.id {
            drop(self.queue.send(RoomMessage::Sounds { number, program }));
        }
    }

    /// Ends the room before everything else that it has to do.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        drop(self.queue.send(RoomMessage::Close));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }
}

impl RoomMessage {
    /// Whether the joins that wait must come first: it is about all members, or about one that may
    /// be among them. A client that has made a call sees it in the room. All other messages, such as
    /// a kick of a member, do not wait for joins.
    pub(super) fn waits_for_joins(&self, room: &Conference) -> bool {
        let is_absent = |member: &MemberId| !room.has(*member) && !room.has_callee(*member);
        match self {
            Self::Close | Self::Dial(_) | Self::Enter { .. } | Self::Sounds { .. } => false,
            Self::HangUp { member, .. } | Self::Report { member, .. } => is_absent(member),
            // A room without members would refuse it.
            Self::Invite(_) => room.is_empty(),
            Self::Ask { ask, .. } => match &ask.1 {
                Ask::Expel(_) | Ask::Roster => true,
                Ask::Callee { member } | Ask::Transfer { member, .. } => is_absent(member),
                Ask::HangUp { who }
                | Ask::Kick { who, .. }
                | Ask::Mute { who, .. }
                | Ask::Deafen { who, .. }
                | Ask::Hold { who, .. }
                | Ask::Announce { who, .. }
                | Ask::Hush { who, .. } => match who {
                    MemberSelector::All => true,
                    MemberSelector::These(members) => members.iter().any(is_absent),
                },
            },
        }
    }
}
