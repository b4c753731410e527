//! Vobiz dialect: `/api/v1/…`, 200 as documented, or 202 and arrays as its servers answer.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use uuid::Uuid;

use super::{MemberIdForm, SuccessReply, member_action::MemberAction};
use crate::api::{failure::Failure, forms::VobizForm, reply};

/// The longest text of a Speak to a member (contract 2.8).
pub(super) const SPEAK_CHARS_MAX: usize = 1_000;

/// A path that does not exist is answered by the vendor's gateway, in a form of its own
/// (contract 1.2).
const NO_ROUTE: NoRoute = NoRoute { message: "Not Found" };

/// The body of the gateway's 404.
#[derive(Serialize)]
struct NoRoute {
    message: &'static str,
}

/// Contract 2.1, the two columns of Vobiz.
pub(super) fn success_reply(form: VobizForm, action: MemberAction) -> SuccessReply {
    let (documented, live) = match action {
        MemberAction::Deafen => ("deaf", "deaf"),
        MemberAction::Hold => ("held", "held"),
        MemberAction::Kick => ("kicked", "kicked"),
        MemberAction::Mute => ("muted", "muted"),
        MemberAction::Play => ("play started", "play queued into conference"),
        MemberAction::Speak => ("speak started", "speak queued into conference"),
        MemberAction::HangUp
        | MemberAction::StopPlay
        | MemberAction::StopSpeak
        | MemberAction::Undeafen
        | MemberAction::Unhold
        | MemberAction::Unmute => {
            return SuccessReply::NoContent;
        }
    };
    match form {
        VobizForm::Documented => {
            // The only documented answer with an array.
            let form =
                if action == MemberAction::Play { MemberIdForm::Array } else { MemberIdForm::Text };
            SuccessReply::Body { status: StatusCode::OK, message: documented, form }
        }
        VobizForm::Live => SuccessReply::Body {
            status: StatusCode::ACCEPTED,
            message: live,
            form: MemberIdForm::Array,
        },
    }
}

/// The answer to a failed request (contract 1.2).
pub(in crate::api) fn refuse(failure: &Failure, api_id: Uuid) -> Response {
    match matches!(failure, Failure::NoRoute) {
        true => reply::json(StatusCode::NOT_FOUND, &NO_ROUTE),
        false => failure.answer(api_id),
    }
}
