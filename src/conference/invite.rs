//! Invitation: the room dials somebody, who becomes a member of it.
//!
//! The one who is accepted enters as every other call does: the actor asks the ban list and the access
//! list, and hands the call back in a [`Command::Enter`](super::Command::Enter) before the room decides
//! on anything else. So an expulsion that the room hears of later finds a member.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{
    Conference, ConferenceAnswer, Effect, NewCallee, Outcome, Refusal,
    callees::{Callee, Invitation},
    state::DueItem,
};
use crate::{
    base::ids::MemberId,
    flow::{CalleeTerms, Cause, Flow},
    media::{DialOrigin, HangupCause},
};

impl Conference {
    /// Dials callees, of whom the first that is accepted becomes a member with this flow.
    pub(super) fn invite(
        &mut self,
        now: Instant,
        callees: Vec<NewCallee>,
        terms: Arc<CalleeTerms>,
        flow: Arc<Flow>,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let ids: Vec<MemberId> = callees.iter().map(|it| it.member).collect();
        let Some(&first) = ids.first() else { return Err(Refusal::NoMember) };
        let flow = Some(flow);
        let invitation = Arc::new(Invitation { first, terms, dialled_at: now, flow });
        let rings_until = invitation.rings_until();
        let callees = callees.into_iter().enumerate();
        let callees = callees.map(|(n, it)| (it.member, Callee::new(it, invitation.clone(), n)));
        self.dial.get_or_insert_default().callees.extend(callees);
        if self.is_empty() {
            // The room is over, and ends them.
            return Err(Refusal::NoMember);
        }
        self.add_deadline(rings_until, DueItem::Ring(first));
        // The room does not wait for a trunk that is busy.
        let origin = DialOrigin::Dial { is_inherited: false, forwarded: None };
        for id in &ids {
            let order = self.callee(*id).map(|it| it.call.dial_order(origin.clone()));
            effects.extend(order.map(Effect::Signal));
            self.maybe_inject_fault();
        }
        Ok(ConferenceAnswer::Members(ids))
    }

    /// Hands an accepted callee out, to be let in.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        id: MemberId,
        flow: Arc<Flow>,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(callee) = self.callee(id) else { return };
        let first = callee.invitation.first;
        self.end_rivals(now, first, id, effects);
        if let Some(callee) = self.remove_callee(id) {
            effects.push_back(Effect::Admit { member: id, call: callee.call, flow });
        }
    }

    /// Ends the callees of a room with a name that is over.
    pub(super) fn settle_invitations(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        if self.is_private() {
            return;
        }
        if self.members.is_empty() {
            let has_fault = self.leavers.iter().any(|it| it.exit.cause == Cause::Fault);
            let cause = if has_fault { HangupCause::Internal } else { HangupCause::Canceled };
            for id in self.callee_ids() {
                self.end_by_platform(now, id, cause, effects);
            }
        }
        self.dial.take_if(|it| it.callees.is_empty());
    }

    pub(super) fn callee_ids(&self) -> Vec<MemberId> {
        self.dial.iter().flat_map(|it| it.callees.keys().copied()).collect()
    }
}
