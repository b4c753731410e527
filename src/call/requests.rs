//! Requests of a call: those of hooks, and the fields that only the call knows.

use super::{Effect, Hook, PastMembership};
use crate::{
    base::ids::CallId,
    flow::{DocumentRequest, Purpose},
};

pub(super) fn request(hook: Hook, purpose: Purpose) -> DocumentRequest {
    let Hook { url, method } = hook;
    DocumentRequest { url, method, purpose, fields: Vec::new(), is_private: false }
}

/// Adds the conference and the member id to the request of a conference's `action` (contract 4.3).
pub(super) fn add_membership(effect: &mut Effect, membership: Option<PastMembership>) {
    let (Effect::Fetch { request, .. } | Effect::Notify(request)) = effect else { return };
    if !request.fields.iter().any(|(name, _)| *name == "ConferenceName") {
        return;
    }
    let text = |it: Option<String>| it.unwrap_or_default();
    let fields = &mut request.fields;
    fields.push(("ConferenceUUID", text(membership.map(|it| it.room.to_string()))));
    fields.push(("ConferenceMemberID", text(membership.map(|it| it.member.to_string()))));
    fields.extend(membership.map(|it| ("ConferenceSequence", it.sequence.to_string())));
}

/// Adds the call's own id to the request of a dial's `action`.
pub(super) fn add_dial(effect: &mut Effect, call: CallId) {
    let (Effect::Fetch { request, .. } | Effect::Notify(request)) = effect else { return };
    if request.fields.iter().any(|(name, _)| *name == "DialStatus") {
        request.fields.push(("DialALegUUID", call.to_string()));
    }
}
