//! What is beside the API: probes, figures, and this document.

use axum::http::Method;
use serde_json::json;

use super::{DocumentedAnswer, Operation, OperationList};

/// All of them.
pub(super) fn list() -> OperationList {
    let open = |id: &str, summary| Operation {
        is_open: true,
        ..Operation::new(id.to_owned(), "Operations", summary)
    };
    let plain = "text/plain";
    let document = json!({ "type": "object", "required": ["openapi", "info", "paths"] });
    let rows = [
        (
            "/healthz",
            open("healthz", "The process answers.")
                .answers(DocumentedAnswer::text(200, "It does.", plain)),
        ),
        (
            "/readyz",
            open("readyz", "New calls are taken.")
                .answers(DocumentedAnswer::text(200, "They are.", plain))
                .answers(DocumentedAnswer::text(503, "They are not: the engine drains.", plain)),
        ),
        ("/metrics", metrics()),
        (
            "/openapi.json",
            open("openapi", "This document.").answers(DocumentedAnswer::json(
                200,
                "OpenAPI 3.1.",
                document,
            )),
        ),
        (
            "/docs",
            open("docs", "This document, as a page.").answers(DocumentedAnswer::text(
                200,
                "A page.",
                "text/html",
            )),
        ),
    ];
    rows.into_iter().map(|(path, it)| (Method::GET, path.to_owned(), it)).collect()
}

fn metrics() -> Operation {
    let metrics = Operation::new("metrics".to_owned(), "Operations", "Figures for Prometheus.");
    Operation { scheme: Some("opsToken"), ..metrics }
        .about(
            "With `Authorization: Bearer` and the token of the setting `ops_token`; without that \
             setting it is 404, but in development mode an account's credentials open it.",
        )
        .answers(DocumentedAnswer::text(200, "Its text format.", "text/plain"))
        .refuses(&[401, 404, 405, 429])
}
