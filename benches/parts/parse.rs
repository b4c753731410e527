//! Parsing a flow, compared with quick-xml alone on the same document (P5).

use std::{hint::black_box, time::Duration};

use axum::body::Bytes;
use conflow::{
    base::ids::Dialect,
    documents::cache::{DocumentCache, HashedText},
    flow::{Flow, FlowOrigin},
};
use criterion::{Criterion, Throughput};
use quick_xml::{Reader, XmlVersion, events::Event};

use crate::{
    measure::{now, say, verdict},
    took::Took,
};

/// About 1 KB: a menu, a conference with many attributes, and what follows it.
const FLOW: &str = include_str!("../../src/bench/parse.xml");

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a flow of 1 KB");
    group.throughput(Throughput::Bytes(FLOW.len() as u64));
    let [mut bare, mut parsed, mut again] = [Took::default(), Took::default(), Took::default()];
    group.bench_function("ceiling: quick-xml with attributes", |bencher| {
        bare.time(bencher, |rounds| repeat(rounds, || raw(black_box(FLOW))));
    });
    group.bench_function("flow", |bencher| {
        let parse = || Flow::parse(black_box(FLOW), Dialect::Vobiz).expect("the flow is valid");
        parsed.time(bencher, |rounds| repeat(rounds, parse));
    });
    let (documents, body) = (DocumentCache::default(), Bytes::from_static(FLOW.as_bytes()));
    let origin = FlowOrigin::Url("http://app.example/".into());
    group.bench_function("the same flow again", |bencher| {
        let read = || {
            let content = HashedText::from(body.clone());
            documents.read(content, black_box(&body), &origin, Dialect::Vobiz)
        };
        again.time(bencher, |rounds| repeat(rounds, read));
    });
    if let (Some(bare), Some(parsed)) = (bare.median(), parsed.median()) {
        let (ratio, met) = (bare / parsed, verdict(0.2 <= bare / parsed));
        say(&format!("P5: a parse is {ratio:.2} × as fast as quick-xml, at least 0.2: {met}"));
    }
    if let Some(again) = again.median().map(|it| it * 1e6) {
        let met = verdict(again <= 1.0);
        say(&format!("P5: the same flow again takes {again:.2} µs, at most 1: {met}"));
    }
    group.finish();
}

fn repeat<T>(rounds: u64, mut once: impl FnMut() -> T) -> Duration {
    let begin = now();
    (0..rounds).for_each(|_| drop(black_box(once())));
    begin.elapsed()
}

/// Reads every event, and every attribute of every element with its value.
fn raw(document: &str) -> usize {
    let mut reader = Reader::from_str(document);
    let mut seen = 0;
    loop {
        match reader.read_event().expect("the flow is well-formed") {
            Event::Eof => return seen,
            Event::Empty(start) | Event::Start(start) => {
                for attribute in start.attributes() {
                    let attribute = attribute.expect("the flow is well-formed");
                    let value = attribute.normalized_value(XmlVersion::Explicit1_0);
                    seen += value.expect("the flow is well-formed").len();
                }
            }
            Event::Text(text) => seen += text.len(),
            Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::DocType(_) => seen += 1,
            Event::End(_) | Event::GeneralRef(_) | Event::PI(_) => seen += 1,
        }
    }
}
