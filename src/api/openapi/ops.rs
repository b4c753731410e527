//! Operations beside the API: probes, metrics, and this document.

use serde_json::json;

use super::{DocumentedAnswer, Operation};

const PLAIN: &str = "text/plain";

fn open(id: &str, summary: &'static str) -> Operation {
    Operation { is_open: true, ..Operation::new(id.to_owned(), "Operations", summary) }
}

pub(in crate::api) fn root() -> Operation {
    open("root", "Leads on to `/docs`, and a browser to the console.")
        .answers(DocumentedAnswer::text(302, "To `/docs`.", PLAIN))
        .answers(DocumentedAnswer::text(303, "To `/console/`, if there is a console.", PLAIN))
}

pub(in crate::api) fn healthz() -> Operation {
    open("healthz", "The process answers.").answers(DocumentedAnswer::text(200, "It does.", PLAIN))
}

pub(in crate::api) fn readyz() -> Operation {
    open("readyz", "New calls are taken.")
        .answers(DocumentedAnswer::text(200, "They are.", PLAIN))
        .answers(DocumentedAnswer::text(
            503,
            "They are not: the engine drains, or its store cannot write.",
            PLAIN,
        ))
}

pub(in crate::api) fn document() -> Operation {
    let schema = json!({ "type": "object", "required": ["openapi", "info", "paths"] });
    open("openapi", "This document.").answers(DocumentedAnswer::json(200, "OpenAPI 3.1.", schema))
}

pub(in crate::api) fn page() -> Operation {
    open("docs", "This document, as a page.").answers(DocumentedAnswer::text(
        200,
        "A page.",
        "text/html",
    ))
}

pub(in crate::api) fn metrics() -> Operation {
    let metrics = Operation::new("metrics".to_owned(), "Operations", "Figures for Prometheus.");
    Operation { scheme: Some("opsToken"), ..metrics }
        .about(
            "With `Authorization: Bearer` and the token of the setting `ops_token`; without that \
             setting it is 404, but in development mode an account's credentials open it.",
        )
        .answers(DocumentedAnswer::text(200, "Its text format.", "text/plain"))
        .refuses(&[401, 404, 405, 429])
}
