//! A receiver in the in-memory network: it serves documents, and notes every request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method as HttpMethod, StatusCode, Uri},
};
use conflow::{
    base::ids::Dialect,
    fetch::signature::{FormField, Signer},
    flow::RequestMethod,
};
use parking_lot::Mutex;
use url::form_urlencoded;

use crate::net::Net;

/// `http://app.example`, open to every client.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    documents: Arc<Mutex<BTreeMap<String, String>>>,
}

struct ReceivedRequest {
    path: String,
    fields: Vec<(String, String)>,
}

const HOST: &str = "app.example";
const ADDRESS: &str = "93.184.216.34";

impl Receiver {
    pub(crate) fn open(net: &Net) -> Self {
        let receiver = Self::default();
        net.name(HOST, &[&[ADDRESS]]);
        let router = Router::new().fallback(answer).with_state(receiver.clone());
        net.serve(&format!("{ADDRESS}:80"), router);
        receiver
    }

    /// Sets the document of a path; `503` and the like set a status.
    pub(crate) fn has(&self, path: &str, document: &str) {
        self.documents.lock().insert(path.to_owned(), document.to_owned());
    }

    /// These fields of each request to the path since the last call.
    pub(crate) fn received(&self, path: &str, names: &[&str]) -> String {
        let mut received = self.received.lock();
        let value = |it: &ReceivedRequest, name: &str| {
            let found = it.fields.iter().find(|(it, _)| it == name);
            found.map_or_else(|| "-".to_owned(), |(_, value)| value.clone())
        };
        let line = |it: &ReceivedRequest| match names {
            ["*"] => it
                .fields
                .iter()
                .map(|(name, _)| &**name)
                .filter(|it| !it.starts_with("trace"))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(" "),
            names => names.iter().map(|name| value(it, name)).collect::<Vec<_>>().join(" "),
        };
        let lines: Vec<_> = received.iter().filter(|it| it.path == path).map(line).collect();
        received.retain(|it| it.path != path);
        match lines.is_empty() {
            true => "nothing".to_owned(),
            false => lines.join(" | "),
        }
    }
}

async fn answer(
    State(receiver): State<Receiver>,
    method: HttpMethod,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let form = form_urlencoded::parse(&body);
    let mut fields: Vec<_> = query.into_owned().chain(form.into_owned()).collect();
    fields.push(("method".to_owned(), method.to_string()));
    fields.push(("signed".to_owned(), is_signed(&method, &uri, &headers, &body).to_owned()));
    let parent = headers.get("traceparent").map_or("", |it| it.to_str().unwrap());
    fields.push(("traceparent".to_owned(), parent.to_owned()));
    let trace = parent.split('-').nth(1).unwrap_or_default();
    fields.push(("trace".to_owned(), trace.to_owned()));
    let path = uri.path().to_owned();
    receiver.received.lock().push(ReceivedRequest { path: path.clone(), fields });
    let document = receiver.documents.lock().get(&path).cloned().unwrap_or_default();
    match document.parse::<u16>() {
        Ok(status) => (StatusCode::from_u16(status).unwrap(), String::new()),
        Err(_) => (StatusCode::OK, document),
    }
}

/// The kinds of signatures in the headers that are valid with the token of `MA1`.
fn is_signed(method: &HttpMethod, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> &'static str {
    let url = format!("http://{HOST}{uri}");
    let form: Vec<FormField> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned().into(), value.into_owned()))
        .collect();
    let method = if method == HttpMethod::GET { RequestMethod::Get } else { RequestMethod::Post };
    for (dialect, name) in [(Dialect::Plivo, "plivo"), (Dialect::Vobiz, "vobiz")] {
        let nonce = headers.get(format!("x-{name}-signature-v3-nonce"));
        let Some(nonce) = nonce.and_then(|it| it.to_str().ok()) else { continue };
        let signer = Signer { dialect, tokens: vec!["one".to_owned()], parent_token: None };
        let signed = signer.sign(method, &url, &form, nonce);
        let is_right =
            signed.iter().all(|(name, value)| headers.get(*name).is_some_and(|it| it == value));
        return if is_right { name } else { "wrongly" };
    }
    "not"
}
