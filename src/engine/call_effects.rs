//! Effects of calls: what a call in no room has decided is written, and then performed in order.

use std::sync::Arc;

use super::{
    observed::take_events,
    registry::{Observed, Registry, without_query},
};
use crate::{
    call::{Call, Effect},
    documents::{DocumentFetch, DocumentRecipient},
};

impl Registry {
    /// Writes the events of a call that goes on, its row, and other rows of the turn, and performs its
    /// other effects in order. Its requests are the `attempt`th of them.
    pub(super) fn perform(
        self: &Arc<Self>,
        call: &mut Call,
        effects: &mut Vec<Effect>,
        attempt: u8,
    ) {
        self.record_turn(call, effects);
        self.perform_written(call, effects, attempt);
    }

    /// As [`Registry::perform`], for a call that ends next.
    pub(super) fn perform_last(self: &Arc<Self>, call: &Call, effects: &mut Vec<Effect>) {
        let mut events = Vec::new();
        take_events(call, effects, 0, &mut events);
        self.record(events, Vec::new());
        self.perform_written(call, effects, 1);
    }

    /// Performs the effects of a call in order; its events are written.
    pub(super) fn perform_written(
        self: &Arc<Self>,
        call: &Call,
        effects: &mut Vec<Effect>,
        attempt: u8,
    ) {
        for effect in effects.drain(..) {
            let (recipient, request) = match effect {
                Effect::Begin { step } => {
                    self.note_element(call, step);
                    continue;
                }
                Effect::Record { number, options } => {
                    self.record_element(call, number, &options);
                    continue;
                }
                Effect::StopRecording { number, why } => {
                    self.stop_element(call.id, number, why);
                    continue;
                }
                Effect::Audio(order) => {
                    self.audio(order);
                    continue;
                }
                Effect::Signal(order) => {
                    self.signal(order);
                    continue;
                }
                Effect::Publish(_) => unreachable!("`take_events` has taken them"),
                Effect::Fetch { number, request } => {
                    let (url, purpose) = (without_query(&request.url).into(), request.purpose);
                    self.observe(Observed::Fetching { call: call.id, url, purpose });
                    (DocumentRecipient::Call { number }, request)
                }
                Effect::Notify(request) => (DocumentRecipient::Nobody, request),
            };
            let (account, party) = (call.account.clone(), call.party.clone());
            let status = call.status();
            let call = call.id;
            let fetch = DocumentFetch { account, call, party, status, recipient, request, attempt };
            self.fetch(fetch);
        }
    }
}
