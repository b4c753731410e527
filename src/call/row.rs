//! Call row: a live call as a later process reads it from the state log. A call has one row, and its
//! place is a field of it.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    Awaits, Call, CallAct, CallSession, Effect, Hook, KeptCall, Party, SessionDetails,
    facts::CallFacts,
};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{AccountId, CallId, ConferenceName, Dialect, MemberId, RoomId},
    },
    flow::{
        Cause, DialOptions, DocumentRequest, Flow, JoinOptions, Purpose, RequestMethod, RowError,
        RunRow, write_row,
    },
    group::Admission,
    media::{AudioOrder, Diversion},
};

/// The version that this build writes.
const VERSION: u8 = 1;

/// Numbers of orders that a restart skips, so that no report on an earlier order fits a later one.
const NUMBERS_SKIPPED: u32 = 1_000;

/// A call, but for what cannot change any more since it is answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CallStateRow {
    /// Its id, which it keeps.
    pub id: CallId,
    /// The account that has the call.
    pub account: AccountId,
    party: Party,
    /// Parts of the party that events do not have.
    is_private: bool,
    diversion: Option<Diversion>,
    ends_at: u64,
    admission: Option<Admission>,
    time_limit_ms: u32,
    run: RunRow,
    number_last: u32,
    awaits: AwaitsRow,
    request: Option<RequestRow>,
    fallback: Option<Hook>,
    facts: Option<FactsRow>,
    transfers: u8,
    is_scheduled: bool,
    /// Where the call is.
    pub place: CallPlaceRow,
}

/// Where a call is. Rows have the number of a variant: new ones come last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum CallPlaceRow {
    /// On its own, or on its way to a room that has not let it in.
    Alone,
    /// In a room, or leaving it: a row of the room says so.
    Room(MemberRow),
    /// In the room of a `<Dial>`, or leaving it: the caller, or a callee that has answered.
    Pair(MemberRow),
}

/// A member of a room, but for its call and the options of its element.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MemberRow {
    /// The incarnation of the room.
    pub room: RoomId,
    /// The id in the room, which it keeps.
    pub member: MemberId,
    /// Nanoseconds from the room's creation to the entry.
    pub joined_after: u64,
    /// The others do not hear it.
    pub muted: bool,
    /// It does not hear the others.
    pub deaf: bool,
    /// The far end has put us on hold.
    pub held: bool,
    /// A request has put it on hold. Its sound is not kept: the wait sound takes its place.
    pub is_on_hold: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum AwaitsRow {
    Document(u32),
    Nothing,
    Order(u32),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct RequestRow {
    url: Arc<str>,
    method: RequestMethod,
    purpose: Purpose,
    fields: Vec<(Box<str>, String)>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct FactsRow {
    conference: Option<ConferenceName>,
    cause: Option<Cause>,
    reason: Option<Arc<str>>,
    digits: Arc<str>,
}

impl Call {
    /// The row of the call at this place. None if its flow is over, or it is not answered: such a call
    /// ends with the process.
    pub fn row(&self, clock: BootClock, place: CallPlaceRow) -> Option<Vec<u8>> {
        self.to_row(clock, place).map(|it| write_row(VERSION, &it))
    }

    /// Destructured as a whole: a new field is kept, or named here as one that is not.
    fn to_row(&self, clock: BootClock, place: CallPlaceRow) -> Option<CallStateRow> {
        let Self {
            id,
            account,
            party,
            ends_at,
            admission,
            time_limit_ms,
            run,
            number_last,
            awaits,
            outgoing,
            fallback,
            request,
            facts,
            transfers,
            // Only before the answer.
            has_rung: _,
            is_answered,
            is_scheduled,
            // The leg reports it again.
            is_talking: _,
            kept: _,
            #[cfg(debug_assertions)]
                is_over: _,
        } = self;
        if !is_answered || outgoing.is_some() {
            return None;
        }
        // The answer to it would be that of keys which must not be logged: they are typed once more.
        let request = request.as_deref();
        let is_secret = request.is_some_and(|it| it.is_private);
        let awaits = match awaits {
            Awaits::Document(_) if is_secret => AwaitsRow::Nothing,
            Awaits::Document(number) => AwaitsRow::Document(*number),
            Awaits::Nothing => AwaitsRow::Nothing,
            Awaits::Order(number) => AwaitsRow::Order(*number),
            // It goes on under another number.
            Awaits::Recording(_) => AwaitsRow::Nothing,
        };
        Some(CallStateRow {
            id: *id,
            account: account.clone(),
            party: Party::clone(party),
            is_private: party.session.is_private(),
            diversion: party.session.diversion().map(|it| Diversion::clone(&it)),
            ends_at: clock.nanos(*ends_at),
            admission: admission.as_deref().copied(),
            time_limit_ms: *time_limit_ms,
            run: run.row(clock)?,
            number_last: *number_last,
            awaits,
            request: request.filter(|it| !it.is_private).map(RequestRow::of),
            fallback: fallback.as_deref().cloned(),
            facts: facts.as_deref().map(FactsRow::of),
            transfers: *transfers,
            is_scheduled: *is_scheduled,
            place,
        })
    }

    /// Whether the state log has a row of the call.
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether it fetches another document once it has left its conference.
    pub fn is_transferred(&self) -> bool {
        self.request.is_some() && self.awaits == Awaits::Nothing
    }

    /// Whether either side has answered.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The document that the call runs, as its row names it: the key, and the whole row of the text.
    pub fn document_row(&self) -> Option<(u128, impl FnOnce() -> Vec<u8>)> {
        let source = self.run.flow()?.source.clone();
        Some((source.text.key(), move || source.row()))
    }

    /// The flow that the call runs; None before its first document.
    pub fn flow(&self) -> Option<&Arc<Flow>> {
        self.run.flow()
    }

    /// The options of the `<Dial>` that the call is in.
    pub fn dial_here(&self) -> Option<Arc<DialOptions>> {
        self.run.dial_here()
    }

    /// The conference that the call's element is about.
    pub fn conference_here(&self) -> Option<(ConferenceName, Arc<JoinOptions>)> {
        self.run.conference_here()
    }

    /// Goes on after a restart: does once more what it waits for, and goes on with what it was playing.
    /// It is in no room.
    pub fn resume(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CallAct {
        if let (Awaits::Document(number), Some(request)) = (self.awaits, &self.request) {
            effects.push(Effect::Fetch { number, request: (**request).clone() });
            return CallAct::Stay;
        }
        // The prompts of keys that must not be logged begin again, whichever played.
        let before = match self.awaits {
            Awaits::Order(number) if !self.run.is_private_here() => Some(number),
            Awaits::Document(_) | Awaits::Nothing | Awaits::Order(_) => None,
            Awaits::Recording(_) => None,
        };
        let (mut asked, first) = (Vec::new(), effects.len());
        self.run.resume(now, &mut asked);
        let act = self.apply(now, asked, effects);
        for effect in &mut effects[first..] {
            if let (Some(before), Effect::Audio(order)) = (before, effect)
                && let AudioOrder::Play { call, number, program } = order
            {
                let (call, number, program) = (*call, *number, program.clone());
                *order = AudioOrder::PlayOn { call, number, before, program };
            }
        }
        act
    }
}

impl CallStateRow {
    /// Reads a row of any version that an earlier build has written.
    ///
    /// # Errors
    ///
    /// [`RowError::Format`].
    pub fn read(bytes: &[u8]) -> Result<Self, RowError> {
        RowError::read(VERSION, bytes)
    }

    /// The same row before a restart has skipped numbers of orders.
    #[must_use]
    pub fn numbered_before(self) -> Self {
        Self { number_last: self.number_last.wrapping_sub(NUMBERS_SKIPPED), ..self }
    }

    /// The key of the document that the call runs, and the dialect in which it is parsed.
    pub fn document(&self) -> Option<(u128, Dialect)> {
        self.run.document()
    }

    /// The call, with the document of [`CallStateRow::document`].
    ///
    /// # Errors
    ///
    /// The row does not fit the document.
    pub fn restore(self, clock: BootClock, flow: Option<Arc<Flow>>) -> Result<Box<Call>, RowError> {
        let document = self.document().map(|(key, _)| key);
        let run = self.run.restore(clock, flow)?;
        let step = run.step();
        let fits = match self.place {
            CallPlaceRow::Alone => true,
            CallPlaceRow::Room(_) => run.conference_here().is_some(),
            // A callee has no flow.
            CallPlaceRow::Pair(_) => run.flow().is_none() || run.dial_here().is_some(),
        };
        if !fits {
            return Err(RowError::Element { step });
        }
        let request = self.request.map(RequestRow::restore).transpose()?;
        let awaits = match self.awaits {
            AwaitsRow::Document(number) => Awaits::Document(number),
            AwaitsRow::Nothing => Awaits::Nothing,
            AwaitsRow::Order(number) => Awaits::Order(number),
        };
        Ok(Box::new(Call {
            id: self.id,
            account: self.account,
            party: Arc::new(whole_party(self.party, self.is_private, self.diversion)),
            ends_at: clock.instant(self.ends_at),
            admission: self.admission.map(Box::new),
            time_limit_ms: self.time_limit_ms,
            run,
            number_last: self.number_last.wrapping_add(NUMBERS_SKIPPED),
            awaits,
            outgoing: None,
            fallback: self.fallback.map(Box::new),
            request: request.map(Box::new),
            facts: self.facts.map(|it| Box::new(it.restore())),
            transfers: self.transfers,
            has_rung: false,
            is_answered: true,
            is_scheduled: self.is_scheduled,
            is_talking: false,
            kept: Some(Box::new(KeptCall { document })),
            #[cfg(debug_assertions)]
            is_over: false,
        }))
    }
}

/// The party with what events do not have.
fn whole_party(party: Party, is_private: bool, diversion: Option<Diversion>) -> Party {
    if !is_private && diversion.is_none() {
        return party;
    }
    let details = party.session.details().cloned().unwrap_or_default();
    let diversion = diversion.map(Arc::new);
    let session = CallSession::new(
        party.session.began_at,
        SessionDetails { is_private, diversion, ..details },
    );
    Party { session, ..party }
}

impl RequestRow {
    fn of(request: &DocumentRequest) -> Self {
        let DocumentRequest { url, method, purpose, fields, is_private: _ } = request;
        let fields = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        Self { url: url.clone(), method: *method, purpose: *purpose, fields }
    }

    fn restore(self) -> Result<DocumentRequest, RowError> {
        let Self { url, method, purpose, fields } = self;
        let field = |(name, value): (Box<str>, String)| {
            let known = FIELD_NAMES.iter().find(|it| **it == &*name);
            let why = || format!("no request has the field {name}");
            let known = known.ok_or_else(|| RowError::Format { version: VERSION, why: why() })?;
            Ok((*known, value))
        };
        let fields = fields.into_iter().map(field).collect::<Result<_, _>>()?;
        Ok(DocumentRequest { url, method, purpose, fields, is_private: false })
    }
}

/// The fields of requests that a call can wait for.
const FIELD_NAMES: [&str; 24] = [
    "ConferenceExitCause",
    "ConferenceExitReason",
    "ConferenceMemberID",
    "ConferenceName",
    "ConferenceSequence",
    "ConferenceUUID",
    "DialALegUUID",
    "DialBLegUUID",
    "DialHangupCause",
    "DialRingStatus",
    "DialStatus",
    "Digits",
    "Event",
    "InputType",
    "RecordFile",
    "RecordUrl",
    "RecordingDuration",
    "RecordingDurationMs",
    "RecordingEndMs",
    "RecordingEndReason",
    "RecordingID",
    "RecordingStartMs",
    "Speech",
    "SpeechConfidenceScore",
];

impl FactsRow {
    fn of(facts: &CallFacts) -> Self {
        // A recording that waits for a `<Dial>` does not begin after a crash.
        let CallFacts { conference, cause, reason, digits, recordings: _ } = facts;
        let (conference, reason) = (conference.clone(), reason.clone());
        Self { conference, cause: *cause, reason, digits: digits.clone() }
    }

    fn restore(self) -> CallFacts {
        let Self { conference, cause, reason, digits } = self;
        CallFacts { conference, cause, reason, digits, recordings: Vec::new() }
    }
}
