//! Form fields of the requests that we make, as either vendor names them (contract 4.2 to 4.5).

use std::borrow::Cow;

use super::{Happening, Subject};
use crate::{
    base::{
        ids::{AccountId, Dialect, Incarnation},
        utc,
    },
    call::{self, CallStatus, Direction},
    cdr::Record,
    conference::{Being, News, Notice},
    documents::Fetch,
    events::log::Event,
    fetch::signature::Field,
    flow::Purpose,
};

/// Calls cost nothing here; the vendors' fields are told all the same.
const RATE: &str = "0.00000";

/// What a request for a document tells.
pub fn of_fetch(fetch: &Fetch) -> Vec<Field> {
    let Fetch { account, call, party, status, request, .. } = fetch;
    let event = match request.purpose {
        Purpose::Action | Purpose::Kick | Purpose::Redirect => "Redirect",
        Purpose::Answer => "StartApp",
        Purpose::Sound => "ConferenceRemoteSounds",
        Purpose::Transfer => "Transfer",
    };
    let subject = Subject { account, call: *call, party, status: *status };
    let mut fields = standard(subject, event);
    let own = request.fields.iter();
    fields.extend(own.map(|(name, value)| (Cow::Borrowed(*name), value.clone())));
    fields
}

/// What an event tells, in a callback of that dialect.
pub fn of_event(account: &AccountId, event: &Event<Happening>, dialect: Dialect) -> Vec<Field> {
    match &event.what {
        Happening::Call { call, party, status, news, record, .. } => {
            let subject = Subject { account, call: *call, party, status: *status };
            let mut fields = standard(subject, call_event(*news));
            if let Some(record) = record {
                fields.extend(at_end(record, dialect));
            }
            fields
        }
        Happening::Conference { room, notice, .. } => of_conference(account, room, notice, dialect),
    }
}

/// What the event of a happening is called.
pub fn name_of(happening: &Happening) -> &'static str {
    match happening {
        Happening::Call { news, .. } => call_event(*news),
        Happening::Conference { notice, .. } => conference_event(&notice.news),
    }
}

/// The fields that nearly every request has (contract 4.2).
fn standard(subject: Subject<'_>, event: &'static str) -> Vec<Field> {
    let Subject { account, call, party, status } = subject;
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
    if party.direction == Direction::Outbound {
        // A request makes one call, and lends it its name.
        let names = ["RequestUUID", "ALegUUID", "ALegRequestUUID"];
        fields.extend(names.map(|name| field(name, call)));
    }
    let prefix = match party.dialect {
        Dialect::Plivo => "X-PH-",
        Dialect::Vobiz => "X-VH-",
    };
    let headers = party.session.headers().iter();
    fields
        .extend(headers.map(|(name, value)| (format!("{prefix}{name}").into(), value.to_string())));
    fields
}

/// `hangup_url` alone (contract 4.2).
fn at_end(record: &Record, dialect: Dialect) -> Vec<Field> {
    let ending = record.ending;
    let talked = record.talked().as_secs();
    // Vobiz bills by the minute.
    let billed = match dialect {
        Dialect::Plivo => talked,
        Dialect::Vobiz => talked.div_ceil(60) * 60,
    };
    let answered = record.answered_at.map(utc::seconds).unwrap_or_default();
    vec![
        field("HangupCause", ending.cause.signal()),
        field("HangupCauseName", ending.cause.name()),
        field("HangupCauseCode", ending.cause.code()),
        field("HangupSource", ending.source.text()),
        field("Duration", talked),
        field("BillDuration", billed),
        field("TotalCost", RATE),
        field("StartTime", utc::seconds(record.party.session.began_at)),
        field("AnswerTime", answered),
        field("EndTime", utc::seconds(record.ended_at)),
    ]
}

fn of_conference(
    account: &AccountId,
    room: &Incarnation,
    notice: &Notice,
    dialect: Dialect,
) -> Vec<Field> {
    let Notice { sequence, news } = notice;
    let mut fields = vec![field("Event", conference_event(news))];
    fields.extend(action(news).map(|it| field("ConferenceAction", it)));
    fields.extend([field("ConferenceName", &room.key.name), field("ConferenceUUID", room.id)]);
    if let Some(Being { member, call, party, .. }) = news.who() {
        fields.push(field("ConferenceMemberID", member));
        // Contract 4.4: Vobiz tells of an exit nothing but whose it was.
        if dialect == Dialect::Vobiz && matches!(news, News::Exited { .. }) {
            fields.push(field("CallUUID", call));
        } else {
            let status = CallStatus::InProgress;
            let rest = standard(Subject { account, call: *call, party, status }, "");
            fields.extend(rest.into_iter().filter(|(name, _)| name != "Event"));
        }
    }
    match news {
        News::Entered { is_first, .. } => fields.push(field("ConferenceFirstMember", is_first)),
        News::Exited { cause, reason, is_last, .. } => {
            fields.push(field("ConferenceLastMember", is_last));
            fields.push(field("ConferenceExitCause", cause.text()));
            fields.extend(reason.iter().map(|it| field("ConferenceExitReason", it)));
        }
        News::DigitsMatched { digits, .. } => fields.push(field("ConferenceDigitsMatch", digits)),
        News::FloorTaken { .. } | News::Over | News::Started => (),
    }
    fields.push(field("ConferenceSequence", sequence));
    fields
}

fn call_event(news: call::News) -> &'static str {
    match news {
        call::News::Answered => "Answer",
        call::News::Begun => "CallStart",
        call::News::Ended(_) => "Hangup",
        call::News::Rang => "Ring",
    }
}

fn conference_event(news: &News) -> &'static str {
    match news {
        News::DigitsMatched { .. } => "ConferenceDigitsMatch",
        News::Entered { .. } => "ConferenceEnter",
        News::Exited { .. } => "ConferenceExit",
        News::FloorTaken { .. } => "ConferenceFloor",
        News::Over => "ConferenceEnd",
        News::Started => "ConferenceStart",
    }
}

/// `ConferenceAction`; the vendors have none for a room's start and end.
fn action(news: &News) -> Option<&'static str> {
    match news {
        News::DigitsMatched { .. } => Some("digits"),
        News::Entered { .. } => Some("enter"),
        News::Exited { .. } => Some("exit"),
        News::FloorTaken { .. } => Some("floor"),
        News::Over | News::Started => None,
    }
}

fn field(name: &'static str, value: impl ToString) -> Field {
    (Cow::Borrowed(name), value.to_string())
}
