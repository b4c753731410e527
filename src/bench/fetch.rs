//! A flow that comes over HTTP: from its request to its first element, beside a bare GET of the
//! same document.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use axum::body::Bytes;
use hdrhistogram::Histogram;
use tokio::time::{MissedTickBehavior, interval};
use url::form_urlencoded;

use super::{
    Bench,
    filled::find,
    link::{Link, has},
    load::{Taken, latencies, now},
    parse::FLOW,
    receiver::{Ear, Receiver, until_all},
    report::Row,
    target::{self, Fittings, SPOKEN, Site},
};

/// Calls a second, and as many bare GETs: one is over before the next begins, and neither waits
/// for a core.
const PER_SECOND: u32 = 500;
/// Phones that are asked afterwards what they have heard.
const PHONES_ASKED: usize = 500;
/// P9.
const RATIO_MAX: f64 = 2.0;

/// P9. The first element is a `<Redirect>`, which shows when it begins: it asks for another
/// document. So what is measured is a round trip, as is a GET.
pub(super) async fn fetch(bench: &mut Bench) -> Result<()> {
    let rate = bench.flags.rate.unwrap_or(PER_SECOND);
    bench.say(&format!("fetch: {rate} calls and GETs a second"));
    let receiver = Receiver::apart(Documents::new()).await?;
    let (http, answer) = (receiver.http, format!("http://{}{ANSWER}", receiver.http));
    receiver.ear.lock().begin_with(&format!("http://{http}{NEXT}"));
    let account = target::account(0);
    let config = format!(
        "[[number]]\ncalled = \"{CALLED}\"\naccount = \"{account}\"\ndialect = \"plivo\"\n\
         answer_url = \"{answer}\"\nanswer_method = \"GET\"\n"
    );
    let site = Site::open_with(1, &Fittings { config, ..Fittings::default() }).await?;

    let (mut engine, mut documents) =
        (Link::open(site.engine.http).await?, Link::open(http).await?);
    let (mut bare, mut calls) = (latencies(), Vec::new());
    let (cpu, begin) = (site.engine.cpu(), now());
    let mut ticks = interval(Duration::from_secs(1) / (rate * 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begin.elapsed() < bench.seconds() {
        ticks.tick().await;
        bare.saturating_record(get(&mut documents).await?);
        ticks.tick().await;
        calls.push(dial(&mut engine).await?);
    }
    let elapsed = begin.elapsed();
    let ear = &receiver.ear;
    until_all(calls.len(), || ear.lock().latency.len() as usize).await?;
    let cpu = site.engine.cpu() - cpu;
    heard(&mut engine, &calls).await?;

    let taken = |latency: Histogram<u64>| Taken {
        operations: latency.len(),
        elapsed,
        latency,
        client_share: 0.0,
    };
    let (bare, fetched) = (taken(bare), taken(ear.lock().latency.clone()));
    let times = |quantile| {
        let of = |it: &Taken| it.latency.value_at_quantile(quantile) as f64;
        of(&fetched) / of(&bare)
    };
    bench.report.add(Row::new("ceiling: bare GET of a flow of 1 KB", &bare));
    let row = Row::new("fetch a flow, until its first element", &fetched).cpu(cpu);
    let row = row.at_most(times(0.99), "of a bare GET's p99", RATIO_MAX);
    bench.report.add(row.note(format!("{:.2} of its p50", times(0.5))));
    Ok(())
}

const CALLED: &str = "fetch";
const ANSWER: &str = "/answer";
const NEXT: &str = "/next";

/// Has the documents, and notes when they were asked for.
struct Documents {
    answer: Bytes,
    next: Bytes,
    /// By call: when it asked for the first.
    asked: HashMap<String, Instant>,
    /// From there to when it asked for the second.
    latency: Histogram<u64>,
}

impl Documents {
    fn new() -> Self {
        let next = format!("<Response><Speak>{SPOKEN}</Speak></Response>").into();
        Self { answer: Bytes::new(), next, asked: HashMap::new(), latency: latencies() }
    }

    /// The first is about 1 KB, and begins with a redirect to the second.
    fn begin_with(&mut self, next: &str) {
        let redirect = format!("<Redirect method=\"GET\">{next}</Redirect>\n  <Speak");
        self.answer = FLOW.replacen("<Speak", &redirect, 1).into();
    }
}

impl Ear for Documents {
    fn hear(&mut self, at: Instant, path: &str, mut fields: form_urlencoded::Parse<'_>) -> Bytes {
        let call = fields.find_map(|(name, value)| (name == "CallUUID").then_some(value));
        match (path == NEXT, call) {
            (true, call) => {
                let asked = call.and_then(|it| self.asked.remove(&*it));
                let took = asked.map(|it| (at - it).as_nanos() as u64);
                took.into_iter().for_each(|it| self.latency.saturating_record(it));
                self.next.clone()
            }
            (false, call) => {
                self.asked.extend(call.map(|it| (it.into_owned(), at)));
                self.answer.clone()
            }
        }
    }
}

/// As the engine asks: whoever has the document is to have as much work with it.
const QUERY: &str = "?CallUUID=&From=15551234567&To=fetch&CallStatus=ringing&Direction=inbound\
    &Event=StartApp&CallerName=&BillRate=0.00000&ParentAuthID=MACONFLOWBENCH000000\
    &SessionStart=2026-08-31%2020:08:21.073308";

/// How long a bare GET takes, in nanoseconds.
async fn get(documents: &mut Link) -> Result<u64> {
    let request = format!("GET {ANSWER}{QUERY} HTTP/1.1\r\nhost: bench\r\n\r\n");
    let begin = now();
    let answer = documents.ask(request.as_bytes()).await?;
    let took = begin.elapsed().as_nanos();
    ensure!(answer.status == 200 && has(answer.body, b"<Redirect"), "not the document");
    Ok(u64::try_from(took)?)
}

/// Dials, and tells the call's name.
async fn dial(engine: &mut Link) -> Result<String> {
    let mut request = Vec::new();
    target::dial_to(&mut request, 0, CALLED);
    let answer = engine.ask(&request).await?;
    ensure!(answer.status == 201, "a phone cannot dial in: {answer:?}");
    let dialled: Dialled = serde_json::from_slice(answer.body)?;
    Ok(dialled.call_uuid)
}

#[derive(serde::Deserialize)]
struct Dialled {
    call_uuid: String,
}

/// Looks whether calls have run their second document.
async fn heard(engine: &mut Link, calls: &[String]) -> Result<()> {
    let mut request = Vec::new();
    for call in calls.iter().rev().take(PHONES_ASKED) {
        request.clear();
        target::phone(&mut request, 0, call);
        let answer = engine.ask(&request).await?;
        let spoken = find(answer.body, format!("\"{SPOKEN}\"").as_bytes());
        let body = String::from_utf8_lossy(answer.body);
        ensure!(spoken.is_some(), "the call {call} has heard {body}");
    }
    Ok(())
}
