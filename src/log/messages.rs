//! Log messages: the texts for calls, conferences and requests.

use tracing::level_filters::LevelFilter;

use crate::{
    api::AuditEntry,
    base::ids::{AccountId, CallId, ConferenceName, Incarnation, RoomKey},
    call::{self, CallDirection, Party},
    conference::{CalleeInfo, ConferenceEvent, DialEvent, DialStep, MemberInfo, Notice},
    engine::registry::Observed,
    media::{DialAttempt, Ending},
    recording::event::RecordingEvent,
    trace::{self, FetchRecord, RecordingNote},
};

/// An event before it is formatted.
#[derive(Debug)]
pub(super) enum DeferredEvent {
    Audit(AuditEntry),
    Trace(Observed),
}

impl DeferredEvent {
    /// Formats and logs the event.
    pub(super) fn emit(self) {
        match self {
            Self::Audit(entry) => entry.log(),
            Self::Trace(trace) => emit_trace(trace),
        }
    }
}

/// Level of the event's log line.
pub(super) fn level(trace: &Observed) -> LevelFilter {
    match trace {
        Observed::Call { event: call::CallEvent::Begun | call::CallEvent::Ended(_), .. } => {
            LevelFilter::INFO
        }
        Observed::Dialled { .. } | Observed::Notice { .. } => LevelFilter::INFO,
        Observed::Recording { .. } => LevelFilter::INFO,
        Observed::Refused { .. } => LevelFilter::INFO,
        Observed::Turn(turn) => turn.events.iter().map(level).min().unwrap_or(LevelFilter::TRACE),
        Observed::Began { .. } | Observed::Call { .. } | Observed::Fetching { .. } => {
            LevelFilter::DEBUG
        }
        Observed::Fetched { record, .. } if record.error.is_some() => LevelFilter::WARN,
        Observed::PassedOver { .. } => LevelFilter::WARN,
        Observed::Fetched { .. } => LevelFilter::DEBUG,
        Observed::Left { .. } | Observed::Requeued { .. } => LevelFilter::DEBUG,
        Observed::Resumed { .. } => LevelFilter::DEBUG,
        Observed::Attempted { .. } | Observed::RecordingChanged { .. } => LevelFilter::DEBUG,
        Observed::Warned { .. } | Observed::Requested { .. } => LevelFilter::DEBUG,
    }
}

/// Logs an observation of the registry, with the ids of its calls and conferences.
fn emit_trace(trace: Observed) {
    match trace {
        Observed::Began { call, element, .. } => {
            let trace::TraceElement { document, verb, at, text: _ } = element;
            let element = verb.info().tag;
            tracing::debug!(%call, document, element, %at, "an element begins");
        }
        Observed::Resumed { call, element } => {
            let trace::TraceElement { document, verb, at, text: _ } = element;
            let element = verb.info().tag;
            tracing::debug!(%call, document, element, %at, "the call goes on at an element");
        }
        Observed::Attempted { call, attempt } => {
            let DialAttempt { target, responses, outcome, took_ms } = &*attempt;
            let responses: Vec<_> = responses.iter().map(|it| it.status).collect();
            tracing::debug!(%call, %target, ?responses, %outcome, ms = took_ms, "the attempt is over");
        }
        Observed::Fetching { call, url, purpose } => {
            tracing::debug!(%call, %url, ?purpose, "the call fetches a document");
        }
        Observed::PassedOver { call, verb, at, passed_over } => {
            let (element, what) = (verb.info().tag, &*passed_over.what);
            tracing::warn!(%call, element, %at, what, "passed over");
        }
        Observed::Fetched { call, record } => fetched(call, &record),
        Observed::Turn(turn) => turn.events.into_iter().for_each(emit_trace),
        Observed::Warned { call, api_id, warning } => {
            tracing::debug!(%call, %api_id, remark = %warning, "a request has a parameter that is ignored");
        }
        Observed::Requested { call, api_id, command } => {
            tracing::debug!(%call, %api_id, command, "a request is about the call");
        }
        Observed::Call { call, event, account, party } => match event {
            call::CallEvent::Answered => tracing::debug!(%call, "the call is answered"),
            call::CallEvent::Begun => begun(call, &account, &party),
            call::CallEvent::Ended(Ending { cause, source }) => {
                let (cause, code, source) = (cause.name(), cause.code(), source.text());
                tracing::info!(%call, cause, code, source, "the call has ended");
            }
            call::CallEvent::Rang => tracing::debug!(%call, "the far end rings"),
        },
        Observed::Dialled { call, event, .. } => dialled(call, &event),
        Observed::Recording { event, .. } => recorded(&event),
        Observed::RecordingChanged { source, change } => {
            let RecordingNote { recording, step } = change;
            tracing::debug!(%recording, ?source, ?step, "a recording changes");
        }
        Observed::Left { call, member, exit, .. } => {
            let cause = exit.cause;
            tracing::debug!(%call, %member, cause = cause.text(), "the call goes on");
        }
        Observed::Notice { room, notice } => emit_notice(&room, notice),
        Observed::Requeued { call } => {
            tracing::debug!(%call, "the conference has ended: the call enters the next one");
        }
        Observed::Refused { call, cause } => {
            tracing::info!(%call, cause = cause.text(), "the call was not let into the conference");
        }
    }
}

fn fetched(call: CallId, record: &FetchRecord) {
    let FetchRecord { purpose, method, url, status, content_type, ms, bytes, error, excerpt } =
        record;
    let (url, content_type) = (&**url, content_type.as_deref());
    match error.as_deref() {
        Some(error) => {
            let excerpt = excerpt.as_deref();
            tracing::warn!(
                %call, purpose, method, url, status, content_type, ms, bytes, error, excerpt,
                "a document or sound is not available"
            );
        }
        None => {
            tracing::debug!(%call, purpose, method, url, status, content_type, ms, bytes, "fetched");
        }
    }
}

fn dialled(call: CallId, event: &DialEvent) {
    let DialEvent { callee: CalleeInfo { call: callee, party }, step, callback: _ } = event;
    let to = &*party.to;
    match step {
        DialStep::Answered => tracing::info!(%call, %callee, to, "a callee has answered"),
        DialStep::Connected => tracing::info!(%call, %callee, to, "a callee is connected"),
        DialStep::Digits { digits, by_caller } => {
            tracing::info!(%call, %callee, %digits, by_caller, "a pattern of keys has matched");
        }
        DialStep::Ended { ending: Ending { cause, source }, seconds: (_, talked) } => {
            let (cause, source) = (cause.name(), source.text());
            tracing::info!(%call, %callee, to, cause, source, talked, "a callee has ended");
        }
    }
}

fn recorded(event: &RecordingEvent) {
    let RecordingEvent { recording, call, conference, end, member, .. } = event;
    if member.is_some() {
        // It is told of one to each of its members as well.
        return;
    }
    let conference = conference.as_ref().map(ConferenceName::as_str);
    match end {
        None => tracing::info!(%recording, %call, conference, "a recording begins"),
        Some((length, reason)) => {
            let (seconds, reason) = (length.as_secs_f64(), reason.text());
            tracing::info!(%recording, %call, conference, seconds, reason, "a recording has ended");
        }
    }
}

fn begun(call: CallId, account: &AccountId, party: &Party) {
    let Party { from, to, direction, session, .. } = party;
    let (trace, from, to) = (session.trace(call), &**from, &**to);
    match direction {
        CallDirection::Inbound => {
            tracing::info!(%call, %trace, %account, from, to, "a call comes in");
        }
        CallDirection::Outbound => {
            tracing::info!(%call, %trace, %account, from, to, "a call goes out");
        }
    }
}

fn emit_notice(room: &Incarnation, notice: Notice) {
    let Incarnation { key: RoomKey { account, name }, id: room } = room;
    let Notice { sequence, event } = notice;
    let (account, conference) = (account.as_str(), name.as_str());
    macro_rules! log_notice {
        ($($field:tt)*) => {
            tracing::info!(account, conference, %room, sequence, $($field)*)
        };
    }
    match event {
        ConferenceEvent::Entered { who: MemberInfo { member, call, .. }, is_first, group } => {
            let group = group.map(|it| it.0);
            log_notice!(%member, %call, is_first, group, "entered");
        }
        ConferenceEvent::Exited {
            who: MemberInfo { member, call, .. }, cause, is_last, ..
        } => {
            log_notice!(%member, %call, cause = cause.text(), is_last, "left");
        }
        ConferenceEvent::DigitsMatched { who: MemberInfo { member, call, .. }, digits } => {
            log_notice!(%member, %call, %digits, "typed");
        }
        ConferenceEvent::FloorTaken { who: MemberInfo { member, call, .. } } => {
            log_notice!(%member, %call, "has the floor");
        }
        ConferenceEvent::Over => log_notice!("the conference is over"),
        ConferenceEvent::Started => log_notice!("the conference has started"),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use tracing::subscriber::with_default;
    use tracing_subscriber::{Registry, layer::SubscriberExt};
    use uuid::Uuid;

    use super::{
        super::{json::JsonLayer, queue::LogQueue},
        *,
    };
    use crate::{
        base::ids::{Dialect, MemberId, RoomId},
        call::{CallEvent, CallSession},
        flow::{Cause, PassedOver, Purpose, TextPosition, WeakFlowText, verbs::VerbKind},
        media::{HangupCause, HangupSource},
    };

    /// A level that filters an observation out must also filter its line out.
    fn check(trace: Observed) {
        let (shown, level) = (format!("{trace:?}"), level(&trace));
        let (queue, mut line) = (LogQueue::default(), Vec::new());
        with_default(Registry::default().with(JsonLayer(queue.clone())), || emit_trace(trace));
        queue.take_lines(&mut line);
        let line = String::from_utf8(line).unwrap();
        let level = format!("\"level\":\"{}\"", level.to_string().to_uppercase());
        assert!(line.contains(&level), "{level} is not that of {shown}: {line}");
    }

    #[test]
    fn a_trace_has_the_level_of_its_line() {
        let (call, api_id, at) = (CallId::of(1), Uuid::nil(), TextPosition::default());
        let account: AccountId = "MA1".parse().unwrap();
        let ended = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
        for event in
            [CallEvent::Answered, CallEvent::Begun, CallEvent::Ended(ended), CallEvent::Rang]
        {
            let party = Arc::new(Party {
                from: "100".into(),
                to: "200".into(),
                caller_name: "".into(),
                direction: CallDirection::Inbound,
                dialect: Dialect::Vobiz,
                trusted: None,
                session: CallSession::at(UNIX_EPOCH),
            });
            check(Observed::Call { account: account.clone(), call, party, event });
        }
        let (verb, text) = (VerbKind::Speak, WeakFlowText::default());
        let element = trace::TraceElement { document: 1, verb, at, text };
        check(Observed::Began { call, step: 0, element });
        check(Observed::Fetching { call, url: "http://a/".into(), purpose: Purpose::Sound });
        let passed_over = Arc::new(PassedOver { is_all: true, what: "not run yet".into() });
        check(Observed::PassedOver { call, verb, at, passed_over });
        for error in [None, Some("it answered 404".into())] {
            let record = FetchRecord { status: Some(404), error, ..FetchRecord::default() };
            check(Observed::Fetched { call, record: Arc::new(record) });
        }
        let (exit, member) = (Cause::Kicked.into(), MemberId(1));
        check(Observed::Left { call, member, exit, by: None });
        let key = RoomKey { account, name: "weekly".parse().unwrap() };
        let room = Arc::new(Incarnation { key, id: RoomId::of(7) });
        for event in [ConferenceEvent::Over, ConferenceEvent::Started] {
            let notice = Notice { sequence: 1, event };
            check(Observed::Notice { room: room.clone(), notice });
        }
        check(Observed::Requeued { call });
        check(Observed::Refused { call, cause: Cause::Full });
        check(Observed::Warned { call, api_id, warning: "ignored".into() });
        check(Observed::Requested { call, api_id, command: "Kick" });
    }
}
