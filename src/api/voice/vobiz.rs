//! The Vobiz dialect: `/api/v1/…`, 200 as documented, 202 and arrays as it is live.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Form, Manner, endpoints::Wish};
use crate::{conference::Refusal, engine::registry::AskError};

/// Which of Vobiz's own ways (contract 0.2).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum VobizForm {
    /// 200 and strings, as its pages have it.
    #[default]
    Documented,
    /// 202 and arrays, as its servers do it.
    Live,
}

/// What Vobiz takes to be spoken to a member at once (contract 2.8).
pub(super) const SPEAK_CHARS_MAX: usize = 1_000;

/// A path that names nothing gets as far as the gateway, which has a form of its own
/// (contract 1.2).
pub(in crate::api) const NO_ROUTE: NoRoute = NoRoute { message: "Not Found" };

/// The gateway's form.
#[derive(Serialize)]
pub(in crate::api) struct NoRoute {
    message: &'static str,
}

/// Contract 2.1, the two columns of Vobiz.
pub(super) fn manner(form: VobizForm, wish: Wish) -> Manner {
    let (documented, live) = match wish {
        Wish::Deafen => ("deaf", "deaf"),
        Wish::Kick => ("kicked", "kicked"),
        Wish::Mute => ("muted", "muted"),
        Wish::Play => ("play started", "play queued into conference"),
        Wish::Speak => ("speak started", "speak queued into conference"),
        Wish::HangUp | Wish::StopPlay | Wish::StopSpeak | Wish::Undeafen | Wish::Unmute => {
            return Manner::Silent;
        }
    };
    match form {
        VobizForm::Documented => {
            // The one array among the documented answers.
            let form = if wish == Wish::Play { Form::Array } else { Form::Text };
            Manner::Spoken { status: StatusCode::OK, message: documented, form }
        }
        VobizForm::Live => {
            Manner::Spoken { status: StatusCode::ACCEPTED, message: live, form: Form::Array }
        }
    }
}

/// Contract 1.2.
pub(in crate::api) fn refused(error: &AskError) -> (StatusCode, String) {
    let status = match error {
        AskError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        AskError::Gone | AskError::Refused(Refusal::NoMember) => StatusCode::NOT_FOUND,
        AskError::Refused(Refusal::NoElement { .. }) => StatusCode::BAD_REQUEST,
        AskError::Late => StatusCode::GATEWAY_TIMEOUT,
        AskError::Refused(Refusal::Fault) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}
