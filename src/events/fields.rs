//! Form fields of the requests that conflow makes, as each vendor names them (contract 4.2 to 4.5).

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{AccountEvent, CallSubject};
use crate::{
    base::{
        ids::{AccountId, Dialect, Incarnation},
        utc,
    },
    call::{self, CallDirection, CallStatus, Party},
    cdr::Cdr,
    conference::{ConferenceEvent, DialEvent, DialStep, MemberInfo, Notice},
    events::log::Event,
    fetch::signature::FormField,
    recording::{RecordingEndReason, event::RecordingEvent},
};

/// Calls cost nothing here, but the vendors' fields are sent.
const RATE: &str = "0.00000";

/// The fields of an event's callback, in a dialect.
pub fn of_event(
    account: &AccountId,
    event: &Event<AccountEvent>,
    dialect: Dialect,
) -> Vec<FormField> {
    match &event.what {
        AccountEvent::Call { call, party, status, event, cdr, .. } => {
            let subject = CallSubject { account, call: *call, party, status: *status };
            let mut fields = standard(subject, call_event(*event));
            if let Some(cdr) = cdr {
                fields.extend(cdr_fields(cdr, dialect));
            }
            fields
        }
        AccountEvent::Dial { call, party, event, .. } => {
            let status = CallStatus::InProgress;
            let subject = CallSubject { account, call: *call, party, status };
            of_dial(subject, event, dialect)
        }
        AccountEvent::Conference { room, notice, .. } => {
            of_conference(account, room, notice, dialect)
        }
        AccountEvent::Recording(event) => match &event.member {
            Some(who) => of_member_recording(account, event, who),
            None => of_recording(event),
        },
    }
}

/// The fields of an event's callback that only its receiver is sent: those of a recording that an
/// element has started are not named as in the stream of events.
pub fn of_callback(
    account: &AccountId,
    event: &Event<AccountEvent>,
    dialect: Dialect,
) -> Vec<FormField> {
    if let AccountEvent::Recording(it) = &event.what
        && let Some(party) = it.callback.as_ref().and_then(|it| it.party.as_ref())
    {
        return of_element_recording(account, it, party);
    }
    of_event(account, event, dialect)
}

/// The value of `Event` for an event, such as `ConferenceEnter`.
pub fn event_name(event: &AccountEvent) -> &'static str {
    match event {
        AccountEvent::Call { event, .. } => call_event(*event),
        AccountEvent::Conference { notice, .. } => conference_event(&notice.event),
        AccountEvent::Dial { event, .. } => dial_step(&event.step).0,
        AccountEvent::Recording(event) => recording_event(event),
    }
}

/// The fields that nearly every request has (contract 4.2).
pub(crate) fn standard(subject: CallSubject<'_>, event: &'static str) -> Vec<FormField> {
    let CallSubject { account, call, party, status } = subject;
    let mut fields = vec![
        field("CallUUID", call),
        field("From", &party.from),
        field("To", &party.to),
        field("CallStatus", status.text()),
        field("Direction", party.direction.text()),
        field("Event", event),
        field("CallerName", &party.caller_name),
        field("BillRate", RATE),
        field("ParentAuthID", account),
        field("SessionStart", utc::precise(party.session.began_at)),
    ];
    if party.direction == CallDirection::Outbound {
        // A request makes one call, so the call's id stands for the request's.
        let names = ["RequestUUID", "ALegUUID", "ALegRequestUUID"];
        fields.extend(names.map(|name| field(name, call)));
    }
    let prefix = party.dialect.header_prefix();
    let headers = party.session.headers().iter();
    fields
        .extend(headers.map(|(name, value)| (format!("{prefix}{name}").into(), value.to_string())));
    fields
}

/// The fields that only `hangup_url` gets (contract 4.2).
fn cdr_fields(cdr: &Cdr, dialect: Dialect) -> Vec<FormField> {
    let ending = cdr.ending;
    let talked = cdr.talked().as_secs();
    // Vobiz bills by the minute.
    let billed = match dialect {
        Dialect::Plivo => talked,
        Dialect::Vobiz => talked.div_ceil(60) * 60,
    };
    let answered = cdr.answered_at.map(utc::seconds).unwrap_or_default();
    let mut fields = vec![
        field("HangupCause", ending.cause.signal()),
        field("HangupCauseName", ending.cause.name()),
        field("HangupCauseCode", ending.cause.code()),
        field("HangupSource", ending.source.text()),
        field("Duration", talked),
        field("BillDuration", billed),
        field("TotalCost", RATE),
        field("StartTime", utc::seconds(cdr.party.session.began_at)),
        field("AnswerTime", answered),
        field("EndTime", utc::seconds(cdr.ended_at)),
    ];
    // An extension: which document was missing, and why.
    fields.extend(cdr.detail.iter().map(|it| field("HangupCauseDetail", it)));
    fields
}

fn of_conference(
    account: &AccountId,
    room: &Incarnation,
    notice: &Notice,
    dialect: Dialect,
) -> Vec<FormField> {
    let Notice { sequence, event } = notice;
    let mut fields = vec![field("Event", conference_event(event))];
    fields.extend(action(event).map(|it| field("ConferenceAction", it)));
    fields.extend([field("ConferenceName", &room.key.name), field("ConferenceUUID", room.id)]);
    if let Some(MemberInfo { member, call, party, .. }) = event.who() {
        fields.push(field("ConferenceMemberID", member));
        // Contract 4.4: of the call's fields, Vobiz sends only its id with an exit.
        if dialect == Dialect::Vobiz && matches!(event, ConferenceEvent::Exited { .. }) {
            fields.push(field("CallUUID", call));
        } else {
            let status = CallStatus::InProgress;
            let rest = standard(CallSubject { account, call: *call, party, status }, "");
            fields.extend(rest.into_iter().filter(|(name, _)| name != "Event"));
        }
    }
    match event {
        ConferenceEvent::Entered { is_first, .. } => {
            fields.push(field("ConferenceFirstMember", is_first));
        }
        ConferenceEvent::Exited { cause, reason, is_last, .. } => {
            fields.push(field("ConferenceLastMember", is_last));
            fields.push(field("ConferenceExitCause", cause.text()));
            fields.extend(reason.iter().map(|it| field("ConferenceExitReason", it)));
        }
        ConferenceEvent::DigitsMatched { digits, .. } => {
            fields.push(field("ConferenceDigitsMatch", digits));
        }
        ConferenceEvent::FloorTaken { .. } | ConferenceEvent::Over | ConferenceEvent::Started => (),
    }
    fields.push(field("ConferenceSequence", sequence));
    fields
}

fn recording_event(event: &RecordingEvent) -> &'static str {
    match (event.member.is_some(), event.end.is_some()) {
        (true, false) => "ConferenceRecordStart",
        (true, true) => "ConferenceRecordStop",
        (false, false) => "RecordStart",
        (false, true) => "RecordStop",
    }
}

/// The fields for a member whose element has `record`. What is not known yet is -1.
fn of_member_recording(
    account: &AccountId,
    event: &RecordingEvent,
    who: &MemberInfo,
) -> Vec<FormField> {
    let RecordingEvent { conference, room, .. } = event;
    let MemberInfo { member, call, party, callback: _ } = who;
    let mut fields =
        vec![field("Event", recording_event(event)), field("ConferenceAction", "record")];
    fields.extend(conference.iter().map(|it| field("ConferenceName", it)));
    fields.extend(room.iter().map(|it| field("ConferenceUUID", it)));
    fields.push(field("ConferenceMemberID", member));
    let subject = CallSubject { account, call: *call, party, status: CallStatus::InProgress };
    fields.extend(standard(subject, "").into_iter().filter(|(name, _)| name != "Event"));
    fields.extend(event.facts().fields().into_iter().map(|(name, value)| field(name, value)));
    fields
}

/// The fields for the `callbackUrl` of a `<Record>` (contract of recording, section 3).
fn of_element_recording(
    account: &AccountId,
    event: &RecordingEvent,
    party: &Party,
) -> Vec<FormField> {
    let is_over = event.end.is_some_and(|(_, reason)| match reason {
        RecordingEndReason::HungUp | RecordingEndReason::Interrupted => true,
        RecordingEndReason::Drained => true,
        RecordingEndReason::DiskFull | RecordingEndReason::FinishedOnKey => false,
        RecordingEndReason::MaxLength | RecordingEndReason::Stopped => false,
        RecordingEndReason::Timeout => false,
    });
    let status = if is_over { CallStatus::Completed } else { CallStatus::InProgress };
    let subject = CallSubject { account, call: event.call, party, status };
    let mut fields = standard(subject, recording_event(event));
    // Only Vobiz names the event.
    fields.retain(|(name, _)| name != "Event" || party.dialect == Dialect::Vobiz);
    let facts = event.facts();
    let of_recording = facts.fields().into_iter().chain(facts.more_fields(party.dialect));
    fields.extend(of_recording.map(|(name, value)| field(name, value)));
    fields
}

fn since_1970_ms(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// The fields about a recording that a request has started, in snake case as at Plivo (contract of
/// recording, section 3). One that has just begun has no end.
fn of_recording(event: &RecordingEvent) -> Vec<FormField> {
    let RecordingEvent { recording, api_id, call, conference, url, started_at, end, .. } = event;
    let mut fields = vec![
        field("api_id", api_id),
        match conference {
            Some(name) => field("conference_name", name),
            None => field("call_uuid", call),
        },
        field("record_url", url),
        field("recording_id", recording),
    ];
    let start = since_1970_ms(*started_at);
    if let Some((length, _)) = end {
        fields.extend([
            field("recording_duration", length.as_secs()),
            field("recording_duration_ms", length.as_millis()),
            field("recording_start_ms", start),
            field("recording_end_ms", start + length.as_millis()),
        ]);
    } else {
        fields.push(field("recording_start_ms", start));
    }
    fields
}

/// The fields of an event of a `<Dial>` (contract of calling, section 13.1).
fn of_dial(subject: CallSubject<'_>, event: &DialEvent, dialect: Dialect) -> Vec<FormField> {
    let DialEvent { callee, step, callback: _ } = event;
    let (name, action, status) = dial_step(step);
    let mut fields = standard(subject, name);
    fields.push(field("DialAction", action));
    // A call into a conference has no A leg.
    if subject.call != callee.call {
        fields.push(field("DialALegUUID", subject.call));
    }
    fields.extend([
        field("DialBLegUUID", callee.call),
        field("DialBLegFrom", &callee.party.from),
        field("DialBLegTo", &callee.party.to),
    ]);
    fields.extend(status.map(|it| field("DialBLegStatus", it)));
    match step {
        DialStep::Answered | DialStep::Connected => (),
        DialStep::Digits { digits, by_caller } => fields.extend([
            field("DialDigitsMatch", digits),
            field("DialDigitsPressedBy", if *by_caller { "ALeg" } else { "BLeg" }),
        ]),
        DialStep::Ended { ending, seconds: (all, talked) } => {
            fields.extend([
                field("DialBLegDuration", all),
                field("DialBLegBillDuration", talked),
                field("DialBLegHangupCauseName", ending.cause.name()),
                field("DialBLegHangupCauseCode", ending.cause.code()),
                field("DialBLegHangupSource", ending.source.text()),
            ]);
            if dialect == Dialect::Vobiz {
                let began = callee.party.session.began_at;
                fields.extend([
                    field("DialBLegHangupCause", ending.cause.signal()),
                    field("StartTime", utc::seconds(began)),
                    field("EndTime", utc::seconds(began + Duration::from_secs(*all))),
                ]);
            }
        }
    }
    fields
}

/// `Event`, `DialAction` and `DialBLegStatus`.
fn dial_step(step: &DialStep) -> (&'static str, &'static str, Option<&'static str>) {
    match step {
        DialStep::Answered => ("DialAnswer", "answer", Some("answer")),
        DialStep::Connected => ("DialConnected", "connected", Some("connected")),
        DialStep::Digits { .. } => ("DialDigitsMatch", "digits", None),
        DialStep::Ended { .. } => ("DialHangup", "hangup", Some("hangup")),
    }
}

fn call_event(event: call::CallEvent) -> &'static str {
    match event {
        call::CallEvent::Answered => "Answer",
        call::CallEvent::Begun => "CallStart",
        call::CallEvent::Ended(_) => "Hangup",
        call::CallEvent::Rang => "Ring",
    }
}

fn conference_event(event: &ConferenceEvent) -> &'static str {
    match event {
        ConferenceEvent::DigitsMatched { .. } => "ConferenceDigitsMatch",
        ConferenceEvent::Entered { .. } => "ConferenceEnter",
        ConferenceEvent::Exited { .. } => "ConferenceExit",
        ConferenceEvent::FloorTaken { .. } => "ConferenceFloor",
        ConferenceEvent::Over => "ConferenceEnd",
        ConferenceEvent::Started => "ConferenceStart",
    }
}

/// `ConferenceAction`; the vendors have none for the start and end of a room.
fn action(event: &ConferenceEvent) -> Option<&'static str> {
    match event {
        ConferenceEvent::DigitsMatched { .. } => Some("digits"),
        ConferenceEvent::Entered { .. } => Some("enter"),
        ConferenceEvent::Exited { .. } => Some("exit"),
        ConferenceEvent::FloorTaken { .. } => Some("floor"),
        ConferenceEvent::Over | ConferenceEvent::Started => None,
    }
}

fn field(name: &'static str, value: impl ToString) -> FormField {
    (Cow::Borrowed(name), value.to_string())
}
