//! Effects of calls: what a call in no room has decided is written, and then performed in order.

use std::sync::Arc;

use super::{
    recorder::TurnRow,
    registry::{Observed, Registry, observed, without_query},
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
        rows: Vec<TurnRow>,
        attempt: u8,
    ) {
        let events = published(call, effects);
        self.record_turn(call, events, rows);
        self.perform_written(call, effects, attempt);
    }

    /// As [`Registry::perform`], for a call that ends next.
    pub(super) fn perform_last(self: &Arc<Self>, call: &Call, effects: &mut Vec<Effect>) {
        self.record(published(call, effects), Vec::new());
        self.perform_written(call, effects, 1);
    }

    /// Performs the effects of a call but for its events.
    fn perform_written(self: &Arc<Self>, call: &Call, effects: &mut Vec<Effect>, attempt: u8) {
        for effect in effects.drain(..) {
            let (recipient, request) = match effect {
                Effect::Begin { step } => {
                    if let Some(element) = call.element(step) {
                        let (verb, at) = (element.verb, element.at);
                        self.observe(Observed::Began { call: call.id, step, element });
                        if let Some(passed_over) = call.passed_over(step).cloned() {
                            let call = call.id;
                            self.observe(Observed::PassedOver { call, verb, at, passed_over });
                        }
                    }
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
                Effect::Publish(_) => continue,
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

/// The events among the effects of a call.
fn published(call: &Call, effects: &[Effect]) -> Vec<Observed> {
    let event = |effect: &Effect| {
        let Effect::Publish(event) = effect else { return None };
        Some(observed(call, *event))
    };
    effects.iter().filter_map(event).collect()
}
