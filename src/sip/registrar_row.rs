//! Registration row: the phones of a user, so that a later process can call them.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{dialog_row::HopRow, request::Hop, uri::Uri};
use crate::base::boot_clock::BootClock;

/// The version of the rows that this release writes.
const VERSION: u8 = 1;

/// All that a binding of the registrar is made of.
#[derive(Debug)]
pub(super) struct BindingParts {
    pub(super) contact: Uri,
    pub(super) hop: Hop,
    pub(super) ends_at: Instant,
    pub(super) user_agent: String,
    pub(super) has_keep_alive: bool,
    pub(super) call_id: String,
    pub(super) cseq: u32,
}

/// All phones of a user.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct RegistrationRow {
    version: u8,
    user: String,
    bindings: Vec<BindingRow>,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct BindingRow {
    contact: String,
    hop: HopRow,
    ends_at: u64,
    user_agent: String,
    has_keep_alive: bool,
    call_id: String,
    cseq: u32,
}

impl RegistrationRow {
    /// The row of a user's phones.
    pub(super) fn of(
        user: &str,
        bindings: impl Iterator<Item = BindingParts>,
        clock: BootClock,
    ) -> Self {
        let row = |it: BindingParts| {
            let BindingParts { contact, hop, ends_at, user_agent, has_keep_alive, call_id, cseq } =
                it;
            BindingRow {
                contact: contact.to_string(),
                hop: HopRow::of(&hop),
                ends_at: clock.nanos(ends_at),
                user_agent,
                has_keep_alive,
                call_id,
                cseq,
            }
        };
        let bindings = bindings.map(row).collect();
        Self { version: VERSION, user: user.to_owned(), bindings }
    }

    /// The id of the row of a user.
    pub(super) fn id(user: &str) -> u128 {
        let hash = blake3::hash(user.as_bytes());
        u128::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }

    /// Writes the row.
    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers and texts")
    }

    /// Reads a row.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        match body.first() {
            Some(&VERSION) => postcard::from_bytes(body).map_err(|error| error.to_string()),
            Some(version) => {
                Err(format!("its version is {version}, and this release reads {VERSION}"))
            }
            None => Err("it is empty".to_owned()),
        }
    }

    /// The user, and the phones that `way` finds the way to. A phone over TCP or TLS is reached over its
    /// own connection alone, which has ended: it registers again (RFC 5626).
    pub(super) fn restore(
        self,
        way: &dyn Fn(&Hop) -> Option<Hop>,
        clock: BootClock,
    ) -> (Arc<str>, Vec<BindingParts>) {
        let Self { version: _, user, bindings } = self;
        let binding = |it: BindingRow| {
            let BindingRow { contact, hop, ends_at, user_agent, has_keep_alive, call_id, cseq } =
                it;
            let hop = hop.restore();
            if hop.transport.is_stream() {
                return None;
            }
            let (contact, hop) = (Uri::parse(&contact).ok()?, way(&hop)?);
            let ends_at = clock.instant(ends_at);
            Some(BindingParts { contact, hop, ends_at, user_agent, has_keep_alive, call_id, cseq })
        };
        (user.into(), bindings.into_iter().filter_map(binding).collect())
    }
}
