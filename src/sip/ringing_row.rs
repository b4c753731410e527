//! Ringing row: the refusal of a call that comes in over UDP and that is not answered yet, for the case
//! that the process dies: its caller has stopped to repeat the INVITE, and would hear nothing for minutes.
//!
//! Over TCP and TLS the caller sees that the connection has ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    agent::retry_after,
    call::Ringing,
    dialog_row::HopRow,
    request::{Hop, reply_hop},
    transaction::TransactionKey,
};

/// The version of the rows that this release writes. Rows of answered calls have lower ones.
const VERSION: u8 = 0x81;

/// A call that rings.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RingingRow {
    version: u8,
    /// Of the INVITE: the ACK of the refusal has it, too.
    key: TransactionKey,
    /// Where replies go.
    hop: HopRow,
    /// A 503, as it is sent.
    refusal: Vec<u8>,
}

impl RingingRow {
    /// The row of a call that rings. None over a stream.
    pub(super) fn of(ringing: &Ringing, local_tag: &str) -> Option<Self> {
        let hop = reply_hop(&ringing.invite.via, &ringing.hop);
        if hop.transport.is_stream() {
            return None;
        }
        let mut refusal = ringing.invite.reply(&ringing.hop, 503, local_tag);
        refusal.headers.extend(retry_after());
        let key = TransactionKey::of(&ringing.invite);
        let (hop, refusal) = (HopRow::of(&hop), refusal.to_bytes());
        Some(Self { version: VERSION, key, hop, refusal })
    }

    /// Whether a row of a dialog is that of a call that rings.
    pub(super) fn is_one(body: &[u8]) -> bool {
        body.first().is_some_and(|it| VERSION <= *it)
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        match body.first() {
            Some(&VERSION) => postcard::from_bytes(body).map_err(|error| error.to_string()),
            Some(version) => {
                Err(format!("its version is {version}, and this release reads {VERSION}"))
            }
            None => Err("it is empty".to_owned()),
        }
    }

    /// Writes the row.
    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers and texts")
    }

    /// Where the refusal goes, as the earlier process knew it.
    pub(super) fn hop(&self) -> Hop {
        self.hop.restore()
    }

    /// The transaction of the INVITE, and its refusal.
    pub(super) fn restore(self) -> (TransactionKey, Arc<[u8]>) {
        (self.key, self.refusal.into())
    }
}
