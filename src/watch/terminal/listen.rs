//! The stream of events, kept up: if it breaks, it is begun again behind the last event.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    client::{
        api::{AccessDenied, ApiClient, SILENCE_MAX},
        feed::Feed,
    },
    watch::{FeedState, answers::WatchedEvent},
};

/// Events wait here while a screen is drawn; a server that is faster waits for us.
const MESSAGES_MAX: usize = 1_024;
/// To the first try after the stream breaks, and one more with each that fails.
const PAUSE: Duration = Duration::from_secs(1);
/// No pause is longer.
const PAUSES_MAX: u32 = 5;

/// What comes of the stream.
#[derive(Debug)]
pub(super) enum StreamMessage {
    /// It is there, or is not.
    FeedState(FeedState),
    /// Events were lost.
    Missed,
    /// An event.
    Event(Box<WatchedEvent>),
    /// It will not be there, whatever is tried.
    Denied(AccessDenied),
}

/// Listens until nobody takes what it hears.
pub(super) fn listen(client: ApiClient) -> mpsc::Receiver<StreamMessage> {
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
    client: ApiClient,
    sender: mpsc::Sender<StreamMessage>,
    /// The id of the last event.
    last: Option<String>,
    /// Since it was there the last time.
    failures: u32,
}

impl EventListener {
    /// Ok if nobody listens any more.
    async fn receive(&mut self) -> Result<()> {
        let mut body = self.client.events(self.last.as_deref()).await?;
        let mut feed = Feed::default();
        // The server speaks at once; by then no event is missed.
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
                        serde_json::from_str(&event.data)
                            .context("an event cannot be understood")?,
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
