//! Notes: what requests of the API do to calls, for their traces.

use std::sync::Arc;

use uuid::Uuid;

use super::{observed::Observed, registry::Registry};
use crate::base::ids::CallId;

impl Registry {
    /// Notes in the call's trace that a request of the API is about to act on it.
    pub fn note_request(&self, call: CallId, api_id: Uuid, command: &'static str) {
        self.observe(Observed::Requested { call, api_id, command });
    }

    /// Notes in the call's trace that a request about it had parameters that conflow ignores.
    pub fn note_warning(&self, call: CallId, api_id: Uuid, warning: Arc<str>) {
        self.observe(Observed::Warned { call, api_id, warning });
    }
}
