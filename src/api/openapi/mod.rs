//! OpenAPI 3.1 document: made from the endpoint table and the types of bodies, with a web page.
//!
//! It is made once, when the API opens, and describes this server: with its forms of answers, and
//! with simulated phones only if it has some.

mod example;
mod guide;
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

/// The document and its page, serialized.
#[derive(Clone, Debug)]
pub(super) struct OpenApiDocument {
    json: Bytes,
    page: String,
}

impl OpenApiDocument {
    /// The document with these operations.
    pub(super) fn new(operations: OperationList, schemas: Schemas) -> Self {
        let document = document(&operations, schemas);
        let json = serde_json::to_vec_pretty(&document).expect("it has names for keys");
        Self { json: json.into(), page: page::write(&document) }
    }

    pub(super) fn show(&self) -> Response {
        answer(&self.json, "application/json")
    }

    /// The page, with this server's URL in its examples.
    pub(super) fn show_page(&self, url: &str) -> Response {
        let page = page::for_server(&self.page, url).into();
        let mut response = answer(&page, "text/html; charset=utf-8");
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

/// The description of the whole API.
const ABOUT: &str = "\
The voice API in two dialects: Plivo's below `/v1/`, Vobiz's below `/api/v1/`. Both see the same \
calls and conferences.\n\n\
Case matters in paths. The last slash may be missing. HEAD is good wherever GET is. A parameter that \
conflow ignores is named in a `Conflow-Warning` header. A `traceparent` (W3C Trace Context) is \
taken over: the requests that come of this one hand it on, and the log has it.\n\n\
Parameters are read from JSON and from forms, urlencoded or multipart. What is not implemented yet is \
answered with 400.\n\n\
Not in this document, but on the page `/docs`: the groups' dialects (Bungie, Capillary, Kirimin, \
Rocket.Chat), and what conflow asks of an application by itself (answer URLs, callbacks).";

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
