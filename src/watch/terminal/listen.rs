//! The stream of events, kept up: if it breaks, it is begun again behind the last event.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::client::{Client, SILENCE_MAX, Unwelcome};
use crate::watch::{Feed, Link, wire::News};

/// Events wait here while a screen is drawn; a server that is faster waits for us.
const TOLD_MAX: usize = 1_024;
/// To the first try after the stream breaks, and one more with each that fails.
const PAUSE: Duration = Duration::from_secs(1);
/// No pause is longer.
const PAUSES_MAX: u32 = 5;

/// What comes of the stream.
#[derive(Debug)]
pub(super) enum Told {
    /// It is there, or is not.
    Link(Link),
    /// Events were lost.
    Missed,
    /// An event.
    News(Box<News>),
    /// It will not be there, whatever is tried.
    Unwelcome(Unwelcome),
}

/// Listens until nobody takes what it hears.
pub(super) fn listen(client: Client) -> mpsc::Receiver<Told> {
    let (tell, told) = mpsc::channel(TOLD_MAX);
    drop(tokio::spawn(async move {
        let mut stream = Stream { client, tell, last: None, failures: 0 };
        while !stream.tell.is_closed() {
            let Err(why) = stream.hear().await else { return };
            let told = match why.downcast::<Unwelcome>() {
                Ok(why) => Told::Unwelcome(why),
                Err(why) => Told::Link(Link::Lost(format!("{why:#}"))),
            };
            if stream.tell.send(told).await.is_err() {
                return;
            }
            stream.failures = (stream.failures + 1).min(PAUSES_MAX);
            sleep(PAUSE * stream.failures).await;
        }
    }));
    told
}

struct Stream {
    client: Client,
    tell: mpsc::Sender<Told>,
    /// The id of the last event.
    last: Option<String>,
    /// Since it was there the last time.
    failures: u32,
}

impl Stream {
    /// Ok if nobody listens any more.
    async fn hear(&mut self) -> Result<()> {
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
                if self.tell.send(Told::Link(Link::Live)).await.is_err() {
                    return Ok(());
                }
            }
            let Ok(bytes) = frame.into_data() else { continue };
            for event in feed.push(&bytes)? {
                let told = match &*event.event {
                    "gap" => Told::Missed,
                    _ => Told::News(Box::new(
                        serde_json::from_str(&event.data)
                            .context("an event cannot be understood")?,
                    )),
                };
                if event.id.is_some() {
                    self.last = event.id;
                }
                if self.tell.send(told).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
