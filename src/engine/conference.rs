//! Conference actor: the task that owns one conference, and its queue.
//!
//! A turn passes one message or several joins to the machine, or performs one slice of the machine's
//! effects. The notices of what is decided are written before its first effect is performed (see
//! [`super::recorder`]). Every decision is made in [`crate::conference`].

use std::{
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::{
    sync::oneshot,
    task,
    time::{self, sleep_until},
};

use super::{
    TurnOutcome,
    invite::AdmittedCallee,
    observed::Blame,
    queue::QueueReceiver,
    recorder::{self, AskedBy, Receipt, TurnRow},
    registry::{Observed, Registry},
    room_queue::{DialMessage, InviteMessage, RoomHandle, RoomMessage},
    room_rows::{self, RoomRows},
    room_sounds,
    spawner::Actor,
};
use crate::{
    base::ids::{Incarnation, RoomId, RoomKey},
    call::{self, Call, PastMembership},
    conference::{
        AskTicket, Command, Conference, Effect, Outcome, Refusal, Settings, ban_list::TooManyBans,
    },
    flow::JoinOptions,
    group::GroupId,
};

/// The actor that runs one conference.
#[derive(Debug)]
pub(super) struct RoomActor {
    machine: Conference,
    room: Arc<RoomHandle>,
    queue: QueueReceiver<RoomMessage>,
    /// A message ended the last wait. It comes before a deadline that has passed meanwhile.
    has_message: bool,
    /// Decided effects that are still to be performed; empty and unallocated between decisions.
    effects: VecDeque<Effect>,
    /// The number of effects at the front that are orders to many, split for their engines.
    split_orders: usize,
    /// The number of calls for which the first of these has been sent.
    carried_out: usize,
    /// Effects of the call that is being released; empty and unallocated in between.
    call_effects: Vec<call::Effect>,
    reply: Option<(AskTicket, oneshot::Sender<Outcome>)>,
    /// A callee that has been let in, and enters before anything else is decided.
    arrival: Option<Box<AdmittedCallee>>,
    /// For the frame of the current decision.
    receipt: Option<Receipt>,
    /// How far the notices of the current decision are written.
    recording: WriteProgress,
    rows: RoomRows,
    decisions: u8,
    ticket_last: AskTicket,
    /// The initiator of the current decision.
    blame: Blame,
    registry: Arc<Registry>,
}

/// How far the notices of a decision are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WriteProgress {
    Begins,
    /// The first frame is written, with a row of the exits.
    GoesOn,
    Done,
}

pub(super) fn open(
    now: Instant,
    id: RoomId,
    key: RoomKey,
    (group, settings): (Option<GroupId>, Settings),
    registry: Arc<Registry>,
) -> (Arc<RoomHandle>, RoomActor) {
    let incarnation = Arc::new(Incarnation { key, id });
    let machine = Conference::new(now, incarnation, &settings);
    run(machine, VecDeque::new(), RoomRows::of_group(group), settings.asks_max, registry)
}

/// The actor of a room that has decided on these effects.
pub(super) fn run(
    machine: Conference,
    effects: VecDeque<Effect>,
    rows: RoomRows,
    asks_max: usize,
    registry: Arc<Registry>,
) -> (Arc<RoomHandle>, RoomActor) {
    registry.rooms.fetch_add(1, Ordering::SeqCst);
    let (room, queue) = RoomHandle::new(machine.incarnation().clone(), asks_max);
    let actor = RoomActor {
        machine,
        room: room.clone(),
        queue,
        has_message: false,
        recording: if effects.is_empty() { WriteProgress::Done } else { WriteProgress::Begins },
        effects,
        rows,
        split_orders: 0,
        carried_out: 0,
        call_effects: Vec::new(),
        reply: None,
        arrival: None,
        receipt: None,
        decisions: 0,
        ticket_last: AskTicket::default(),
        blame: Blame::default(),
        registry,
    };
    (room, actor)
}

impl Drop for RoomActor {
    fn drop(&mut self) {
        self.registry.rooms.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for RoomActor {
    fn turn(&mut self, now: Instant, slice: &mut dyn FnMut() -> usize) -> TurnOutcome {
        self.turn(now, slice())
    }

    fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    fn spawn(mut self: Box<Self>) {
        tokio::spawn(async move { self.run().await });
    }
}

impl RoomActor {
    /// Takes turns until the room is over.
    async fn run(&mut self) {
        let mut sleep = pin!(sleep_until(time::Instant::now()));
        loop {
            match self.turn(time::Instant::now().into_std(), EFFECTS_PER_SLICE) {
                TurnOutcome::Busy => task::coop::consume_budget().await,
                TurnOutcome::Sliced => task::yield_now().await,
                TurnOutcome::Over => return,
                TurnOutcome::Idle => {
                    let deadline = self.machine.deadline().map(time::Instant::from_std);
                    if let Some(at) = deadline.filter(|at| sleep.deadline() != *at) {
                        sleep.as_mut().reset(at);
                    }
                    tokio::select! {
                        () = self.queue.ready() => self.has_message = true,
                        () = &mut sleep, if deadline.is_some() => (),
                    }
                    if self.queue.has_only_later() {
                        // Joins that come at the same time share a turn.
                        task::yield_now().await;
                    }
                }
            }
        }
    }

    /// Performs a slice of the decided effects; without any, decides on one message or deadline.
    fn turn(&mut self, now: Instant, slice: usize) -> TurnOutcome {
        if !self.effects.is_empty() {
            return self.perform(now, slice);
        }
        self.blame = Blame::default();
        let is_due = !mem::take(&mut self.has_message)
            && self.machine.deadline().is_some_and(|at| at <= now);
        let command = if let Some(arrival) = self.arrival.take() {
            let AdmittedCallee { member, call, entry } = *arrival;
            Command::Enter { member, call, entry }
        } else if self.room.is_closing() && !self.machine.is_empty() {
            Command::Close
        } else if is_due {
            Command::Tick
        } else {
            let Self { queue, machine, .. } = self;
            let Some(message) = queue.try_recv(|it| it.waits_for_joins(machine)) else {
                return TurnOutcome::Idle;
            };
            let Some(command) = self.accept(message) else { return TurnOutcome::Busy };
            command
        };
        let is_join = matches!(command, Command::Enter { .. });
        self.decide_in_limits(now, command);
        if is_join {
            self.decide_on_joins(now, slice);
        }
        match self.effects.iter().map(Effect::steps).sum() {
            0 => TurnOutcome::Busy,
            // To decide on more effects than fit into the slice has used up the turn.
            n if slice < n => TurnOutcome::Sliced,
            _ => self.perform(now, slice),
        }
    }

    /// The command of a message; None if it has none.
    fn accept(&mut self, message: RoomMessage) -> Option<Command> {
        Some(match message {
            RoomMessage::Ask { ask, reply } => {
                let ticket = self.ticket(reply);
                let (AskedBy { api_id, receipt }, ask) = *ask;
                self.blame = Blame::asked(api_id, &ask);
                self.receipt = receipt;
                Command::Ask { ticket, ask }
            }
            RoomMessage::Close => return None,
            RoomMessage::Dial(dial) => {
                let DialMessage { member, call, options, callees } = *dial;
                Command::Dial { member, call, options, callees }
            }
            RoomMessage::Invite(invite) => {
                let InviteMessage { by, callees, terms, flow, reply } = *invite;
                let ticket = self.ticket(reply);
                self.receipt = by.receipt;
                Command::Invite { ticket, callees, terms, flow }
            }
            RoomMessage::Enter { member, call, entry } => Command::Enter { member, call, entry },
            RoomMessage::HangUp { member, cause } => Command::HangUp { member, cause },
            RoomMessage::Report { member, heard } => Command::Report { member, heard },
            RoomMessage::Sounds { number, program } => Command::Sounds { number, program },
        })
    }

    /// The ticket of an ask that has left the queue.
    fn ticket(&mut self, reply: oneshot::Sender<Outcome>) -> AskTicket {
        self.room.ask_taken();
        self.ticket_last.0 += 1;
        self.reply = Some((self.ticket_last, reply));
        self.ticket_last
    }

    /// Reserves the places of a kick that bans before it is decided. The kick is refused if there are
    /// too few.
    fn decide_in_limits(&mut self, now: Instant, command: Command) {
        let wanted = match &command {
            Command::Ask { ask, .. } => self.machine.bans_wanted(ask),
            Command::Close
            | Command::Dial { .. }
            | Command::Enter { .. }
            | Command::HangUp { .. }
            | Command::Invite { .. }
            | Command::Report { .. }
            | Command::Sounds { .. }
            | Command::Tick => 0,
        };
        if wanted == 0 {
            return self.decide(now, command);
        }
        let registry = self.registry.clone();
        let (ban_list, account) = (registry.ban_list(), &self.room.incarnation.key.account);
        if let Err(TooManyBans { bans }) = ban_list.reserve(now, account, wanted) {
            let reply = self.reply.take().map(|(_, reply)| reply);
            // The client may have stopped waiting.
            let _ = reply.map(|it| it.send(Err(Refusal::TooManyBans { bans })));
            return;
        }
        self.decide(now, command);
        let is_ban = |it: &&Effect| matches!(it, Effect::Ban { .. });
        let made = self.effects.iter().filter(is_ban).count();
        ban_list.release(&self.room.incarnation.key.account, wanted - made.min(wanted));
    }

    /// Decides on further joins that wait, so that they share a frame and a turn: while nothing else
    /// waits, nobody has to leave, and their effects fit into the slice.
    fn decide_on_joins(&mut self, now: Instant, slice: usize) {
        let (mut seen, mut steps) = (0, 0);
        let is_plain = |it: &Effect| matches!(it, Effect::Media(_) | Effect::Publish(_));
        while self.effects.range(seen..).all(is_plain) && !self.room.is_closing() {
            steps += self.effects.range(seen..).map(Effect::steps).sum::<usize>();
            seen = self.effects.len();
            let is_due = self.machine.deadline().is_some_and(|at| at <= now);
            let message = if slice <= steps || is_due { None } else { self.queue.try_recv_later() };
            let Some(command) = message.and_then(|it| self.accept(it)) else { return };
            self.decide(now, command);
        }
    }

    /// A panic ends the room and no call.
    fn decide(&mut self, now: Instant, command: Command) {
        let decide = AssertUnwindSafe(|| self.machine.handle(now, command, &mut self.effects));
        if catch_unwind(decide).is_err() {
            self.machine.salvage(now, &mut self.effects);
        }
        self.recording = WriteProgress::Begins;
        // A check looks at all members, so a large room cannot have one for each decision.
        self.decisions = self.decisions.wrapping_add(1);
        let is_large = CHECKED_MEMBERS_MAX < self.machine.len();
        if cfg!(debug_assertions) && (!is_large || self.decisions == 0) {
            self.machine.check();
        }
    }

    fn perform(&mut self, now: Instant, slice: usize) -> TurnOutcome {
        if self.recording != WriteProgress::Done && !self.record(now, slice) {
            return TurnOutcome::Sliced;
        }
        for _ in 0..slice {
            match self.effects.front_mut() {
                Some(Effect::Stop) => {
                    self.queue.close();
                    self.record_released();
                    if !self.requeue_next(now) {
                        return TurnOutcome::Over;
                    }
                }
                Some(Effect::Leave(leave)) => match leave.next() {
                    Some(effect) => self.perform_one(now, effect),
                    None => drop(self.effects.pop_front()),
                },
                Some(Effect::Media(order)) if 0 < self.split_orders => {
                    self.carried_out = self.registry.audio_part(order, self.carried_out);
                    if self.carried_out < order.calls().len() {
                        return TurnOutcome::Sliced;
                    }
                    (self.carried_out, self.split_orders) = (0, self.split_orders - 1);
                    drop(self.effects.pop_front());
                }
                Some(Effect::Media(order)) if slice < order.calls().len() => self.split_order(),
                Some(_) => {
                    let effect = self.effects.pop_front().expect("the front exists");
                    self.perform_one(now, effect);
                }
                None => break,
            }
        }
        if !self.effects.is_empty() {
            return TurnOutcome::Sliced;
        }
        debug_assert!(self.reply.is_none(), "one ask, one reply");
        // With many rooms, fresh memory is warmer than buffers that each would keep.
        (self.effects, self.call_effects) = (VecDeque::new(), Vec::new());
        TurnOutcome::Busy
    }

    /// Writes the notices of the decided effects, a slice of them at most, before any effect is
    /// performed. Returns whether all are written.
    fn record(&mut self, now: Instant, slice: usize) -> bool {
        let is_first = self.recording == WriteProgress::Begins;
        let mut rows = if is_first { self.first_rows(now) } else { Vec::new() };
        let room = self.room.incarnation.clone();
        let slice = (is_first, slice.max(1));
        let (events, is_all) =
            room_rows::take_notices(&mut self.effects, &room, &mut self.blame, slice, &mut rows);
        if is_all && !is_first {
            rows.push(recorder::left(room.id));
        }
        if is_all {
            rows.extend(self.rows.end(&self.registry, &self.machine));
        }
        self.recording = if is_all { WriteProgress::Done } else { WriteProgress::GoesOn };
        self.registry.record(events, rows);
        is_all
    }

    /// The rows of the first frame of a decision.
    fn first_rows(&mut self, now: Instant) -> Vec<TurnRow> {
        let Self { rows, machine, effects, registry, room, receipt, .. } = self;
        let mut first = recorder::answered(receipt.take(), effects);
        first.extend(room_rows::bans(registry, now, &room.incarnation.key, effects));
        first.extend(rows.begin(registry, machine, effects, room.incarnation.id));
        first
    }

    /// Writes that all have been released who have left by the last decision.
    fn record_released(&mut self) {
        let released = self.rows.all_released(&self.registry, self.room.incarnation.id);
        self.registry.record(Vec::new(), released.into_iter().collect());
    }

    /// Replaces the order at the front by those into which the media port splits it.
    fn split_order(&mut self) {
        let Some(Effect::Media(order)) = self.effects.pop_front() else { return };
        let orders = self.registry.split_audio(order);
        self.split_orders = orders.len();
        orders.into_iter().rev().for_each(|it| self.effects.push_front(it.into()));
    }

    fn perform_one(&mut self, now: Instant, effect: Effect) {
        let room = &self.room.incarnation;
        let Incarnation { key, id } = &**room;
        match effect {
            Effect::Admit { member, call, flow } => {
                let admitted = self.registry.admit(now, key, call, flow, &mut self.call_effects);
                let arrival = |(call, entry)| Box::new(AdmittedCallee { member, call, entry });
                self.arrival = admitted.map(arrival);
            }
            Effect::Ban { member, who, reason, length } => {
                self.registry.ban_list().ban(now, key.clone(), member, who, reason, length);
            }
            Effect::Fetch { number, url, call, party, moment } => {
                // [`Command::Sounds`] brings it.
                let is_private = self.machine.is_private();
                let fetch = room_sounds::fetch(room, is_private, number, url, call, party, moment);
                self.registry.fetch(fetch);
            }
            Effect::End { call, ending, .. } => self.registry.end(call, ending),
            Effect::Signal(order) => self.registry.signal(order),
            Effect::Media(order) => self.registry.audio(order),
            Effect::Record { who, format } => self.registry.record_for_member(room, who, format),
            Effect::CutRecording { on } => self.registry.cut_recording(*id, on),
            Effect::RecordDialled { who, pending } => {
                self.registry.record_dialled(&key.account, &who, pending);
            }
            Effect::StopDialled { call } => self.registry.stop_dialled(call),
            Effect::Unname => self.registry.unname(key, *id),
            Effect::Release { member, mut call, exit, sequence } => {
                let by = self.blame.of(exit.cause);
                let left = Observed::Left { call: call.id, member, exit: exit.clone(), by };
                self.registry.observe(left);
                let membership =
                    sequence.map(|sequence| PastMembership { room: *id, member, sequence });
                let act = call.left(now, &exit, membership, &mut self.call_effects);
                self.registry.go_on(now, call, act, &mut self.call_effects);
            }
            Effect::Reply { ticket, outcome } => {
                let (asked, reply) = self.reply.take().expect("one reply for each ask");
                debug_assert_eq!(asked, ticket);
                // The requester may have stopped waiting.
                drop(reply.send(outcome));
            }
            Effect::Call { .. }
            | Effect::Leave(_)
            | Effect::Publish(_)
            | Effect::Stop
            | Effect::Tell { .. } => {
                unreachable!("`record` and `perform` handle them")
            }
        }
    }

    fn requeue(&mut self, now: Instant, call: Box<Call>, entry: Arc<JoinOptions>) {
        let name = self.room.incarnation.key.name.clone();
        self.registry.requeue(now, call, name, entry, &mut self.call_effects);
    }

    /// The room is over and its name is free: a call that is still in its queue joins a fresh room.
    /// Returns false once the queue is empty.
    fn requeue_next(&mut self, now: Instant) -> bool {
        // A panic can end the room after it has let somebody in.
        if let Some(arrival) = self.arrival.take() {
            self.requeue(now, arrival.call, arrival.entry);
            return true;
        }
        match self.queue.try_recv(|_| false) {
            Some(RoomMessage::Enter { call, entry, .. }) => self.requeue(now, call, entry),
            // To drop the reply says that the room is gone.
            Some(RoomMessage::Ask { .. } | RoomMessage::Close | RoomMessage::Sounds { .. }) => (),
            // The directory has the hang-up as well, and the next move reads it.
            Some(RoomMessage::HangUp { .. } | RoomMessage::Report { .. }) => (),
            Some(RoomMessage::Invite(invite)) => self.registry.end_uninvited(*invite),
            Some(RoomMessage::Dial(_)) => unreachable!("it is the first message of its room"),
            None => return false,
        }
        true
    }
}

/// Some tens of microseconds of work, so that a large room does not delay others on its thread.
pub const EFFECTS_PER_SLICE: usize = 64;

/// The most members of a room that is checked after each decision, in debug builds.
const CHECKED_MEMBERS_MAX: usize = 200;
