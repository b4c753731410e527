//! Web documents: fetches flows over HTTP, signed by the account, and local ones from the flows
//! folder.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    DocumentFetch, DocumentRecipient, DocumentStore, LocalFlow, OnDocument,
    cache::{DocumentCache, HashedText},
    fields, unsent,
};
use crate::{
    accounts::Accounts,
    fetch::{self, Budget, FetchClient, FetchError, OutgoingRequest, TargetUrl},
    flow::{
        DocumentError, Fetched, Flow, FlowOrigin, Purpose, SourceDocument, encoding::to_utf8,
        is_audio_file, is_audio_name,
    },
    trace::{FetchRecord, excerpt},
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
            headers: headers(fetch),
            dialect,
            signer: self.accounts.signer(&fetch.account, dialect),
            answer_bytes_max: wants_answer.then_some(DOCUMENT_BYTES_MAX),
        })
    }
}

/// The trace, and which attempt it is if there was one before.
fn headers(fetch: &DocumentFetch) -> HeaderMap {
    let mut headers = fetch::trace_headers(Some(fetch.party.session.trace(fetch.call)));
    if 1 < fetch.attempt {
        let attempt = HeaderName::from_static("x-conflow-attempt");
        headers.insert(attempt, HeaderValue::from(u16::from(fetch.attempt)));
    }
    headers
}

impl DocumentStore for WebDocuments {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        let client = self.client.clone();
        if !is_web(&fetch.request.url) {
            let done: OnDocument = Box::new(move |fetch, fetched, record| {
                let shown = |it: Arc<FetchRecord>| {
                    let url = client.shown(&it.url);
                    Arc::new(FetchRecord { url, ..Arc::unwrap_or_clone(it) })
                };
                done(fetch, fetched, record.map(shown));
            });
            return self.folder.fetch(fetch, done);
        }
        let request = match self.request(&fetch) {
            Ok(request) => request,
            Err(missing) => {
                let url = client.shown(&fetch.request.url);
                let record = unsent(fetch.request.purpose.text(), url, &missing);
                return done(fetch, Err(missing), Some(record));
            }
        };
        let documents = self.documents.clone();
        tokio::spawn(async move {
            let (fetched, record) = read(&client, &documents, &fetch, &request).await;
            done(fetch, fetched, Some(Arc::new(record)));
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

/// Makes the request, and reads the body as a document if its status is good (contract 3.14).
async fn read(
    client: &FetchClient,
    documents: &DocumentCache<HashedText>,
    fetch: &DocumentFetch,
    request: &OutgoingRequest,
) -> (Fetched, FetchRecord) {
    let wanted = &fetch.request;
    let purpose = wanted.purpose.text();
    let is_sound = wanted.purpose == Purpose::Sound;
    let playing = || Ok(Arc::new(Flow::playing(&wanted.url, request.dialect)));
    let (response, mut record) = client.fetch_recorded(purpose, &wanted.url, request).await;
    let fetched = match response {
        // Nobody reads it.
        Ok(_) if request.answer_bytes_max.is_none() => Err(DocumentError::Unreachable("".into())),
        Ok(response) if is_sound && is_audio(response.content_type.as_deref(), &response.body) => {
            playing()
        }
        Ok(response) => {
            let charset = response.content_type.as_deref().and_then(charset);
            let body = to_utf8(response.body, charset);
            let origin = FlowOrigin::Url(request.target.to_string().into());
            let content = HashedText::from(body.clone());
            let (fetched, is_new) = documents.read(content, &body, &origin, request.dialect);
            if let (Ok(flow), true, false) = (&fetched, is_new, wanted.is_private) {
                let target = &request.target;
                flow.warnings.iter().for_each(|it| tracing::info!("{target}:{it}"));
            }
            if let Err(invalid) = &fetched {
                record.error = Some(invalid.to_string().into());
                record.excerpt = excerpt(&body);
            }
            fetched
        }
        Err(error) if is_sound && is_sound_anyway(&error, &wanted.url) => {
            (record.error, record.excerpt) = (None, None);
            playing()
        }
        Err(error) => Err(DocumentError::Unreachable(error.to_string().into())),
    };
    if !wanted.is_private {
        return (fetched, record);
    }
    // The document may repeat what the caller typed.
    record.excerpt = None;
    if let Err(DocumentError::Invalid(invalid)) = &fetched {
        let at = invalid.at;
        let hidden = format!("{at}: the document is invalid; log=\"false\" hides why");
        record.error = Some(hidden.into());
    }
    (fetched.map(hidden), record)
}

/// The same flow; traces show nothing of its text.
fn hidden(flow: Arc<Flow>) -> Arc<Flow> {
    let text = Arc::new(flow.source.text.hidden());
    let source = SourceDocument { text, origin: flow.source.origin.clone() };
    Arc::new(Flow { source, ..(*flow).clone() })
}

/// Whether a response is a sound file instead of a document: by its `Content-Type`, else by its first
/// bytes.
fn is_audio(content_type: Option<&str>, body: &[u8]) -> bool {
    let is_markup = body.trim_ascii_start().starts_with(b"<");
    let says_so =
        content_type.is_some_and(|it| it.trim_start().to_ascii_lowercase().starts_with("audio/"));
    !is_markup && (says_so || is_audio_file(body))
}

/// Whether an error is that of a sound file: it is longer than a document, or its server takes no
/// POST, as servers of files do.
fn is_sound_anyway(error: &FetchError, url: &str) -> bool {
    let Some(received) = error.received() else { return false };
    match received.status {
        200..=299 => is_audio(received.content_type.as_deref(), &received.body),
        status => [403, 405, 501].contains(&status) && is_audio_name(url),
    }
}

/// The parameter `charset` of a `Content-Type`.
fn charset(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|it| it.split_once('='));
    let mut found = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    found.next().map(|(_, value)| value.trim().trim_matches('"'))
}

fn is_web(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}
