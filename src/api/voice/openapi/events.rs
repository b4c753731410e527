//! Operations of events and their callbacks.

use serde_json::json;

use super::{Tag, reference, says, terms};
use crate::{
    api::openapi::{DialectDescriber, DocumentedAnswer, Operation, header, query, uuid},
    webhooks::history::DeliveryState,
};

/// The form of an event's id.
const EVENT_ID: &str = "^[0-9]{1,19}-[0-9]{1,19}$";

impl DialectDescriber {
    pub(in crate::api::voice) fn events(self) -> Operation {
        let name = json!({ "type": "string", "minLength": 1, "maxLength": 256 });
        let last = json!({ "type": "string", "pattern": EVENT_ID });
        let after = json!({ "type": "string", "pattern": "^(0|[0-9]{1,19}-[0-9]{1,19})$" });
        let about = "The stream goes on behind this event. Without it, it begins now.";
        let follow = terms::flag(true, "Without it, the stream ends with the last event so far.");
        self.operation("events", Tag::Events, "Streams what happens to calls and conferences.")
            .about(
                "Server-sent events, without an end: `id`, `event` (what happened) and `data` (its \
                 fields as a JSON object). An event `gap` says that some are no longer kept. The \
                 stream breaks off within a second after its token is removed.",
            )
            .takes([
                query("conference", name, "Only what is about this conference."),
                query("call", uuid(), "Only what is about this call."),
                query("since", terms::time(), "Begins with the first event from this time on."),
                query(
                    "after",
                    after,
                    "As `Last-Event-ID`; 0: begins with the oldest that is kept.",
                ),
                query("follow", follow, ""),
                header("Last-Event-ID", last, about),
            ])
            .answers(DocumentedAnswer::text(200, "The stream.", "text/event-stream"))
            .refuses(&[400])
    }

    pub(in crate::api::voice) fn list_deliveries(self) -> Operation {
        let times = ["", "__gte", "__gt", "__lte", "__lt"].map(|it| format!("event_time{it}"));
        let about = "When the event happened, in UTC.";
        let states = json!({ "enum": DeliveryState::NAMES });
        self.operation("list_deliveries", Tag::Events, "Lists the callbacks of events.")
            .about(
                "The latest event first: what waits or is under way, and what has arrived, failed or \
                 was dropped within the time for which events are kept, each with its last attempts. \
                 No value of a URL's query is shown.",
            )
            .takes([
                query("call_uuid", uuid(), "Only those of events about this call."),
                query("state", states, ""),
                query("limit", terms::number(1, 20, ""), ""),
                query("offset", terms::number(0, u32::MAX, ""), ""),
            ])
            .takes(times.map(|name| query(&name, terms::time(), about)))
            .answers(
                DocumentedAnswer::json(200, "A page.", reference("Deliveries")).with_warnings(),
            )
            .refuses(&[400])
    }

    pub(in crate::api::voice) fn show_delivery(self) -> Operation {
        self.operation("show_delivery", Tag::Events, "Shows the callback of an event.")
            .answers(DocumentedAnswer::json(200, "The callback.", reference("Delivery")))
    }

    pub(in crate::api::voice) fn repeat_delivery(self) -> Operation {
        let queued = says("CallbackQueued", "callback queued");
        self.operation("repeat_delivery", Tag::Events, "Sends the callback of an event again.")
            .about(
                "Whether it has arrived or was given up; 409 if it waits already. It has the same \
                 `X-Conflow-Event-Id`, and is tried for a day.",
            )
            .answers(DocumentedAnswer::json(202, "It is queued.", queued))
            .refuses(&[409])
    }
}
