//! Row of a pair: the room of a `<Dial>`, as a later process reads it from the state log.
//!
//! The caller, and callees that have answered, are in the rows of their calls. Callees that ring end
//! with the process; their destinations are called once more while there is time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    Conference, Effect, NewCallee, Settings,
    call_ends::CallEnds,
    callees::{Callee, CalleeState, ConnectedCallee, DialState, DialledPair, Invitation},
    dial::{callee_options, caller_options, origin},
    event::CalleeInfo,
    pending_sounds::PendingSounds,
    state::{DueItem, RoomPhase, RoomTimeLimit},
};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{CallId, Incarnation, MemberId},
    },
    call::{Call, CallPlaceRow, MemberRow},
    flow::{Cause, DialOptions, RowError, write_row},
    media::{AudioOrder, Ending, HangupCause, HangupSource},
};

/// The version that this build writes.
const VERSION: u8 = 1;

/// The room of a `<Dial>` whose caller has a row.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PairRow {
    /// Its id, which it keeps.
    pub room: Incarnation,
    /// The member id of the caller.
    pub caller: MemberId,
    created_at: u64,
    /// When the two have talked long enough, if they talk.
    limit: Option<u64>,
    /// The first of the callees, and when all were dialled.
    dialled: (MemberId, u64),
    connected: Option<CalleeRow>,
    has_rung: bool,
    last: Option<Ending>,
    callees: Vec<CalleeRow>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct CalleeRow {
    member: MemberId,
    info: CalleeInfo,
    answered_at: Option<u64>,
    destination: u8,
    is_second: bool,
}

/// What a restored pair has lost with the last process.
#[derive(Debug)]
pub struct LostCallees {
    /// Each callee, and when it had answered. One without that was ringing.
    callees: Vec<(CalleeInfo, Option<Instant>)>,
    invitation: Arc<Invitation>,
}

impl Conference {
    /// The row of the room of a `<Dial>`. None if the caller is not in it, or has no row.
    pub fn pair_row(&self, clock: BootClock) -> Option<Vec<u8>> {
        let DialState { pair, callees } = self.dial.as_deref()?;
        // Destructured as a whole: a new field is kept, or named here as one that is not.
        let DialledPair {
            caller,
            // Of the caller's element.
            options: _,
            connected,
            has_rung,
            last,
            // It ends with the callee.
            heard_early: _,
        } = pair.as_ref()?;
        self.members.get(caller).filter(|it| it.call.is_kept())?;
        let first = callees.values().next().map(|it| &it.invitation);
        let dialled = first.map_or((*caller, self.created_at), |it| (it.first, it.dialled_at));
        let connected = connected.as_ref().map(|it| CalleeRow {
            member: it.member,
            info: it.info.clone(),
            answered_at: Some(clock.nanos(it.answered_at)),
            destination: 0,
            is_second: false,
        });
        let callee = |(member, it): (&MemberId, &Callee)| CalleeRow {
            member: *member,
            info: CalleeInfo::of(&it.call),
            answered_at: it.answered_at.map(|at| clock.nanos(at)),
            destination: u8::try_from(it.destination).unwrap_or(u8::MAX),
            is_second: it.is_second,
        };
        let row = PairRow {
            room: Incarnation::clone(&self.incarnation),
            caller: *caller,
            created_at: clock.nanos(self.created_at),
            limit: match self.limit {
                RoomTimeLimit::Stated(at) => Some(clock.nanos(at)),
                RoomTimeLimit::Default(_) | RoomTimeLimit::None => None,
            },
            dialled: (dialled.0, clock.nanos(dialled.1)),
            connected,
            has_rung: *has_rung,
            last: *last,
            callees: callees.iter().map(|(id, it)| (id, &**it)).map(callee).collect(),
        };
        Some(write_row(VERSION, &row))
    }

    /// Gives rows to calls of a `<Dial>`: to the caller first, and to the others if it has one. `keep`
    /// says whether a call has one now.
    pub fn keep_pair(&mut self, mut keep: impl FnMut(&mut Call) -> bool) {
        let Some(caller) = self.pair().map(|it| it.caller) else { return };
        let Some(member) = self.members.get_mut(&caller) else { return };
        let mut take = |id: MemberId, call: &mut Call, changed: &mut Vec<MemberId>| {
            let is_new = !call.is_kept() && keep(call);
            changed.extend(is_new.then_some(id));
            is_new
        };
        self.kept += u32::from(take(caller, &mut member.call, &mut self.changed));
        if !member.call.is_kept() {
            return;
        }
        for (id, member) in self.members.iter_mut().filter(|(id, _)| **id != caller) {
            self.kept += u32::from(take(*id, &mut member.call, &mut self.changed));
        }
        for (id, callee) in self.dial.iter_mut().flat_map(|it| &mut it.callees) {
            take(*id, &mut callee.call, &mut self.changed);
        }
    }

    /// The row of a callee that has answered and is not connected.
    pub(super) fn callee_row(&self, clock: BootClock, id: MemberId) -> Option<(CallId, Vec<u8>)> {
        let call = &self.dial.as_ref()?.callees.get(&id)?.call;
        let place = CallPlaceRow::Pair(MemberRow {
            room: self.id(),
            member: id,
            joined_after: 0,
            muted: false,
            deaf: false,
            held: false,
            is_on_hold: false,
        });
        Some((call.id, call.row(clock, place)?))
    }

    /// Puts the restored room of a `<Dial>` to work: two who were connected hear each other, callees
    /// that have answered are asked to confirm, and `again` are called, each with the number of its
    /// destination. `leavers` have left meanwhile.
    pub fn resume_pair(
        &mut self,
        now: Instant,
        leavers: Vec<(MemberId, Cause)>,
        lost: LostCallees,
        again: Vec<(usize, NewCallee)>,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(caller) = self.pair().map(|it| it.caller) else { return };
        for (id, cause) in leavers {
            match self.has(id) {
                true => self.take_out(id, &cause.into()),
                false => self.hang_up_callee(now, id, cause, effects),
            }
        }
        let calls = self.lose(now, lost, again, effects);
        self.settle_dial(now, effects);
        let is_in = self.has(caller);
        if is_in {
            self.resume_sound(effects);
            let confirming = self.callee_ids();
            self.dial_again(now, caller, calls, effects);
            for id in confirming {
                if self.callee(id).is_some_and(|it| it.answered_at.is_some()) {
                    self.confirm(now, id, effects);
                }
            }
            self.settle_dial(now, effects);
        }
        self.conclude(now, effects);
        if !is_in {
            // The media engine does not know those who leave.
            effects.retain(|it| !matches!(it, Effect::Media(AudioOrder::Remove { .. })));
        }
    }

    /// Tells of the callees that the last process has taken with it, and takes those in that are called
    /// once more. Returns these, with the endings of those who cannot be called.
    fn lose(
        &mut self,
        now: Instant,
        LostCallees { callees, invitation }: LostCallees,
        again: Vec<(usize, NewCallee)>,
        effects: &mut VecDeque<Effect>,
    ) -> Vec<(MemberId, Option<Ending>)> {
        let dialect = self.dialect();
        let ending = |cause| Ending { cause, source: HangupSource::Platform(dialect) };
        let rang = callees.iter().filter(|it| it.1.is_none()).count();
        let last = match callees.len() {
            0 => None,
            _ if again.len() < rang => Some(ending(HangupCause::NoAnswer)),
            _ => Some(ending(HangupCause::Internal)),
        };
        for (info, answered_at) in callees {
            let ending = ending(HangupCause::Internal);
            self.tell_over(now, info, answered_at, &invitation, ending, effects);
        }
        if !again.is_empty() {
            self.add_deadline(invitation.rings_until(), DueItem::Ring(invitation.first));
        }
        let calls = again.iter().map(|(_, it)| (it.member, it.no_route)).collect();
        let Some(dial) = &mut self.dial else { return calls };
        if let Some(pair) = &mut dial.pair {
            pair.last = last.or(pair.last);
        }
        for (destination, callee) in again {
            let member = callee.member;
            let mut callee = Callee::new(callee, invitation.clone(), destination);
            callee.is_second = true;
            dial.callees.insert(member, callee);
        }
        calls
    }

    fn dial_again(
        &mut self,
        now: Instant,
        caller: MemberId,
        calls: Vec<(MemberId, Option<Ending>)>,
        effects: &mut VecDeque<Effect>,
    ) {
        let options = self.pair().map(|it| it.options.clone());
        let Some((options, caller)) = options.zip(self.members.get(&caller)) else { return };
        let origin = origin(&options, &caller.call);
        for (member, no_route) in calls {
            match no_route {
                Some(ending) => self.end_callee(now, member, ending, effects),
                None => {
                    let order = self.callee(member).map(|it| it.call.dial_order(origin.clone()));
                    effects.extend(order.map(Effect::Signal));
                }
            }
        }
    }
}

impl PairRow {
    /// Reads a row of any version that an earlier build has written.
    ///
    /// # Errors
    ///
    /// [`RowError::Format`].
    pub fn read(bytes: &[u8]) -> Result<Self, RowError> {
        RowError::read(VERSION, bytes)
    }

    /// Whether this call is the caller, or a callee that has answered.
    pub fn has(&self, member: MemberId) -> bool {
        let callees = self.callees.iter().filter(|it| it.answered_at.is_some());
        let mut others = callees.chain(&self.connected);
        member == self.caller || others.any(|it| it.member == member)
    }

    /// The destinations to call once more: those that rang for the first time, if less than half of
    /// their time has passed.
    pub fn to_call_again(
        &self,
        now: Instant,
        clock: BootClock,
        options: &DialOptions,
    ) -> Vec<usize> {
        let passed = now.saturating_duration_since(clock.instant(self.dialled.1));
        if options.terms.ring_timeout <= passed * 2 {
            return Vec::new();
        }
        let ringing = self.callees.iter().filter(|it| it.answered_at.is_none() && !it.is_second);
        let destinations = ringing.map(|it| usize::from(it.destination));
        destinations.filter(|it| *it < options.destinations.len()).collect()
    }

    /// The room, with the calls of its members and callees, and what it has lost.
    /// [`Conference::resume_pair`] puts it to work.
    pub fn restore(
        self,
        now: Instant,
        clock: BootClock,
        options: Arc<DialOptions>,
        calls: Vec<(Box<Call>, MemberRow)>,
    ) -> (Conference, LostCallees) {
        let Self { room, caller, created_at, limit, dialled, connected, has_rung, last, callees } =
            self;
        let mut conference = Conference::new(now, Arc::new(room), &Settings::default());
        conference.created_at = clock.instant(created_at);
        conference.limit =
            limit.map_or(RoomTimeLimit::None, |at| RoomTimeLimit::Stated(clock.instant(at)));
        conference.members_cap = conference.members_cap.max(2);
        conference.phase = if connected.is_some() { RoomPhase::Live } else { RoomPhase::Waiting };
        (conference.call_ends, conference.sounds) = (CallEnds::new(now), PendingSounds::default());
        let (first, dialled_at) = (dialled.0, clock.instant(dialled.1));
        let (terms, flow) = (options.terms.clone(), None);
        let invitation = Arc::new(Invitation { first, terms, dialled_at, flow });
        let mut calls: BTreeMap<_, _> = calls.into_iter().map(|it| (it.1.member, it)).collect();

        if let Some((call, row)) = calls.remove(&caller) {
            conference.put_back(call, row, Arc::new(caller_options(&options)));
        }
        let mut lost = Vec::new();
        let at = |it: &CalleeRow| it.answered_at.map(|at| clock.instant(at));
        if let Some(it) = &connected {
            match calls.remove(&it.member) {
                Some((call, row)) => {
                    conference.put_back(call, row, Arc::new(callee_options(&options)));
                }
                None => lost.push((it.info.clone(), at(it))),
            }
        }
        let connected = connected.map(|it| ConnectedCallee {
            member: it.member,
            answered_at: at(&it).unwrap_or(now),
            info: it.info,
        });
        let pair = DialledPair { caller, options, connected, has_rung, last, heard_early: None };
        let mut dial = DialState { pair: Some(pair), callees: BTreeMap::new() };
        for it in callees {
            let answered_at = at(&it);
            let Some((call, _)) = calls.remove(&it.member) else {
                lost.push((it.info, answered_at));
                continue;
            };
            let callee = Callee {
                call,
                digits: None,
                sends_early: false,
                // It is asked once more.
                state: CalleeState::Confirming(None),
                answered_at,
                invitation: invitation.clone(),
                destination: it.destination.into(),
                is_second: it.is_second,
            };
            dial.callees.insert(it.member, Box::new(callee));
        }
        calls.into_values().for_each(|(call, _)| call.end());
        conference.dial = Some(Box::new(dial));
        (conference, LostCallees { callees: lost, invitation })
    }
}
