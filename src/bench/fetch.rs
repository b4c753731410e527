//! Scenario fetch: time from the request of a flow to its first element, compared with a bare GET.

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
    clock::now,
    filled::find,
    link::{BenchConnection, has},
    load::{Measurement, latencies},
    parse::FLOW,
    receiver::{BenchReceiver, RequestHandler, wait_for_count},
    report::ReportRow,
    target::{self, BenchTarget, EngineOptions, SPOKEN},
};

/// Rate of calls, and of bare GETs: each has ended before the next begins, and none waits for a
/// core.
const PER_SECOND: u32 = 500;
/// Phones that are asked afterwards what they have heard.
const PHONES_ASKED: usize = 500;
/// P9: bound of the ratio.
const RATIO_MAX: f64 = 2.0;

/// P9. The first element is a `<Redirect>`, whose request shows when it begins. So a round trip is
/// measured, like that of a GET.
pub(super) async fn fetch(bench: &mut Bench) -> Result<()> {
    let rate = bench.flags.rate.unwrap_or(PER_SECOND);
    bench.say(&format!("fetch: {rate} calls and GETs a second"));
    let receiver = BenchReceiver::start_in_thread(BenchDocuments::new()).await?;
    let (http, answer) = (receiver.http, format!("http://{}{ANSWER}", receiver.http));
    receiver.handler.lock().begin_with(&format!("http://{http}{NEXT}"));
    let account = target::account(0);
    let config = format!(
        "[[number]]\ncalled = \"{CALLED}\"\naccount = \"{account}\"\ndialect = \"plivo\"\n\
         answer_url = \"{answer}\"\nanswer_method = \"GET\"\n"
    );
    let target =
        BenchTarget::open_with(1, &EngineOptions { config, ..EngineOptions::default() }).await?;

    let (mut engine, mut documents) =
        (BenchConnection::open(target.engine.http).await?, BenchConnection::open(http).await?);
    let (mut bare, mut calls) = (latencies(), Vec::new());
    let (cpu, begin) = (target.engine.cpu(), now());
    let mut ticks = interval(Duration::from_secs(1) / (rate * 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begin.elapsed() < bench.seconds() {
        ticks.tick().await;
        bare.saturating_record(get(&mut documents).await?);
        ticks.tick().await;
        calls.push(dial(&mut engine).await?);
    }
    let elapsed = begin.elapsed();
    let handler = &receiver.handler;
    wait_for_count(calls.len(), || handler.lock().latency.len() as usize).await?;
    let cpu = target.engine.cpu() - cpu;
    check_heard(&mut engine, &calls).await?;

    let measured = |latency: Histogram<u64>| Measurement {
        operations: latency.len(),
        elapsed,
        latency,
        client_share: 0.0,
    };
    let (bare, fetched) = (measured(bare), measured(handler.lock().latency.clone()));
    let times = |quantile| {
        let of = |it: &Measurement| it.latency.value_at_quantile(quantile) as f64;
        of(&fetched) / of(&bare)
    };
    bench.report.add(ReportRow::new("ceiling: bare GET of a flow of 1 KB", &bare));
    let row = ReportRow::new("fetch a flow, until its first element", &fetched).cpu(cpu);
    let row = row.at_most(times(0.99), "of a bare GET's p99", RATIO_MAX);
    bench.report.add(row.note(format!("{:.2} of its p50", times(0.5))));
    Ok(())
}

const CALLED: &str = "fetch";
const ANSWER: &str = "/answer";
const NEXT: &str = "/next";

/// Serves the documents, and records the times of the requests.
struct BenchDocuments {
    answer: Bytes,
    next: Bytes,
    /// By call: time of the first request.
    first_fetches: HashMap<String, Instant>,
    /// Time between the first and the second request.
    latency: Histogram<u64>,
}

impl BenchDocuments {
    fn new() -> Self {
        let next = format!("<Response><Speak>{SPOKEN}</Speak></Response>").into();
        Self { answer: Bytes::new(), next, first_fetches: HashMap::new(), latency: latencies() }
    }

    /// The first document has about 1 KB, and begins with a redirect to the second.
    fn begin_with(&mut self, next: &str) {
        let redirect = format!("<Redirect method=\"GET\">{next}</Redirect>\n  <Speak");
        self.answer = FLOW.replacen("<Speak", &redirect, 1).into();
    }
}

impl RequestHandler for BenchDocuments {
    fn handle(&mut self, at: Instant, path: &str, mut fields: form_urlencoded::Parse<'_>) -> Bytes {
        let call = fields.find_map(|(name, value)| (name == "CallUUID").then_some(value));
        match (path == NEXT, call) {
            (true, call) => {
                let first_fetch = call.and_then(|it| self.first_fetches.remove(&*it));
                let took = first_fetch.map(|it| (at - it).as_nanos() as u64);
                took.into_iter().for_each(|it| self.latency.saturating_record(it));
                self.next.clone()
            }
            (false, call) => {
                self.first_fetches.extend(call.map(|it| (it.into_owned(), at)));
                self.answer.clone()
            }
        }
    }
}

/// Query of the engine, so that a bare GET costs the server as much work.
const QUERY: &str = "?CallUUID=&From=15551234567&To=fetch&CallStatus=ringing&Direction=inbound\
    &Event=StartApp&CallerName=&BillRate=0.00000&ParentAuthID=MACONFLOWBENCH000000\
    &SessionStart=2026-08-31%2020:08:21.073308";

/// Duration of a bare GET, in nanoseconds.
async fn get(documents: &mut BenchConnection) -> Result<u64> {
    let request = format!("GET {ANSWER}{QUERY} HTTP/1.1\r\nhost: bench\r\n\r\n");
    let begin = now();
    let answer = documents.ask(request.as_bytes()).await?;
    let took = begin.elapsed().as_nanos();
    ensure!(answer.status == 200 && has(answer.body, b"<Redirect"), "not the document");
    Ok(u64::try_from(took)?)
}

/// Makes a call; returns its id.
async fn dial(engine: &mut BenchConnection) -> Result<String> {
    let mut request = Vec::new();
    target::dial_to(&mut request, 0, CALLED);
    let answer = engine.ask(&request).await?;
    ensure!(answer.status == 201, "a phone cannot call: {answer:?}");
    let dialled: DialledCall = serde_json::from_slice(answer.body)?;
    Ok(dialled.call_uuid)
}

#[derive(serde::Deserialize)]
struct DialledCall {
    call_uuid: String,
}

/// Checks that calls have run the second document.
async fn check_heard(engine: &mut BenchConnection, calls: &[String]) -> Result<()> {
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
