//! Event stream reader: reads an account's events live, or afterwards those that are kept.

use std::{borrow::Cow, collections::BTreeMap};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    clock::now,
    received::{ConferenceNotice, ReceivedNotices},
    receiver::ARRIVAL_WAIT_MAX,
    target::BenchTarget,
};
use crate::client::feed::Feed;

pub(super) struct BenchEventStream {
    body: Incoming,
    feed: Feed,
}

/// An id of no run of any engine: kept events follow, after a gap.
const NEVER: &str = "0-0";
/// Event that marks missing events.
const GAP: &str = "gap";

impl BenchEventStream {
    /// Opens a live stream of the first account's events.
    pub(super) async fn open(target: &BenchTarget) -> Result<Self> {
        Ok(Self { body: target.client(0)?.events(None).await?, feed: Feed::default() })
    }

    /// Reads events until the stream ends; missing ones are an error.
    pub(super) async fn listen(mut self, heard: &Mutex<ReceivedNotices>) -> Result<()> {
        loop {
            let is_whole = self.read(&mut |notice| heard.lock().take(now(), notice)).await?;
            ensure!(is_whole, "events are missing from the stream");
        }
    }

    /// Reads the next piece. False if events are missing before it.
    async fn read(
        &mut self,
        take: &mut impl FnMut(Result<Option<ConferenceNotice>>),
    ) -> Result<bool> {
        let frame = self.body.frame().await.context("the stream of events has ended")??;
        let Ok(bytes) = frame.into_data() else { return Ok(true) };
        let mut is_whole = true;
        for event in self.feed.push(&bytes)? {
            if event.event == GAP {
                is_whole = false;
                continue;
            }
            let fields: BTreeMap<Cow<'_, str>, Cow<'_, str>> = serde_json::from_str(&event.data)?;
            take(ConferenceNotice::read(fields.into_iter()));
        }
        Ok(is_whole)
    }
}

/// Reads kept notices until there are `wanted` of one event.
pub(super) async fn kept_notices(
    target: &BenchTarget,
    event: &str,
    wanted: usize,
) -> Result<ReceivedNotices> {
    let body = target.client(0)?.events(Some(NEVER)).await?;
    let mut stream = BenchEventStream { body, feed: Feed::default() };
    let mut heard = ReceivedNotices::default();
    let all = async {
        while heard.count(event) < wanted {
            stream.read(&mut |notice| heard.take(now(), notice)).await?;
        }
        Ok(())
    };
    let read: Result<()> = timeout(ARRIVAL_WAIT_MAX, all).await.context("no more events")?;
    read.map(|()| heard)
}
