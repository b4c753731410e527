//! Room sounds: the requests for the sound documents of a room.

use std::sync::Arc;

use crate::{
    base::ids::{CallId, Incarnation},
    call::{CallStatus, Party},
    conference::SoundMoment,
    documents::{DocumentFetch, DocumentRecipient},
    flow::{DocumentRequest, Purpose, RequestMethod},
};

/// The fetch of a sound document. A private room, one of a `<Dial>`, has no name that anybody knows.
pub(super) fn fetch(
    room: &Incarnation,
    is_private: bool,
    number: u32,
    url: Arc<str>,
    call: CallId,
    party: Arc<Party>,
    moment: SoundMoment,
) -> DocumentFetch {
    let Incarnation { key, id } = room;
    // The vendors send the last two empty as well (contract 4.5).
    let is_of_callee = moment == SoundMoment::Confirm || is_private;
    let fields = match is_of_callee {
        true => Vec::new(),
        false => vec![
            ("ConferenceAction", moment.text().to_owned()),
            ("ConferenceName", key.name.to_string()),
            ("ConferenceUUID", String::new()),
            ("ConferenceMemberID", String::new()),
        ],
    };
    let (method, purpose) = (RequestMethod::Post, Purpose::Sound);
    let request = DocumentRequest { url, method, purpose, fields, is_private: false };
    let (account, status) = (key.account.clone(), CallStatus::InProgress);
    let recipient = DocumentRecipient::Room { key: key.clone(), room: *id, number };
    DocumentFetch { account, call, party, status, recipient, request, attempt: 1 }
}
