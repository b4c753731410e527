//! Document endings: how a call ends whose document is not available (contract 3.14).

use super::{DocumentError, options::Purpose};
use crate::media::HangupCause;

impl DocumentError {
    /// How a call ends that needs the document for this purpose.
    pub(super) fn ending(&self, purpose: Purpose) -> HangupCause {
        match (self, purpose) {
            (Self::Invalid(_), Purpose::Action) => HangupCause::ActionXmlInvalid,
            (Self::Invalid(_), Purpose::Answer | Purpose::Sound) => HangupCause::AnswerXmlInvalid,
            (Self::Invalid(_), Purpose::Redirect) => HangupCause::RedirectXmlInvalid,
            (Self::Invalid(_), Purpose::Kick | Purpose::Transfer) => {
                HangupCause::TransferXmlInvalid
            }
            (Self::NotUrl(_), Purpose::Action) => HangupCause::ActionUrlInvalid,
            (Self::NotUrl(_), Purpose::Redirect) => HangupCause::RedirectUrlInvalid,
            (Self::NotUrl(_), Purpose::Kick | Purpose::Transfer) => HangupCause::TransferUrlInvalid,
            (Self::Unreachable(_), Purpose::Action) => HangupCause::ActionUrlUnreachable,
            // The vendors have no code for an invalid answer URL; a run requests no sounds.
            (Self::NotUrl(_) | Self::Unreachable(_), Purpose::Answer | Purpose::Sound) => {
                HangupCause::AnswerUrlUnreachable
            }
            (Self::Unreachable(_), Purpose::Redirect) => HangupCause::RedirectUrlUnreachable,
            (Self::Unreachable(_), Purpose::Kick | Purpose::Transfer) => {
                HangupCause::TransferUrlUnreachable
            }
        }
    }
}
