//! Plivo dialect: `/v1/…`, 202, and the texts of Plivo's own answers.

use axum::{
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::Response,
};
use uuid::Uuid;

use super::{MemberIdForm, SuccessReply, member_action::MemberAction};
use crate::api::{failure::Failure, forms::PlivoForm};

/// The longest text of a Speak (contract 7).
pub(super) const SPEAK_CHARS_MAX: usize = 3_000;

/// Contract 2.1, column Plivo.
pub(super) fn success_reply(form: PlivoForm, action: MemberAction) -> SuccessReply {
    let message = match action {
        MemberAction::Deafen => "deaf",
        MemberAction::Hold => "held",
        MemberAction::Kick => "kicked",
        MemberAction::Mute => "muted",
        MemberAction::Play => "play queued into conference",
        MemberAction::Speak => "speak queued into conference",
        MemberAction::HangUp
        | MemberAction::StopPlay
        | MemberAction::StopSpeak
        | MemberAction::Undeafen
        | MemberAction::Unhold
        | MemberAction::Unmute => {
            return SuccessReply::NoContent;
        }
    };
    let form = match form {
        PlivoForm::Array => MemberIdForm::Array,
        PlivoForm::ByClient => MemberIdForm::ByClient,
        PlivoForm::String => MemberIdForm::Text,
    };
    SuccessReply::Body { status: StatusCode::ACCEPTED, message, form }
}

/// The answer to a failed request. Plivo publishes no texts (contract 9); these are those of Vobiz.
pub(in crate::api) fn refuse(failure: &Failure, api_id: Uuid) -> Response {
    let mut response = failure.answer(api_id);
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"conflow\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
