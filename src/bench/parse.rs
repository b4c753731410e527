//! Scenario parse: parses a flow, compared with quick-xml alone.

use std::{hint::black_box, time::Duration};

use anyhow::{Result, ensure};
use bytes::Bytes;
use quick_xml::{Reader, XmlVersion, events::Event};
use tokio::task::yield_now;

use super::{
    Bench,
    clock::now,
    load::{Measurement, latencies},
    report::ReportRow,
};
use crate::{
    base::ids::Dialect,
    documents::cache::{DocumentCache, HashedText},
    flow::{Flow, FlowOrigin},
};

/// About 1 KB: a menu, a conference with many attributes, and elements after it.
pub(super) const FLOW: &str = include_str!("parse.xml");
/// Repetitions of each measurement, since one is too short for a clock.
const AT_ONCE: u32 = 100;

/// P5: parsing compared with quick-xml, and again with the cache.
pub(super) async fn parse(bench: &mut Bench) -> Result<()> {
    bench.say("parse: a flow of 1 KB");
    let time = bench.seconds() / 3;
    let bare = async || {
        let once = || {
            black_box(raw(black_box(FLOW))?);
            Ok(())
        };
        measure(time, once).await
    };
    let before = bare().await?;
    let parsed = measure(time, || {
        black_box(Flow::parse(black_box(FLOW), Dialect::Plivo)?);
        Ok(())
    })
    .await?;
    let after = bare().await?;
    let (documents, origin) =
        (DocumentCache::default(), FlowOrigin::Url("http://app.example/".into()));
    let again = measure(time, || {
        let body = black_box(Bytes::from_static(FLOW.as_bytes()));
        let content = HashedText::from(body.clone());
        let (found, _) = documents.read(content, &body, &origin, Dialect::Plivo);
        ensure!(found.is_ok(), "the flow is good");
        Ok(())
    })
    .await?;
    let micros = again.latency.value_at_quantile(0.5) as f64 / 1e3;
    bench.report.add(ReportRow::new("ceiling: quick-xml with attributes", &before));
    bench.report.add(ReportRow::new("parse a flow of 1 KB", &parsed).ceiling(0.2));
    bench.report.compare(&before, &after);
    bench.report.add(ReportRow::new("the same flow again", &again).at_most(micros, "µs p50", 1.0));
    Ok(())
}

async fn measure(time: Duration, mut once: impl FnMut() -> Result<()>) -> Result<Measurement> {
    let (mut latency, start) = (latencies(), now());
    let mut operations = 0;
    while start.elapsed() < time {
        let begin = now();
        for _ in 0..AT_ONCE {
            once()?;
        }
        let took = begin.elapsed() / AT_ONCE;
        latency.saturating_record(u64::try_from(took.as_nanos())?);
        operations += u64::from(AT_ONCE);
        // Lets Ctrl-C in.
        yield_now().await;
    }
    Ok(Measurement { operations, elapsed: start.elapsed(), latency, client_share: 0.0 })
}

/// Reads every event, and every attribute with its value.
fn raw(document: &str) -> Result<usize> {
    let mut reader = Reader::from_str(document);
    let mut seen = 0;
    loop {
        match reader.read_event()? {
            Event::Eof => return Ok(seen),
            Event::Empty(start) | Event::Start(start) => {
                for attribute in start.attributes() {
                    seen += attribute?.normalized_value(XmlVersion::Explicit1_0)?.len();
                }
            }
            Event::Text(text) => seen += text.len(),
            Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::DocType(_) => seen += 1,
            Event::End(_) | Event::GeneralRef(_) | Event::PI(_) => seen += 1,
        }
    }
}
