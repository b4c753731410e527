//! An account's stream of events, read: as they happen, or afterwards those that are kept.

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

/// What comes of it, piece by piece.
pub(super) struct BenchEventStream {
    body: Incoming,
    feed: Feed,
}

/// Of no run of any engine: what is kept comes, behind a gap.
const NEVER: &str = "0-0";
/// What the stream says where events are missing.
const GAP: &str = "gap";

impl BenchEventStream {
    /// From now on.
    pub(super) async fn open(target: &BenchTarget) -> Result<Self> {
        Ok(Self { body: target.client(0)?.events(None).await?, feed: Feed::default() })
    }

    /// Goes on as long as there are events; none may be missing.
    pub(super) async fn listen(mut self, heard: &Mutex<ReceivedNotices>) -> Result<()> {
        loop {
            let is_whole = self.read(&mut |notice| heard.lock().take(now(), notice)).await?;
            ensure!(is_whole, "events are missing from the stream");
        }
    }

    /// Takes the next piece in. False if events are missing before it.
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

/// The notices that the engine keeps, until there are so many of one event.
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
