//! Notes for the traces of calls: the elements that they begin, and what requests of the API do.

use std::sync::Arc;

use uuid::Uuid;

use super::{observed::Observed, registry::Registry};
use crate::{base::ids::CallId, call::Call};

impl Registry {
    /// Notes in a call's trace that it begins an element, and what of it has no effect.
    pub(super) fn note_element(&self, call: &Call, step: u32) {
        let Some(element) = call.element(step) else { return };
        let (verb, at) = (element.verb, element.at);
        self.observe(Observed::Began { call: call.id, step, element });
        if let Some(passed_over) = call.passed_over(step).cloned() {
            self.observe(Observed::PassedOver { call: call.id, verb, at, passed_over });
        }
    }

    /// Notes in the trace of a restored call at which element it goes on.
    pub(super) fn note_resumed(&self, call: &Call) {
        let element = call.element(call.step());
        element.into_iter().for_each(|element| {
            self.observe(Observed::Resumed { call: call.id, element });
        });
    }

    /// Notes in the call's trace that a request of the API is about to act on it.
    pub fn note_request(&self, call: CallId, api_id: Uuid, command: &'static str) {
        self.observe(Observed::Requested { call, api_id, command });
    }

    /// Notes in the call's trace that a request about it had parameters that conflow ignores.
    pub fn note_warning(&self, call: CallId, api_id: Uuid, warning: Arc<str>) {
        self.observe(Observed::Warned { call, api_id, warning });
    }
}
