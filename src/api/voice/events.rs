//! Event stream: an account's events as server-sent events (HTML standard, section 9.2).

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::Response,
};
use futures_util::stream;
use serde::{Serialize, Serializer, ser::SerializeMap};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use url::form_urlencoded;

use super::ApiClient;
use crate::{
    api::{
        failure::Failure,
        streams::{self, OpenEventStream},
    },
    base::{
        ids::{AccountId, Dialect},
        utc,
    },
    engine::journal::Journal,
    events::{
        AccountEvent, fields,
        log::{BadEventId, Event, EventCursor, EventFilter, EventId, Gap},
    },
    fetch::signature::FormField,
};

/// Many proxies close a connection after a silent minute. A write also detects a client that is
/// gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The largest number of events in one chunk: some tens of kilobytes.
const EVENTS_MAX: usize = 64;

/// `GET Events/`
///
/// The stream ends when its token does. `conference=NAME` and `call=UUID` are filters. With
/// `Last-Event-ID` the stream continues after that event, also after a restart. Without it, it begins
/// with the first event from `since=TIME` on, with the oldest that is kept if `after=0`, or else now.
/// It ends with the last event so far if `follow=false`.
pub(super) async fn serve(client: ApiClient) -> Result<Response, Failure> {
    let StreamQuery { filter, after, follows } = query(client.context.query())?;
    let last = client.context.headers.get("last-event-id").map(|id| {
        let id = id.to_str().unwrap_or_default().parse::<EventId>();
        id.map_err(|error| Failure::Bad(format!("Last-Event-ID: {error}")))
    });
    let cursor = match (last.transpose()?, after, filter.since) {
        (Some(id), _, _) => EventCursor::After(id),
        (None, Some(after), _) => after,
        (None, None, Some(at)) => client.state.journal.cursor_since(&client.account, at),
        (None, None, None) => EventCursor::Now,
    };
    let open = client.state.streams.open(&client.account).ok_or(Failure::TooManyStreams)?;
    let (journal, account) = (client.state.journal.clone(), client.account.clone());
    let more = journal.subscribe(&account);
    let closing = client.state.closing.subscribe();
    let next_keep_alive = Instant::now() + KEEP_ALIVE;
    let mut reader = EventReader {
        journal,
        account,
        filter,
        cursor,
        follows,
        more,
        closing,
        next_keep_alive,
        is_over: false,
        _open: open,
    };
    // Read at once: every event from now on is in the stream.
    let mut first = ": the events of this account\n\n".to_owned();
    let (text, is_last) = reader.read().await;
    first += &text;
    reader.is_over = is_last && !follows;

    let rest = stream::unfold((reader, Some(first)), |(mut reader, first)| async move {
        let text = match first {
            Some(first) => first,
            None => reader.next().await?,
        };
        Some((Bytes::from(text), (reader, None)))
    });
    let mut response = Response::new(streams::body(client.validity(), rest));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What a query asks for.
struct StreamQuery {
    filter: EventFilter,
    after: Option<EventCursor>,
    /// Whether the stream waits for further events.
    follows: bool,
}

fn query(query: &str) -> Result<StreamQuery, Failure> {
    let (mut filter, mut after, mut follows) = (EventFilter::default(), None, true);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "call" => {
                let call = value.parse();
                filter.call =
                    Some(call.map_err(|_| Failure::Bad("call: give a call_uuid".to_owned()))?);
            }
            "conference" => {
                let name = value.parse();
                filter.conference =
                    Some(name.map_err(|error| Failure::Bad(format!("conference: {error}")))?);
            }
            "since" => {
                let bad = || {
                    Failure::Bad(
                        "since: give a time in UTC, such as 2026-11-30 07:16:44".to_owned(),
                    )
                };
                filter.since = Some(utc::parse(&value).ok_or_else(bad)?);
            }
            "after" => {
                after = Some(match &*value {
                    "0" => EventCursor::Oldest,
                    id => EventCursor::After(id.parse().map_err(|error: BadEventId| {
                        Failure::Bad(format!("after: {error}, or 0 for all that is kept"))
                    })?),
                });
            }
            "follow" => {
                follows = match &*value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Failure::Bad("follow: give true or false".to_owned())),
                };
            }
            _ => {
                let known = "there are conference, call, since, after and follow";
                return Err(Failure::Bad(format!("{name}: {known}")));
            }
        }
    }
    Ok(StreamQuery { filter, after, follows })
}

/// A subscriber with its read position.
struct EventReader {
    journal: Arc<Journal>,
    account: AccountId,
    filter: EventFilter,
    cursor: EventCursor,
    follows: bool,
    more: watch::Receiver<()>,
    closing: watch::Receiver<bool>,
    /// The time of the next comment, if no event comes before.
    next_keep_alive: Instant,
    /// No event follows.
    is_over: bool,
    _open: OpenEventStream,
}

impl EventReader {
    /// The next chunk; None once the engine ends, or after the last event so far if it does not follow.
    async fn next(&mut self) -> Option<String> {
        loop {
            // Marked before the read: events that come in between wake the loop.
            self.more.borrow_and_update();
            if self.is_over {
                return None;
            }
            let (text, is_last) = self.read().await;
            self.is_over = is_last && !self.follows;
            if !text.is_empty() {
                self.next_keep_alive = Instant::now() + KEEP_ALIVE;
                return Some(text);
            }
            if !is_last || self.is_over {
                tokio::task::yield_now().await;
                continue;
            }
            if *self.closing.borrow() {
                return None;
            }
            tokio::select! {
                changed = self.more.changed() => changed.ok()?,
                changed = self.closing.changed() => changed.ok()?,
                () = sleep_until(self.next_keep_alive) => {
                    self.next_keep_alive += KEEP_ALIVE;
                    return Some(": still here\n\n".to_owned());
                }
            }
        }
    }

    /// The events so far, and whether these are all for now.
    async fn read(&mut self) -> (String, bool) {
        let (filter, cursor) = (&self.filter, self.cursor);
        let page = self.journal.read(&self.account, cursor, filter, EVENTS_MAX).await;
        self.cursor = page.cursor;
        let mut text = String::new();
        if let Some(Gap { missed }) = page.gap {
            let missed = missed.map_or_else(|| "null".to_owned(), |it| it.to_string());
            text += &format!("event: gap\ndata: {{\"missed\":{missed}}}\n\n");
        }
        text.extend(page.events.iter().map(|event| self.show(page.id(event), event)));
        (text, page.is_last)
    }

    fn show(&self, id: EventId, event: &Event<AccountEvent>) -> String {
        let mut fields = fields::of_event(&self.account, event, Dialect::Plivo);
        fields.push(("Time".into(), utc::precise(event.at)));
        let in_call = event.what.call_sequence();
        fields.extend(in_call.map(|it| ("CallSequence".into(), it.to_string())));
        let data = serde_json::to_string(&FieldMap(&fields)).expect("names and texts");
        format!("id: {id}\nevent: {}\ndata: {data}\n\n", fields::event_name(&event.what))
    }
}

/// A JSON object with the fields in their order.
struct FieldMap<'a>(&'a [FormField]);

impl Serialize for FieldMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}
