//! Event listener: keeps the stream of events open, and resumes it after the last event.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    client::{
        feed::Feed,
        server::{AccessDenied, SILENCE_MAX, ServerClient},
    },
    watch::{FeedState, answers::WatchedEvent},
};

/// Events that may wait while a screen is drawn; then the stream is read no further.
const MESSAGES_MAX: usize = 1_024;
/// Pause before the first retry; each further failure adds another one.
const PAUSE: Duration = Duration::from_secs(1);
/// Bound of the number of pauses that add up.
const PAUSES_MAX: u32 = 5;

/// Message of the listener.
#[derive(Debug)]
pub(super) enum StreamMessage {
    /// The state of the connection has changed.
    FeedState(FeedState),
    /// The server has dropped events.
    Missed,
    /// An event has arrived.
    Event(Box<WatchedEvent>),
    /// The server denies access: a retry would not help.
    Denied(AccessDenied),
}

/// Starts a listener that runs until the receiver is dropped.
pub(super) fn listen(client: ServerClient) -> mpsc::Receiver<StreamMessage> {
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    drop(tokio::spawn(async move {
        let mut stream = EventListener { client, sender, last: None, failures: 0 };
        while !stream.sender.is_closed() {
            let Err(why) = stream.receive().await else { return };
            let message = match why.downcast::<AccessDenied>() {
                Ok(why) => StreamMessage::Denied(why),
                Err(why) => StreamMessage::FeedState(FeedState::Lost(format!("{why:#}"))),
            };
            if stream.sender.send(message).await.is_err() {
                return;
            }
            stream.failures = (stream.failures + 1).min(PAUSES_MAX);
            sleep(PAUSE * stream.failures).await;
        }
    }));
    messages
}

struct EventListener {
    client: ServerClient,
    sender: mpsc::Sender<StreamMessage>,
    /// Id of the last event, to resume after.
    last: Option<String>,
    /// Failures since the last working connection.
    failures: u32,
}

impl EventListener {
    /// Returns Ok once the receiver is dropped.
    async fn receive(&mut self) -> Result<()> {
        let mut body = self.client.events(self.last.as_deref()).await?;
        let mut feed = Feed::default();
        // The server sends something at once; from then on, no event is missed.
        let mut is_live = false;
        loop {
            let frame = timeout(SILENCE_MAX, body.frame()).await.context("the server is silent")?;
            let Some(frame) = frame else { bail!("the server has ended the stream") };
            let frame = frame.context("the connection is broken")?;
            if !is_live {
                is_live = true;
                self.failures = 0;
                if self.sender.send(StreamMessage::FeedState(FeedState::Live)).await.is_err() {
                    return Ok(());
                }
            }
            let Ok(bytes) = frame.into_data() else { continue };
            for event in feed.push(&bytes)? {
                let message = match &*event.event {
                    "gap" => StreamMessage::Missed,
                    _ => StreamMessage::Event(Box::new(
                        serde_json::from_str(&event.data).context("an event is invalid")?,
                    )),
                };
                if event.id.is_some() {
                    self.last = event.id;
                }
                if self.sender.send(message).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
