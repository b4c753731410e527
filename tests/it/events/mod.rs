//! Rows of events: the bytes of each version, which every later version reads.
//!
//! A file has one line for each sample: its name and its row. `GOLDEN=write cargo test --test it
//! rows_of_events` writes that of the current version: if a row has changed, raise the version first,
//! and keep the old file.

use std::{
    env,
    fmt::Write as _,
    fs,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use conflow::{
    base::{
        ids::{AccountId, CallId, Dialect, Incarnation, MemberId, RecordingId, RoomId, Trusted},
        traceparent::Traceparent,
    },
    call::{CallDirection, CallEvent, CallSession, CallStatus, Hook, Party, SessionDetails},
    cdr::Cdr,
    conference::{CalleeInfo, ConferenceEvent, DialEvent, DialStep, MemberInfo, Notice},
    events::{AccountEvent, row},
    flow::{CallbackTarget, Cause, RequestMethod},
    group::GroupId,
    media::{Ending, HangupCause, HangupSource},
    recording::{RecordingCallback, RecordingEndReason, event::RecordingEvent},
};
use uuid::Uuid;

const STATUSES: [CallStatus; 9] = [
    CallStatus::Busy,
    CallStatus::Cancel,
    CallStatus::Completed,
    CallStatus::Failed,
    CallStatus::InProgress,
    CallStatus::NoAnswer,
    CallStatus::Queued,
    CallStatus::Ringing,
    CallStatus::Timeout,
];

#[test]
fn rows_of_events_of_every_version_are_read() {
    let samples = samples();
    let version = row::write(&samples[0].1, Vec::new())[0];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/events");
    let path = |version: u8| folder.join(format!("rows-{version}.txt"));
    if env::var_os("GOLDEN").is_some_and(|it| it == "write") {
        let lines = samples
            .iter()
            .map(|(name, event)| format!("{name} {}\n", hex(&row::write(event, Vec::new()))));
        fs::write(path(version), lines.collect::<String>()).unwrap();
    }
    for version in 1..=version {
        let text = fs::read_to_string(path(version)).unwrap();
        for line in text.lines() {
            let (name, bytes) = line.split_once(' ').unwrap();
            let sample = samples.iter().find(|it| it.0 == name);
            let (_, expected) = sample.unwrap_or_else(|| panic!("no sample {name}"));
            let found = row::read(&account(), &bytes_of(bytes));
            assert_eq!(found.as_ref(), Ok(expected), "version {version}, {name}");
        }
    }
    let golden = fs::read_to_string(path(version)).unwrap();
    let lines = samples
        .iter()
        .map(|(name, event)| format!("{name} {}\n", hex(&row::write(event, Vec::new()))));
    let other: String = lines.filter(|it| !golden.contains(it)).collect();
    assert!(other.is_empty(), "these rows are new, or have changed: raise the version\n{other}");
}

/// Each kind of event, and each value of each type in it.
fn samples() -> Vec<(String, AccountEvent)> {
    let mut samples = Vec::new();
    let normal = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
    let rich = Arc::new(party(CallDirection::Outbound, Dialect::Plivo));
    for status in STATUSES {
        samples
            .push((format!("status-{}", status.text()), of_call(&rich, status, CallEvent::Begun)));
    }
    let status = CallStatus::InProgress;
    samples.push(("answered".to_owned(), of_call(&rich, status, CallEvent::Answered)));
    samples.push(("rang".to_owned(), of_call(&rich, status, CallEvent::Rang)));
    for (n, trusted) in [
        None,
        Some(Trusted::Number("14155550100".into())),
        Some(Trusted::SipUser("anna".into())),
        Some(Trusted::User("anna@example.com".into())),
    ]
    .into_iter()
    .enumerate()
    {
        let plain = Party {
            trusted: trusted.map(Box::new),
            session: CallSession::at(time(5)),
            ..party(CallDirection::Inbound, Dialect::Vobiz)
        };
        samples.push((format!("plain-{n}"), of_call(&Arc::new(plain), status, CallEvent::Begun)));
    }
    for cause in (0..10_000).filter_map(HangupCause::of_code) {
        let ending = Ending { cause, ..normal };
        samples.push((format!("cause-{}", cause.code()), ended(&rich, ending, None)));
    }
    for (n, source) in HangupSource::ALL.into_iter().enumerate() {
        let ending = Ending { source, ..normal };
        samples.push((format!("source-{n}"), ended(&rich, ending, Some("no document"))));
    }
    samples.extend(of_rooms(&rich));
    samples.extend(of_dials(&rich));
    samples.extend(of_recordings(&rich));
    samples
}

/// Each step of a callee.
fn of_dials(party: &Arc<Party>) -> Vec<(String, AccountEvent)> {
    let ending = Ending { cause: HangupCause::LostRace, source: HangupSource::Callee };
    let steps = [
        ("answered", DialStep::Answered),
        ("connected", DialStep::Connected),
        ("digits", DialStep::Digits { digits: "1*".into(), by_caller: true }),
        ("ended", DialStep::Ended { ending, seconds: (300, 7) }),
    ];
    let sample = |(name, step): (&str, DialStep)| {
        let callee = CalleeInfo { call: CallId::of(8), party: party.clone() };
        let event = Arc::new(DialEvent { callee, step, callback: None });
        let (call, party) = (CallId::of(7), party.clone());
        let call_sequence = NonZeroU32::new(4).unwrap();
        (format!("dial-{name}"), AccountEvent::Dial { call, call_sequence, party, event })
    };
    steps.into_iter().map(sample).collect()
}

/// Recordings that requests and elements have started, and each reason of an end.
fn of_recordings(party: &Arc<Party>) -> Vec<(String, AccountEvent)> {
    let callback = |party: Option<&Arc<Party>>| RecordingCallback {
        url: "https://example.com/recorded".into(),
        method: RequestMethod::Post,
        dialect: Dialect::Vobiz,
        party: party.cloned(),
    };
    let begun = RecordingEvent {
        recording: RecordingId::of(5),
        api_id: Uuid::from_u128(6),
        call: CallId::of(7),
        conference: None,
        room: None,
        url: "https://example.com/5.wav".into(),
        started_at: time(1),
        end: None,
        member: None,
        callback: None,
    };
    let of_room = RecordingEvent {
        conference: Some("weekly".parse().unwrap()),
        room: Some(RoomId::of(3)),
        member: Some(MemberInfo {
            member: MemberId(300),
            call: CallId::of(7),
            party: party.clone(),
            callback: None,
        }),
        ..begun.clone()
    };
    let requested = RecordingEvent { callback: Some(callback(None)), ..begun.clone() };
    let of_element = RecordingEvent { callback: Some(callback(Some(party))), ..begun.clone() };
    let mut samples = vec![
        ("recording-begun".to_owned(), begun.clone()),
        ("recording-room".to_owned(), of_room),
        ("recording-requested".to_owned(), requested),
        ("recording-element".to_owned(), of_element),
    ];
    for reason in RecordingEndReason::ALL {
        let end = Some((Duration::from_millis(1_500), reason));
        let ended = RecordingEvent { end, ..begun.clone() };
        samples.push((format!("recording-{}", reason.text()), ended));
    }
    samples.into_iter().map(|(name, it)| (name, AccountEvent::Recording(Arc::new(it)))).collect()
}

/// Each kind of event of a room, and each cause of an exit.
fn of_rooms(party: &Arc<Party>) -> Vec<(String, AccountEvent)> {
    let who = |callback: Option<CallbackTarget>| MemberInfo {
        member: MemberId(300),
        call: CallId::of(7),
        party: party.clone(),
        callback: callback.map(Arc::new),
    };
    let target = CallbackTarget {
        url: "https://example.com/room".into(),
        method: RequestMethod::Get,
        by_call: true,
        reports_floor: false,
    };
    let of_room = |name: &str, event: ConferenceEvent| {
        let call_sequence = event.who().and(NonZeroU32::new(4));
        let notice = Notice { sequence: 9, event };
        let room = Incarnation::of(RoomId::of(3), "weekly");
        (name.to_owned(), AccountEvent::Conference { room, notice, call_sequence })
    };
    let group = Some(GroupId(5));
    let mut samples = vec![
        of_room("entered", ConferenceEvent::Entered { who: who(None), is_first: true, group }),
        of_room("digits", ConferenceEvent::DigitsMatched { who: who(None), digits: "1*".into() }),
        of_room("floor", ConferenceEvent::FloorTaken { who: who(Some(target)) }),
        of_room("over", ConferenceEvent::Over),
        of_room("started", ConferenceEvent::Started),
    ];
    for cause in Cause::ALL {
        let (who, reason) = (who(None), Some("loud".into()));
        let event =
            ConferenceEvent::Exited { who, cause: *cause, reason, is_last: true, ends: false };
        samples.push(of_room(&format!("exited-{}", cause.text()), event));
    }
    samples
}

fn party(direction: CallDirection, dialect: Dialect) -> Party {
    let hook = |url: &str, method| Some(Hook { url: url.into(), method });
    let details = SessionDetails {
        headers: [("Customer".into(), "17".into())].into(),
        ring: hook("https://example.com/ring", RequestMethod::Post),
        hangup: hook("https://example.com/end", RequestMethod::Get),
        parent: Some(CallId::of(6)),
        trace: Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ..SessionDetails::default()
    };
    assert!(details.trace.is_some());
    Party {
        from: "14155550100".into(),
        to: "sip:weekly@example.com".into(),
        caller_name: "Änne".into(),
        direction,
        dialect,
        trusted: None,
        session: CallSession::new(time(1), details),
    }
}

fn of_call(party: &Arc<Party>, status: CallStatus, event: CallEvent) -> AccountEvent {
    let (call, call_sequence) = (CallId::of(7), NonZeroU32::new(200).unwrap());
    AccountEvent::Call { call, call_sequence, party: party.clone(), status, event, cdr: None }
}

fn ended(party: &Arc<Party>, ending: Ending, detail: Option<&str>) -> AccountEvent {
    let (call, call_sequence) = (CallId::of(7), NonZeroU32::new(3).unwrap());
    let cdr = Arc::new(Cdr {
        account: account(),
        call,
        party: party.clone(),
        answered_at: detail.is_none().then(|| time(2)),
        ended_at: time(3),
        ending,
        detail: detail.map(Into::into),
        conference: detail.is_none().then(|| RoomId::of(3)),
        leg_summary: OnceLock::new(),
    });
    let (party, status, event) = (party.clone(), cdr.status(), CallEvent::Ended(ending));
    AccountEvent::Call { call, call_sequence, party, status, event, cdr: Some(cdr) }
}

fn account() -> AccountId {
    "MA1".parse().unwrap()
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_764_000_000 + seconds, 123_456_789)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}
