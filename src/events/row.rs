//! Rows of events: how the state log keeps an [`AccountEvent`].
//!
//! An event has all that a reader or a receiver is told, so that none needs another. The first byte
//! is the version; a change of any type here needs another, and the old one is still read.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{AccountEvent, CallSequence};
use crate::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    call::{CallEvent, CallStatus, Party},
    cdr::Cdr,
    conference::{DialEvent, Notice},
    media::Ending,
    recording::event::RecordingEvent,
};

/// The version that this build writes.
const VERSION: u8 = 1;

/// What a row that cannot be read has: it is of a newer version, or damaged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an event of the state log cannot be read (version {version}): {why}")]
pub struct BadEventRow {
    version: u8,
    why: String,
}

#[derive(Deserialize, Serialize)]
enum EventRow<P, R, N, D, E> {
    Call {
        call: CallId,
        call_sequence: CallSequence,
        party: P,
        status: CallStatus,
        event: CallEvent,
        end: Option<EndRow>,
    },
    Conference {
        room: R,
        notice: N,
        call_sequence: Option<CallSequence>,
    },
    /// Rows of builds that knew no dials have none.
    Dial {
        call: CallId,
        call_sequence: CallSequence,
        party: P,
        event: D,
    },
    /// Rows of builds that kept no recordings have none.
    Recording(E),
}

/// What a CDR says more than the event of the call's end.
#[derive(Deserialize, Serialize)]
struct EndRow {
    answered_at: Option<SystemTime>,
    ended_at: SystemTime,
    ending: Ending,
    detail: Option<Arc<str>>,
    conference: Option<RoomId>,
}

/// Appends the row of an event to a buffer.
pub fn write(event: &AccountEvent, mut row: Vec<u8>) -> Vec<u8> {
    let event: EventRow<&Party, &Incarnation, &Notice, &DialEvent, &RecordingEvent> = match event {
        AccountEvent::Recording(event) => EventRow::Recording(event),
        AccountEvent::Call { call, call_sequence, party, status, event, cdr } => EventRow::Call {
            call: *call,
            call_sequence: *call_sequence,
            party,
            status: *status,
            event: *event,
            end: cdr.as_deref().map(|cdr| {
                // What is left out is in the event, but the sound's figures, which no callback has.
                let Cdr {
                    answered_at,
                    ended_at,
                    ending,
                    detail,
                    conference,
                    account: _,
                    call: _,
                    party: _,
                    leg_summary: _,
                } = cdr;
                EndRow {
                    answered_at: *answered_at,
                    ended_at: *ended_at,
                    ending: *ending,
                    detail: detail.clone(),
                    conference: *conference,
                }
            }),
        },
        AccountEvent::Dial { call, call_sequence, party, event } => {
            EventRow::Dial { call: *call, call_sequence: *call_sequence, party, event }
        }
        AccountEvent::Conference { room, notice, call_sequence } => {
            EventRow::Conference { room, notice, call_sequence: *call_sequence }
        }
    };
    row.push(VERSION);
    postcard::to_extend(&event, row).expect("postcard writes every event")
}

/// Reads the row of an event of an account.
///
/// # Errors
///
/// It is of an unknown version, or no event.
pub fn read(account: &AccountId, row: &[u8]) -> Result<AccountEvent, BadEventRow> {
    let (&version, row) = row.split_first().unwrap_or((&0, row));
    let bad = |why: String| BadEventRow { version, why };
    if version != VERSION {
        return Err(bad(format!("this build reads version {VERSION}")));
    }
    let row: EventRow<Arc<Party>, Arc<Incarnation>, Notice, Arc<DialEvent>, Arc<RecordingEvent>> =
        postcard::from_bytes(row).map_err(|error| bad(error.to_string()))?;
    Ok(match row {
        EventRow::Call { call, call_sequence, party, status, event, end } => {
            let cdr = end.map(|EndRow { answered_at, ended_at, ending, detail, conference }| {
                Arc::new(Cdr {
                    account: account.clone(),
                    call,
                    party: party.clone(),
                    answered_at,
                    ended_at,
                    ending,
                    detail,
                    conference,
                    leg_summary: OnceLock::new(),
                })
            });
            AccountEvent::Call { call, call_sequence, party, status, event, cdr }
        }
        EventRow::Recording(event) => AccountEvent::Recording(event),
        EventRow::Dial { call, call_sequence, party, event } => {
            AccountEvent::Dial { call, call_sequence, party, event }
        }
        EventRow::Conference { room, notice, call_sequence } => {
            AccountEvent::Conference { room, notice, call_sequence }
        }
    })
}
