//! Parser of server-sent events, in pieces of any size (HTML standard, section 9.2).

use std::mem;

/// An event of the API has less than a kilobyte; a longer one is not from conflow.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Parser state: the bytes that are not yet an event.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    line: Vec<u8>,
    event: ServerSentEvent,
    /// The last line ended with CR: an LF that follows belongs to it.
    is_after_cr: bool,
}

/// One event of the stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServerSentEvent {
    /// Value of `Last-Event-ID` to resume after this event.
    pub id: Option<String>,
    /// Name of the event; empty if it has none.
    pub event: String,
    /// Data lines, joined by newlines.
    pub data: String,
}

/// The input is not a stream of the API's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
pub struct FeedError;

impl Feed {
    /// Parses the next bytes; returns the events that they complete.
    ///
    /// # Errors
    ///
    /// [`FeedError`]: an event is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<ServerSentEvent>, FeedError> {
        let mut events = Vec::new();
        for byte in bytes {
            let is_pair = mem::replace(&mut self.is_after_cr, *byte == b'\r') && *byte == b'\n';
            match byte {
                b'\n' if is_pair => (),
                b'\n' | b'\r' => events.extend(self.end_line()),
                byte => self.line.push(*byte),
            }
            if EVENT_BYTES_MAX < self.line.len() + self.event.data.len() {
                return Err(FeedError);
            }
        }
        Ok(events)
    }

    /// An empty line ends an event; comments alone are no event.
    fn end_line(&mut self) -> Option<ServerSentEvent> {
        let line = mem::take(&mut self.line);
        if line.is_empty() {
            let event = mem::take(&mut self.event);
            return (event != ServerSentEvent::default()).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data += value;
            }
            "event" => value.clone_into(&mut self.event.event),
            "id" => self.event.id = Some(value.to_owned()),
            // Comments, and fields that the API does not send.
            _ => (),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, event: &str, data: &str) -> ServerSentEvent {
        let id = (!id.is_empty()).then(|| id.to_owned());
        ServerSentEvent { id, event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let stream = ": the events\n\nid: 7-1\nevent: Ring\ndata: {\"a\":\"é\"}\n\n: still here\n\n\
            data: 1\r\ndata:2\r\n\r\nevent\rid: 9\r\r";
        let expected =
            [event("7-1", "Ring", "{\"a\":\"é\"}"), event("", "", "1\n2"), event("9", "", "")];
        for size in 1..=stream.len() {
            let mut feed = Feed::default();
            let pieces = stream.as_bytes().chunks(size);
            let events: Vec<_> = pieces.flat_map(|it| feed.push(it).unwrap()).collect();
            assert_eq!(events, expected, "{size} bytes at a time");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut feed = Feed::default();
        assert_eq!(feed.push(&vec![b'x'; EVENT_BYTES_MAX]), Ok(vec![]));
        assert_eq!(feed.push(b"x"), Err(FeedError));
    }
}
