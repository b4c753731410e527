//! The Plivo dialect: `/v1/…`, 202, and the texts of Plivo's own answers.

use axum::http::StatusCode;
use serde::Deserialize;

use super::{Form, Manner, endpoints::Wish};
use crate::{conference::Refusal, engine::registry::AskError};

/// How `member_id` is written; by Plivo's pages a string, by some of its clients an array.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum PlivoForm {
    /// `["10","15"]`, for clients that read nothing else (plivo-go).
    Array,
    /// `"10,15"`, as documented.
    #[default]
    String,
}

/// What Plivo takes to be spoken at once (contract 7).
pub(super) const SPEAK_CHARS_MAX: usize = 3_000;

/// Contract 2.1, column Plivo.
pub(super) fn manner(form: PlivoForm, wish: Wish) -> Manner {
    let message = match wish {
        Wish::Deafen => "deaf",
        Wish::Kick => "kicked",
        Wish::Mute => "muted",
        Wish::Play => "play queued into conference",
        Wish::Speak => "speak queued into conference",
        Wish::HangUp | Wish::StopPlay | Wish::StopSpeak | Wish::Undeafen | Wish::Unmute => {
            return Manner::Silent;
        }
    };
    let form = match form {
        PlivoForm::Array => Form::Array,
        PlivoForm::String => Form::Text,
    };
    Manner::Spoken { status: StatusCode::ACCEPTED, message, form }
}

/// Plivo publishes no texts (contract 9): those of Vobiz are as good.
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
