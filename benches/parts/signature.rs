//! Signatures of a callback: Plivo's V3 over URL and sorted fields, and its V2.

use std::hint::black_box;

use conflow::{
    base::ids::Dialect,
    fetch::signature::{FormField, Signer},
    flow::RequestMethod,
};
use criterion::Criterion;

const URL: &str = "https://example.com/conference/callback?tenant=42";
const NONCE: &str = "05429567804466091622";
/// The fields of a conference's callback about a member who leaves.
const FIELDS: [(&str, &str); 14] = [
    ("CallUUID", "0191f1a5-7c1e-7b1f-9d5e-0242ac120002"),
    ("From", "14155550100"),
    ("To", "14155550199"),
    ("CallStatus", "in-progress"),
    ("Direction", "inbound"),
    ("Event", "ConferenceExit"),
    ("CallerName", "Alice"),
    ("BillRate", "0.00000"),
    ("ParentAuthID", "MACONFLOWBENCH000000"),
    ("SessionStart", "2026-11-21 08:28:31.000000+00:00"),
    ("ConferenceName", "weekly"),
    ("ConferenceUUID", "0191f1a5-7c1e-7b1f-9d5e-0242ac120003"),
    ("ConferenceMemberID", "1000001"),
    ("ConferenceAction", "exit"),
];

pub(crate) fn bench(criterion: &mut Criterion) {
    let signer = Signer {
        dialect: Dialect::Plivo,
        tokens: vec!["a-token-of-at-least-sixteen-bytes".to_owned()],
        parent_token: None,
    };
    let fields = FIELDS.map(|(name, value)| -> FormField { (name.into(), value.to_owned()) });
    criterion.bench_function("signature of a callback, Plivo", |bencher| {
        bencher
            .iter(|| signer.sign(RequestMethod::Post, black_box(URL), black_box(&fields), NONCE));
    });
}
