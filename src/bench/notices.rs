//! Notices: how soon a receiver has them, by callback and over the stream of events.

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
    filled::{Crowd, Shape, in_turn},
    kick::{Kicks, Sent},
    load::{Pace, Taken, drive, latencies, now},
    received::{Heard, Told},
    receiver::{Ear, Receiver, until_all},
    report::Row,
    stream::{Stream, kept},
    target::{Fittings, ROOMS_PER_ACCOUNT, Site},
};
use crate::events::log::EVENTS_MAX;

/// P14 has them.
const ROOMS: u32 = 100;
const PER_SECOND: u32 = 5_000;
const P99_MS_MAX: f64 = 10.0;
/// A callback does not tell when its event was: that is read from the stream afterwards, as far as
/// the engine keeps events. There are others beside these.
const KEPT_READ: usize = EVENTS_MAX / 2;

/// Callbacks are sent to a server of ours.
pub(super) async fn callbacks(bench: &mut Bench) -> Result<()> {
    let receiver = Receiver::here(Heard::default()).await?;
    // All that happens to somebody is told, so that what is missing shows.
    let conference = format!("callbackUrl=\"http://{}/\" floorEvent=\"true\"", receiver.http);
    let fittings = Fittings { conference, ..Fittings::default() };
    let site = Site::open_with(shape(bench).rooms, &fittings).await?;
    // That a room starts with its first member is about nobody: no URL is told.
    let way = Way { name: "callbacks", untold: &[2], heard: Arc::clone(&receiver.ear) };
    way.measure(bench, site).await
}

impl Ear for Heard {
    fn hear(&mut self, at: Instant, _: &str, fields: form_urlencoded::Parse<'_>) -> Bytes {
        self.take(at, Told::read(fields));
        Bytes::new()
    }
}

/// Events are read from the account's stream.
pub(super) async fn events(bench: &mut Bench) -> Result<()> {
    let site = Site::open(shape(bench).rooms).await?;
    let stream = Stream::open(&site).await?;
    let heard = Arc::new(Mutex::new(Heard::default()));
    let way = Way { name: "events", untold: &[], heard: Arc::clone(&heard) };
    tokio::select! {
        done = way.measure(bench, site) => done,
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

/// How notices come.
struct Way {
    name: &'static str,
    /// Each `ConferenceSequence` of which nothing is told.
    untold: &'static [u64],
    heard: Arc<Mutex<Heard>>,
}

impl Way {
    /// Phones come in, as fast as can be; then they are kicked at a rate that can be borne.
    async fn measure(&self, bench: &mut Bench, site: Site) -> Result<()> {
        let (name, shape) = (self.name, shape(bench));
        let rate = bench.flags.rate.unwrap_or(PER_SECOND);
        let pace = Pace { rate: Some(rate), ..bench.pace(Some(bench.seconds() / 2)) };
        let (bare, _) = ceiling::measure(pace).await?;
        let members = (shape.rooms * shape.members) as usize;
        bench.say(&format!("{name}: {members} phones come into {} rooms", shape.rooms));
        let begin = now();
        let crowd = Crowd::gather(site, shape, bench.connections()).await?;
        self.all_have_come(members, ENTER).await?;
        let last = self.last(ENTER);
        let entered = Row::count(&format!("{name}: phones come in"), members, last - begin);
        let per_second = members as f64 / (last - begin).as_secs_f64();
        bench.report.add(entered.at_least(per_second, "a second", PER_SECOND.into()));

        bench.say(&format!("{name}: {rate} kicks a second"));
        let order = in_turn(&crowd.rooms).into_iter();
        let mut kicks = Kicks::new(order.map(|(room, member)| (room, vec![member])).collect());
        let (cpu, pace) = (crowd.site.engine.cpu(), Pace { rate: Some(rate), ..bench.pace(None) });
        let taken = drive(crowd.site.engine.http, pace, &mut kicks).await?;
        self.all_have_come(members, EXIT).await?;
        let cpu = crowd.site.engine.cpu() - cpu;

        let kept = kept(&crowd.site, EXIT, members.min(KEPT_READ)).await?;
        let heard = self.heard.lock();
        heard.check_order(self.untold)?;
        let Latencies { since_kick, since_event } = Latencies::of(&heard, &kept, &kicks.sent)?;
        let alone = format!(
            "{:.2} ms p99 until the kick's answer, {:.2} ms until a bare axum route's",
            p99_ms(&taken),
            p99_ms(&bare)
        );
        let row = |since: &str, latency| {
            let name = format!("{name}: from the {since} to the notice");
            Row::new(&name, &Taken { latency, ..taken.clone() })
        };
        let p99 = since_event.value_at_quantile(0.99) as f64 / 1e6;
        bench.report.add(row("kick", since_kick).cpu(cpu).note(alone));
        bench.report.add(row("event", since_event).at_most(p99, "ms p99", P99_MS_MAX));
        Ok(())
    }

    /// Waits until so many have come.
    async fn all_have_come(&self, wanted: usize, event: &str) -> Result<()> {
        let come = until_all(wanted, || self.heard.lock().count(event)).await;
        match self.heard.lock().wrong.take() {
            Some(wrong) => Err(wrong),
            None => come,
        }
    }

    /// When the last such notice has come.
    fn last(&self, event: &str) -> Instant {
        let heard = self.heard.lock();
        let found = heard.told.iter().rev().find(|(_, it)| it.event == event);
        found.map_or_else(now, |(at, _)| *at)
    }
}

fn p99_ms(taken: &Taken) -> f64 {
    taken.latency.value_at_quantile(0.99) as f64 / 1e6
}

const ENTER: &str = "ConferenceEnter";
const EXIT: &str = "ConferenceExit";

/// How long the notices of exits took.
struct Latencies {
    /// Since the kick was asked for, or due.
    since_kick: Histogram<u64>,
    /// Since the exit, of those whose time is known.
    since_event: Histogram<u64>,
}

impl Latencies {
    /// Each kick must have its notice, and each notice its kick.
    fn of(heard: &Heard, kept: &Heard, kicks: &[Sent]) -> Result<Self> {
        let times: HashMap<_, _> = kept.told.iter().map(|(_, it)| (it.place(), it.time)).collect();
        let exits = heard.told.iter().filter(|(_, it)| it.event == EXIT);
        let mut exits: HashMap<_, _> = exits.map(|(at, it)| (&*it.member, (*at, it))).collect();
        let (mut since_kick, mut since_event) = (latencies(), latencies());
        for Sent { names, begun } in kicks {
            let exit = exits.remove(&**names);
            let (at, told) = exit.with_context(|| format!("nothing told that {names} is out"))?;
            let begun = begun.with_context(|| format!("{names} was not kicked"))?;
            note(&mut since_kick, at - begun)?;
            if let Some(time) = times.get(&told.place()).copied().flatten() {
                // Clocks are set now and then.
                note(&mut since_event, told.come.duration_since(time).unwrap_or_default())?;
            }
        }
        ensure!(exits.is_empty(), "{} are out, and nobody has kicked them", exits.len());
        Ok(Self { since_kick, since_event })
    }
}

fn note(latency: &mut Histogram<u64>, took: Duration) -> Result<()> {
    latency.saturating_record(u64::try_from(took.as_nanos())?);
    Ok(())
}
