//! Notices: how soon a receiver has them, by callback and over the stream of events.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use hdrhistogram::Histogram;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use url::form_urlencoded;

use super::{
    Bench,
    crowd::{Crowd, Shape, in_turn},
    kick::{Kicks, Sent},
    load::{Pace, Taken, drive, latencies, now},
    receiver::{Ear, Receiver, until_all},
    report::Row,
    site::{Fittings, Site},
    told::{Heard, Told},
};
use crate::watch::Feed;

/// P14 has them.
const ROOMS: u32 = 100;
const PER_SECOND: u32 = 5_000;
const P99_MS_MAX: f64 = 10.0;

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
    let stream = site.client(0)?.events(None).await?;
    let heard = Arc::new(Mutex::new(Heard::default()));
    let way = Way { name: "events", untold: &[], heard: Arc::clone(&heard) };
    tokio::select! {
        done = way.measure(bench, site) => done,
        ended = listen(stream, &heard) => ended,
    }
}

/// Goes on as long as there are events.
async fn listen(mut stream: Incoming, heard: &Mutex<Heard>) -> Result<()> {
    let mut feed = Feed::default();
    while let Some(frame) = stream.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        let at = now();
        for event in feed.push(&bytes)? {
            ensure!(event.event != "gap", "the stream has a gap: {}", event.data);
            let fields: BTreeMap<Cow<'_, str>, Cow<'_, str>> = serde_json::from_str(&event.data)?;
            heard.lock().take(at, Told::read(fields.into_iter()));
        }
    }
    bail!("the stream of events has ended")
}

fn shape(bench: &Bench) -> Shape {
    let rooms = bench.flags.rooms.unwrap_or(ROOMS);
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
        let members = (shape.rooms * shape.members) as usize;
        bench.say(&format!("{name}: {members} phones come into {} rooms", shape.rooms));
        let begin = now();
        let crowd = Crowd::gather(site, shape, bench.connections()).await?;
        until_all(members, || self.heard.lock().count(ENTER)).await?;
        let last = self.last(ENTER);
        let entered = Row::count(&format!("{name}: phones come in"), members, last - begin);
        let per_second = members as f64 / (last - begin).as_secs_f64();
        bench.report.add(entered.at_least(per_second, "a second", PER_SECOND.into()));

        let rate = bench.flags.rate.unwrap_or(PER_SECOND);
        bench.say(&format!("{name}: {rate} kicks a second"));
        let order = in_turn(&crowd.rooms).into_iter();
        let mut kicks = Kicks::new(order.map(|(room, member)| (room, vec![member])).collect());
        let (cpu, pace) = (crowd.site.engine.cpu(), Pace { rate: Some(rate), ..bench.pace(None) });
        let taken = drive(crowd.site.engine.http, pace, &mut kicks).await?;
        until_all(members, || self.heard.lock().count(EXIT)).await?;
        let cpu = crowd.site.engine.cpu() - cpu;

        let mut heard = self.heard.lock();
        if let Some(wrong) = heard.wrong.take() {
            return Err(wrong);
        }
        heard.check_order(self.untold)?;
        let Latencies { since_kick, since_event } = Latencies::of(&heard.told, &kicks.sent)?;
        let of_kicks = Taken { latency: since_kick, ..taken.clone() };
        bench.report.add(self.row("kick", &of_kicks).cpu(cpu));
        if !since_event.is_empty() {
            bench.report.add(self.row("event", &Taken { latency: since_event, ..taken }));
        }
        Ok(())
    }

    fn row(&self, since: &str, taken: &Taken) -> Row {
        let p99 = taken.latency.value_at_quantile(0.99) as f64 / 1e6;
        let row = Row::new(&format!("{}: from the {since} to the notice", self.name), taken);
        row.at_most(p99, "ms p99", P99_MS_MAX)
    }

    /// When the last such notice has come.
    fn last(&self, event: &str) -> Instant {
        let heard = self.heard.lock();
        let found = heard.told.iter().rev().find(|(_, it)| it.event == event);
        found.map_or_else(now, |(at, _)| *at)
    }
}

const ENTER: &str = "ConferenceEnter";
const EXIT: &str = "ConferenceExit";

/// How long the notices of exits took.
struct Latencies {
    /// Since the kick was asked for, or due.
    since_kick: Histogram<u64>,
    /// Since the time that a notice has itself; empty if none has one.
    since_event: Histogram<u64>,
}

impl Latencies {
    /// Each kick must have its notice, and each notice its kick.
    fn of(told: &[(Instant, Told)], kicks: &[Sent]) -> Result<Self> {
        let exits = told.iter().filter(|(_, it)| it.event == EXIT);
        let mut exits: HashMap<_, _> = exits.map(|(at, it)| (&*it.member, (*at, it.age))).collect();
        let (mut since_kick, mut since_event) = (latencies(), latencies());
        for Sent { names, begun } in kicks {
            let exit = exits.remove(&**names);
            let (at, age) = exit.with_context(|| format!("nothing told that {names} is out"))?;
            let begun = begun.with_context(|| format!("{names} was not kicked"))?;
            note(&mut since_kick, at - begun)?;
            if let Some(age) = age {
                note(&mut since_event, age)?;
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
