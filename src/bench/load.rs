//! Load generator: sends requests over many connections, and measures the latencies of the
//! responses.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::{task::yield_now, time};

use super::clock::now;
use super::{
    link::{BenchConnection, BenchResponse},
    process,
};

/// Source of requests, and check of their responses.
pub(super) trait Workload {
    /// Writes the next request; returns a number that [`Self::check`] gets. None ends the work.
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize>;

    /// The latency of a request counts from `at`, when it was sent or due.
    fn begins(&mut self, _number: usize, _at: Instant) {}

    /// Checks a response.
    ///
    /// # Errors
    ///
    /// Description of what is wrong.
    fn check(&mut self, number: usize, answer: BenchResponse<'_>) -> Result<(), String>;
}

/// Pace of the requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadPace {
    pub(super) connections: usize,
    /// Maximum duration; None runs until the work ends.
    pub(super) time_max: Option<Duration>,
    /// Requests a second; latencies then count from the due times.
    pub(super) rate: Option<u32>,
}

/// Results of a run.
#[derive(Clone, Debug)]
pub(super) struct Measurement {
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// Latencies of the responses, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// Processor time of the client as a share of a core; near 1, it is the bottleneck.
    pub(super) client_share: f64,
}

impl Measurement {
    pub(super) fn per_second(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }
}

/// A minute in nanoseconds: nothing takes longer.
const LATENCY_MAX: u64 = 60_000_000_000;
/// Number of responses so far, for the progress bar.
pub(super) static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// Three significant digits, like other tools that print percentiles.
const DIGITS: u8 = 3;
/// Resolution of the timer; the rest of a wait is spent spinning.
const TICK: Duration = Duration::from_millis(1);

/// An empty histogram of nanoseconds.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("the bounds are good")
}

/// Runs the work to its end, or until the time is over.
///
/// # Errors
///
/// A response is missing or wrong.
pub(super) async fn drive(
    http: SocketAddr,
    pace: LoadPace,
    work: &mut impl Workload,
) -> Result<Measurement> {
    let mut links = Vec::new();
    for _ in 0..pace.connections {
        links.push(BenchConnection::open(http).await?);
    }
    let cpu = process::own_cpu();
    let shared = RefCell::new(LoadState { work, latency: latencies(), begun: 0 });
    let start = now();
    try_join_all(links.into_iter().map(|link| connection(link, pace, start, &shared))).await?;
    let elapsed = start.elapsed();
    let latency = shared.into_inner().latency;
    let client_share = (process::own_cpu() - cpu).as_secs_f64() / elapsed.as_secs_f64();
    Ok(Measurement { operations: latency.len(), elapsed, latency, client_share })
}

struct LoadState<'a, W> {
    work: &'a mut W,
    latency: Histogram<u64>,
    begun: u32,
}

async fn connection(
    mut link: BenchConnection,
    pace: LoadPace,
    start: Instant,
    shared: &RefCell<LoadState<'_, impl Workload>>,
) -> Result<()> {
    let mut request = Vec::new();
    loop {
        if pace.time_max.is_some_and(|max| max <= start.elapsed()) {
            return Ok(());
        }
        request.clear();
        let (next, due) = {
            let mut shared = shared.borrow_mut();
            let due = pace.rate.map(|rate| start + Duration::from_secs(1) * shared.begun / rate);
            shared.begun += 1;
            (shared.work.next(&mut request), due)
        };
        let Some(number) = next else { return Ok(()) };
        let begin = match due {
            Some(due) => wait(due).await,
            None => now(),
        };
        shared.borrow_mut().work.begins(number, begin);
        let answer = link.ask(&request).await?;
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(LATENCY_MAX);

        let mut shared = shared.borrow_mut();
        shared.latency.saturating_record(took);
        ANSWERS.fetch_add(1, Ordering::Relaxed);
        let checked = shared.work.check(number, answer);
        checked.map_err(|wrong| anyhow!(wrong)).with_context(|| {
            // Headers are left out, since they contain a token.
            let (request, body) =
                (String::from_utf8_lossy(&request), String::from_utf8_lossy(answer.body));
            let (line, status) = (request.lines().next().unwrap_or_default(), answer.status);
            format!("{line:?} was answered with {status} {body}{}", hint(status))
        })?;
    }
}

/// Hint about an external engine.
fn hint(status: u16) -> &'static str {
    match status {
        429 => "; the engine limits its accounts: see its --rate-limit",
        _ => "",
    }
}

async fn wait(due: Instant) -> Instant {
    if now() + TICK * 2 < due {
        time::sleep_until((due - TICK * 2).into()).await;
    }
    while now() < due {
        yield_now().await;
    }
    due
}
