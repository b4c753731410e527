//! Web documents: fetches flows over HTTP, signed by the account, and local ones from the flows
//! folder.

use std::sync::Arc;

use super::{
    DocumentFetch, DocumentRecipient, DocumentStore, LocalFlow, OnDocument,
    cache::{DocumentCache, HashedText},
    fields,
};
use crate::{
    accounts::Accounts,
    base::ids::Dialect,
    fetch::{self, Budget, FetchClient, OutgoingRequest, TargetUrl},
    flow::{DocumentError, Fetched, FlowOrigin, Purpose},
};

/// Document store over HTTP. Each text is parsed once and shared by all calls that run it.
pub struct WebDocuments {
    folder: Arc<dyn DocumentStore>,
    client: FetchClient,
    accounts: Arc<Accounts>,
    documents: Arc<DocumentCache<HashedText>>,
}

/// Limit of the vendors (contract 7). A longer document is refused.
pub const DOCUMENT_BYTES_MAX: usize = 100 * 1024;

impl WebDocuments {
    /// Fetches for these accounts on the current runtime. `folder` serves all other URLs.
    pub fn new(
        folder: Arc<dyn DocumentStore>,
        client: FetchClient,
        accounts: Arc<Accounts>,
    ) -> Self {
        Self { folder, client, accounts, documents: Arc::default() }
    }

    /// Builds the HTTP request for a fetch.
    fn request(&self, fetch: &DocumentFetch) -> Result<OutgoingRequest, DocumentError> {
        let target = TargetUrl::parse(&fetch.request.url);
        let target =
            target.map_err(|error| DocumentError::Unreachable(error.to_string().into()))?;
        let wants_answer = fetch.recipient != DocumentRecipient::Nobody;
        let dialect = fetch.party.dialect;
        Ok(OutgoingRequest {
            budget: target.budget(Budget::default()),
            target: Arc::new(target),
            method: fetch.request.method,
            fields: fields::of_fetch(fetch),
            headers: fetch::trace_headers(Some(fetch.party.session.trace(fetch.call))),
            dialect,
            signer: self.accounts.signer(&fetch.account, dialect),
            answer_bytes_max: wants_answer.then_some(DOCUMENT_BYTES_MAX),
        })
    }
}

impl DocumentStore for WebDocuments {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        if !is_web(&fetch.request.url) {
            return self.folder.fetch(fetch, done);
        }
        let request = match self.request(&fetch) {
            Ok(request) => request,
            Err(missing) => {
                log_failure(&fetch, &missing);
                return done(fetch, Err(missing));
            }
        };
        let (client, documents) = (self.client.clone(), self.documents.clone());
        tokio::spawn(async move {
            let fetched = read(&client, &documents, &request).await;
            if let Err(missing) = &fetched
                && fetch.recipient != DocumentRecipient::Nobody
            {
                log_failure(&fetch, missing);
            }
            done(fetch, fetched);
        });
    }

    fn check(&self, url: &str) -> Result<(), String> {
        if !is_web(url) {
            return self.folder.check(url);
        }
        let target = TargetUrl::parse(url).map_err(|error| error.to_string())?;
        self.client.check(&target).map_err(|error| error.to_string())
    }

    fn local(&self, flow: &LocalFlow) -> Option<Fetched> {
        self.folder.local(flow)
    }
}

/// Checks the status before the body (contract 3.14).
async fn read(
    client: &FetchClient,
    documents: &DocumentCache<HashedText>,
    request: &OutgoingRequest,
) -> Fetched {
    let dialect: Dialect = request.dialect;
    match client.fetch(request).await {
        Ok(_) if request.answer_bytes_max.is_none() => Err(DocumentError::Unreachable("".into())),
        Ok(response) => {
            let body = response.body;
            let origin = FlowOrigin::Url(request.target.to_string().into());
            let content = HashedText::from(body.clone());
            let (fetched, is_new) = documents.read(content, &body, &origin, dialect);
            if let (Ok(flow), true) = (&fetched, is_new) {
                let target = &request.target;
                flow.warnings.iter().for_each(|it| tracing::info!("{target}:{it}"));
            }
            fetched
        }
        Err(error) => Err(DocumentError::Unreachable(error.to_string().into())),
    }
}

fn is_web(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn log_failure(fetch: &DocumentFetch, missing: &DocumentError) {
    let (call, purpose) = (fetch.call, fetch.request.purpose);
    match purpose {
        Purpose::Sound => tracing::info!(%call, "no sound: {missing}"),
        Purpose::Action
        | Purpose::Answer
        | Purpose::Kick
        | Purpose::Redirect
        | Purpose::Transfer => {
            tracing::info!(%call, ?purpose, "no document: {missing}");
        }
    }
}
