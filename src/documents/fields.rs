//! Form fields of a request for a document, as the vendors name them (contract 4.2).

use std::borrow::Cow;

use super::DocumentFetch;
use crate::{
    events::{CallSubject, fields::standard},
    fetch::signature::FormField,
    flow::Purpose,
};

/// Standard fields, followed by those of the request. A field of both has the request's value.
pub(super) fn of_fetch(fetch: &DocumentFetch) -> Vec<FormField> {
    let DocumentFetch { account, call, party, status, request, .. } = fetch;
    let event = match request.purpose {
        Purpose::Action | Purpose::Kick | Purpose::Redirect => "Redirect",
        Purpose::Answer => "StartApp",
        Purpose::Sound => "ConferenceRemoteSounds",
        Purpose::Transfer => "Transfer",
    };
    let subject = CallSubject { account, call: *call, party, status: *status };
    let mut fields = standard(subject, event);
    for (name, value) in &request.fields {
        match fields.iter_mut().find(|(it, _)| it == name) {
            Some(field) => field.1.clone_from(value),
            None => fields.push((Cow::Borrowed(*name), value.clone())),
        }
    }
    fields
}
