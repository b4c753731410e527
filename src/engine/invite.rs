//! Invite: makes the calls of a request that calls somebody into a conference, and lets the one who
//! accepts in.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    observed::observed,
    recorder::AskedBy,
    registry::{AskError, CallPlace, Observed, Registry},
    room_queue::{InviteMessage, RoomHandle},
};
use crate::{
    base::ids::{AccountId, CallId, MemberId, RoomKey},
    call::{self, Call, CallAct, CallEvent, Party},
    conference::{Effect, NewCallee, Outcome, Refusal},
    flow::{CalleeTerms, Cause, Flow, JoinOptions},
    media::{Ending, HangupCause, HangupSource},
};

/// Calls into a conference: the first that accepts becomes a member.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// The calls to make; 1 to 20.
    pub callees: Vec<InvitedCallee>,
    /// How they ring and accept.
    pub terms: Arc<CalleeTerms>,
    /// The document that the winner runs: one `<Conference>`.
    pub flow: Arc<Flow>,
}

/// A call of an invitation.
#[derive(Clone, Debug)]
pub struct InvitedCallee {
    /// Its id, random and unique.
    pub call: CallId,
    /// From, to, direction and session.
    pub party: Party,
    /// `send_digits`: keys that are sent once it is answered.
    pub digits: Option<Arc<str>>,
}

/// The reason why nobody was called.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InviteError {
    /// There is no such conference, or it cannot take the request.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The engine shuts down.
    #[error("the engine is shutting down, and makes no new calls")]
    Closing,
    /// A group guards the conference, and a callee has no identity.
    #[error("user: a group guards this conference: say who is called, as the group knows them")]
    NeedsUser,
}

/// A call that enters the room that has dialled it.
#[derive(Debug)]
pub(super) struct AdmittedCallee {
    pub(super) member: MemberId,
    pub(super) call: Box<Call>,
    pub(super) entry: Arc<JoinOptions>,
}

/// An accepted callee never waits so long: its invitation ends it before.
const CALLEE_TIME_MAX: Duration = Duration::from_secs(86_400);

impl Registry {
    /// Calls somebody into a conference that exists. The room answers with the member ids, in the order
    /// of the callees; if it ends first, the answer's channel closes without a value, and the calls end.
    ///
    /// # Errors
    ///
    /// Nobody is called: see [`InviteError`].
    pub fn invite(
        &self,
        now: Instant,
        by: AskedBy,
        key: &RoomKey,
        invitation: InviteRequest,
    ) -> Result<oneshot::Receiver<Outcome>, InviteError> {
        if self.is_closing.load(Ordering::SeqCst) {
            return Err(InviteError::Closing);
        }
        let InviteRequest { callees, terms, flow } = invitation;
        let (room, is_guarded) = {
            let names = self.names.of(key);
            let room = names.find(key).cloned().ok_or(AskError::Gone)?;
            (room, names.group_of(key).is_some())
        };
        if is_guarded && callees.iter().any(|it| it.party.trusted.is_none()) {
            return Err(InviteError::NeedsUser);
        }
        let next = || self.links.member_ids.next(&key.account);
        let members = callees.iter().map(|_| next()).collect::<Option<Vec<_>>>();
        let members = members.ok_or(AskError::Refused(Refusal::Fault))?;
        room.reserve_ask()?;
        let callee = |(it, member): (InvitedCallee, MemberId)| {
            let InvitedCallee { call, party, digits } = it;
            let account = key.account.clone();
            let call = Call::new(now, call, account, Arc::new(party), CALLEE_TIME_MAX);
            NewCallee { member, call, digits, sends_early: false, no_route: None }
        };
        let callees: Vec<_> = callees.into_iter().zip(members).map(callee).collect();
        let (reply, answer) = oneshot::channel();
        self.send_invitation(&room, Box::new(InviteMessage { by, callees, terms, flow, reply }));
        Ok(answer)
    }

    /// Registers the calls, moves them into the room, and tells it to dial them.
    fn send_invitation(&self, room: &Arc<RoomHandle>, invite: Box<InviteMessage>) {
        let register = |callee: &NewCallee| {
            self.places.of_call(callee.call.id).register(callee.call.id);
            observed(&callee.call, CallEvent::Begun)
        };
        self.record(invite.callees.iter().map(register).collect(), Vec::new());
        let mut places = Vec::new();
        for NewCallee { member, call, .. } in &invite.callees {
            let place = CallPlace::Room { room: room.clone(), member: *member };
            // A hang-up in between is found below.
            let _ = self.places.of_call(call.id).move_to(call.id, place);
            places.push((call.id, *member));
        }
        if let Err(invite) = room.invite(invite) {
            return self.end_uninvited(*invite);
        }
        // What was sent to the room before it knew the calls was lost on it.
        for (call, member) in places {
            let cause = self.places.of_call(call).hang_up_cause(call);
            cause.into_iter().for_each(|cause| room.hang_up(member, cause));
        }
    }

    /// Ends the calls of an invitation to a room that is over. To drop the reply says that it is gone.
    pub(super) fn end_uninvited(&self, invite: InviteMessage) {
        for NewCallee { call, .. } in invite.callees {
            let source = HangupSource::Platform(call.party.dialect);
            self.end(call, Ending { cause: HangupCause::Canceled, source });
        }
    }

    /// Begins the flow of an accepted callee. Returns the call if the room that dialled it shall let it
    /// in now, before it decides on anything else; else it goes on as one that was refused.
    ///
    /// The lists are asked under the lock of the name, by the actor of the room: an expulsion that was
    /// not in them yet queues behind the entry (see [`super::group_guard`]).
    pub(super) fn admit(
        self: &Arc<Self>,
        now: Instant,
        key: &RoomKey,
        mut call: Box<Call>,
        flow: Arc<Flow>,
        effects: &mut Vec<call::Effect>,
    ) -> Option<(Box<Call>, Arc<JoinOptions>)> {
        let act = call.begin(now, Ok(flow), effects);
        let CallAct::Join { entry, .. } = act else {
            self.go_on(now, call, act, effects);
            return None;
        };
        self.perform(&call, effects);
        match self.may_enter(now, key, &mut call, &entry) {
            Ok(()) => Some((call, entry)),
            Err(cause) => {
                let act = self.refused(now, &mut call, &cause.into(), effects);
                self.go_on(now, call, act, effects);
                None
            }
        }
    }

    /// Whether a call may join a room that exists; notes its admission.
    fn may_enter(
        &self,
        now: Instant,
        key: &RoomKey,
        call: &mut Call,
        entry: &JoinOptions,
    ) -> Result<(), Cause> {
        let who = call.party.trusted.as_deref();
        if who.is_some_and(|who| self.links.ban_list.is_banned(now, key, who)) {
            return Err(Cause::Banned);
        }
        let names = self.names.of(key);
        call.admission = self.admission_for(key, names.group_of(key), call, entry)?;
        Ok(())
    }
}

/// What a room tells of the calls that it makes.
pub(super) fn of_callee(account: &AccountId, effect: &Effect) -> Option<Observed> {
    if let Effect::Call { call, party, event } = effect {
        let (account, party) = (account.clone(), party.clone());
        return Some(Observed::Call { account, call: *call, party, event: *event });
    }
    let Effect::Tell { call, party, event } = effect else { return None };
    let (account, party, event) = (account.clone(), party.clone(), event.clone());
    Some(Observed::Dialled { account, call: *call, party, event })
}
