//! Scenarios callbacks and events: how soon a receiver has a notice.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use url::form_urlencoded;

use super::{
    Bench, ceiling,
    clock::now,
    filled::{FilledTarget, Shape, in_turn},
    kick::{KickRequests, SentKick},
    load::{LoadPace, Measurement, drive, latencies},
    received::{ConferenceNotice, ReceivedNotices},
    receiver::{BenchReceiver, RequestHandler, wait_for_count},
    report::ReportRow,
    stream::{BenchEventStream, kept_notices},
    target::{BenchTarget, EngineOptions, ROOMS_PER_ACCOUNT},
};
use crate::events::log::EVENTS_MAX;

/// P14 states these figures.
const ROOMS: u32 = 100;
const PER_SECOND: u32 = 5_000;
const P99_MS_MAX: f64 = 10.0;
/// A callback does not contain the time of its event: that is read from the stream afterwards, as
/// far as the engine keeps events. Other events are kept, too.
const KEPT_NOTICES_MAX: usize = EVENTS_MAX / 2;

/// Scenario callbacks: a receiver in this process gets them.
pub(super) async fn callbacks(bench: &mut Bench) -> Result<()> {
    let receiver = BenchReceiver::start_here(ReceivedNotices::default()).await?;
    // All events of a member have callbacks, so that a missing one shows.
    let conference = format!("callbackUrl=\"http://{}/\" floorEvent=\"true\"", receiver.http);
    let options = EngineOptions { conference, ..EngineOptions::default() };
    let target = BenchTarget::open_with(shape(bench).rooms, &options).await?;
    // The start of a room concerns no member and has no callback.
    let channel =
        NoticeChannel { name: "callbacks", unsent: &[2], received: Arc::clone(&receiver.handler) };
    channel.measure(bench, target).await
}

impl RequestHandler for ReceivedNotices {
    fn handle(&mut self, at: Instant, _: &str, fields: form_urlencoded::Parse<'_>) -> Bytes {
        self.take(at, ConferenceNotice::read(fields));
        Bytes::new()
    }
}

/// Scenario events: reads them from the account's stream.
pub(super) async fn events(bench: &mut Bench) -> Result<()> {
    let target = BenchTarget::open(shape(bench).rooms).await?;
    let stream = BenchEventStream::open(&target).await?;
    let heard = Arc::new(Mutex::new(ReceivedNotices::default()));
    let channel = NoticeChannel { name: "events", unsent: &[], received: Arc::clone(&heard) };
    tokio::select! {
        done = channel.measure(bench, target) => done,
        ended = stream.listen(&heard) => ended,
    }
}

fn shape(bench: &Bench) -> Shape {
    let rooms = bench.flags.rooms.unwrap_or(ROOMS).min(ROOMS_PER_ACCOUNT);
    let rate = bench.flags.rate.unwrap_or(PER_SECOND);
    let kicks = rate.saturating_mul(bench.seconds().as_secs() as u32);
    let members = bench.flags.members.unwrap_or(kicks).div_ceil(rooms);
    Shape { rooms, members }
}

/// A way on which notices come.
struct NoticeChannel {
    name: &'static str,
    /// Values of `ConferenceSequence` that are not sent.
    unsent: &'static [u64],
    received: Arc<Mutex<ReceivedNotices>>,
}

impl NoticeChannel {
    /// Phones join as fast as possible; then they are kicked at a fixed rate.
    async fn measure(&self, bench: &mut Bench, target: BenchTarget) -> Result<()> {
        let (name, shape) = (self.name, shape(bench));
        let rate = bench.flags.rate.unwrap_or(PER_SECOND);
        let pace = LoadPace { rate: Some(rate), ..bench.pace(Some(bench.seconds() / 2)) };
        let (bare, _) = ceiling::measure(pace).await?;
        let members = (shape.rooms * shape.members) as usize;
        bench.say(&format!("{name}: {members} phones come into {} rooms", shape.rooms));
        let begin = now();
        let filled = FilledTarget::fill(target, shape, bench.connections()).await?;
        self.wait_for_all(members, ENTER).await?;
        let last = self.last_arrival(ENTER);
        let entered = ReportRow::count(&format!("{name}: phones come in"), members, last - begin);
        let per_second = members as f64 / (last - begin).as_secs_f64();
        bench.report.add(entered.at_least(per_second, "a second", PER_SECOND.into()));

        bench.say(&format!("{name}: {rate} kicks a second"));
        let order = in_turn(&filled.rooms).into_iter();
        let mut kicks =
            KickRequests::new(order.map(|(room, member)| (room, vec![member])).collect());
        let (cpu, pace) =
            (filled.target.engine.cpu(), LoadPace { rate: Some(rate), ..bench.pace(None) });
        let measured = drive(filled.target.engine.http, pace, &mut kicks).await?;
        self.wait_for_all(members, EXIT).await?;
        let cpu = filled.target.engine.cpu() - cpu;

        let kept = kept_notices(&filled.target, EXIT, members.min(KEPT_NOTICES_MAX)).await?;
        let heard = self.received.lock();
        heard.check_order(self.unsent)?;
        let Latencies { since_kick, since_event } = Latencies::of(&heard, &kept, &kicks.sent)?;
        let alone = format!(
            "{:.2} ms p99 until the kick's answer, {:.2} ms until a bare axum route's",
            p99_ms(&measured),
            p99_ms(&bare)
        );
        let row = |since: &str, latency| {
            let name = format!("{name}: from the {since} to the notice");
            ReportRow::new(&name, &Measurement { latency, ..measured.clone() })
        };
        let p99 = since_event.value_at_quantile(0.99) as f64 / 1e6;
        bench.report.add(row("kick", since_kick).cpu(cpu).note(alone));
        bench.report.add(row("event", since_event).at_most(p99, "ms p99", P99_MS_MAX));
        Ok(())
    }

    /// Waits until `wanted` notices of an event have come.
    async fn wait_for_all(&self, wanted: usize, event: &str) -> Result<()> {
        let all_here = wait_for_count(wanted, || self.received.lock().count(event)).await;
        match self.received.lock().error.take() {
            Some(wrong) => Err(wrong),
            None => all_here,
        }
    }

    /// Arrival of the last notice of an event.
    fn last_arrival(&self, event: &str) -> Instant {
        let heard = self.received.lock();
        let found = heard.notices.iter().rev().find(|(_, it)| it.event == event);
        found.map_or_else(now, |(at, _)| *at)
    }
}

fn p99_ms(measured: &Measurement) -> f64 {
    measured.latency.value_at_quantile(0.99) as f64 / 1e6
}

const ENTER: &str = "ConferenceEnter";
const EXIT: &str = "ConferenceExit";

/// Latencies of the notices of exits.
struct Latencies {
    /// Since the kick was sent, or due.
    since_kick: Histogram<u64>,
    /// Since the exit, if its time is known.
    since_event: Histogram<u64>,
}

impl Latencies {
    /// Each kick must have a notice, and each notice a kick.
    fn of(heard: &ReceivedNotices, kept: &ReceivedNotices, kicks: &[SentKick]) -> Result<Self> {
        let times: HashMap<_, _> = kept.notices.iter().map(|(_, it)| (it.key(), it.time)).collect();
        let exits = heard.notices.iter().filter(|(_, it)| it.event == EXIT);
        let mut exits: HashMap<_, _> = exits.map(|(at, it)| (&*it.member, (*at, it))).collect();
        let (mut since_kick, mut since_event) = (latencies(), latencies());
        for SentKick { names, begun } in kicks {
            let exit = exits.remove(&**names);
            let (at, notice) =
                exit.with_context(|| format!("there is no notice of the exit of {names}"))?;
            let begun = begun.with_context(|| format!("{names} was not kicked"))?;
            record_latency(&mut since_kick, at - begun)?;
            if let Some(time) = times.get(&notice.key()).copied().flatten() {
                // The wall clock may be set back.
                record_latency(
                    &mut since_event,
                    notice.received_at.duration_since(time).unwrap_or_default(),
                )?;
            }
        }
        ensure!(exits.is_empty(), "{} members have left without a kick", exits.len());
        Ok(Self { since_kick, since_event })
    }
}

fn record_latency(latency: &mut Histogram<u64>, took: Duration) -> Result<()> {
    latency.saturating_record(u64::try_from(took.as_nanos())?);
    Ok(())
}
