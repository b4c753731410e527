//! Parsing a flow, beside what quick-xml alone needs for the same document.

use std::hint::black_box;

use conflow::{flow::Flow, ids::Dialect};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quick_xml::{Reader, XmlVersion, events::Event};

/// About 1 KB: a menu, a conference with many attributes, and what follows it.
const FLOW: &str = include_str!("../src/app/bench/parse.xml");

/// Every event, and every attribute of every element with its value.
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

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(FLOW.len() as u64));
    group.bench_function("ceiling: quick-xml with attributes", |bencher| {
        bencher.iter(|| raw(black_box(FLOW)));
    });
    group.bench_function("flow", |bencher| {
        bencher.iter(|| Flow::parse(black_box(FLOW), Dialect::Vobiz).expect("the flow is valid"));
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
