//! The contract of the API: an OpenAPI 3.1 document that is made out of the tables of paths and
//! the types of bodies, and a page that shows it.
//!
//! It is made once, when the API opens, and says what this server does: with its forms of answers,
//! and with simulated phones only if it has some.

mod operation;
pub(super) mod ops;
mod page;
mod schemas;
pub(super) mod sim;

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderValue, Method,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::Response,
};
use serde_json::{Map, Value, json};

pub(super) use self::{
    operation::{DialectDescriber, DocumentedAnswer, Operation, header, query, uuid},
    schemas::{Schemas, one_or_many},
};

/// The document and its page, written out.
#[derive(Clone, Debug)]
pub(super) struct OpenApiDocument {
    json: Bytes,
    page: Bytes,
}

impl OpenApiDocument {
    /// What a server with these operations does.
    pub(super) fn new(operations: OperationList, schemas: Schemas) -> Self {
        let document = document(&operations, schemas);
        let json = serde_json::to_vec_pretty(&document).expect("it has names for keys");
        Self { json: json.into(), page: page::write(&document).into() }
    }

    /// `GET /openapi.json`
    pub(super) fn show(&self) -> Response {
        answer(&self.json, "application/json")
    }

    /// `GET /docs`
    pub(super) fn show_page(&self) -> Response {
        let mut response = answer(&self.page, "text/html; charset=utf-8");
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        response
    }
}

fn answer(body: &Bytes, media_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(body.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Every operation, with its method and path.
pub(super) type OperationList = Vec<(Method, String, Operation)>;

/// What there is to know of the whole.
const ABOUT: &str = "\
The voice API in two dialects: Plivo's below `/v1/`, Vobiz's below `/api/v1/`. Both see the same \
calls and conferences.\n\n\
Case matters in paths. The last slash may be missing. HEAD is good wherever GET is. A parameter that \
conflow ignores is named in a `Conflow-Warning` header. A `traceparent` (W3C Trace Context) is \
taken over: the requests that come of this one hand it on, and the log has it.\n\n\
Not in this document: the groups' dialects (Bungie, Capillary, Kirimin, Rocket.Chat), and what \
conflow asks of an application by itself (answer URLs, callbacks).";

fn document(listed: &OperationList, schemas: Schemas) -> Value {
    let mut paths = Map::new();
    for (method, path, operation) in listed {
        let at = paths.entry(path.clone()).or_insert_with(|| json!({}));
        at[method.as_str().to_ascii_lowercase()] = operation.write(path);
    }
    let mut tags: Vec<Value> = Vec::new();
    for (.., operation) in listed {
        if tags.iter().all(|it| it["name"] != operation.tag) {
            tags.push(json!({ "name": operation.tag }));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "conflow",
            "summary": "A conference call control engine.",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "security": [{ "basic": [] }, { "authId": [], "authToken": [] }],
        "components": {
            "schemas": schemas.write(),
            "responses": operation::refusals(),
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The account's auth_id and auth_token.",
                },
                "authId": { "type": "apiKey", "in": "header", "name": "X-Auth-ID" },
                "authToken": { "type": "apiKey", "in": "header", "name": "X-Auth-Token" },
                "opsToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The setting `ops_token`.",
                },
            },
        },
    })
}
