//! Guarded HTTP client for every request to a URL that somebody else has written.
//!
//! It is hyper's pooled client on a connector of our own, not `reqwest`: there, an IP literal never
//! meets the resolver, redirects and proxies from the environment have to be switched off, and the
//! connect timeout is one for the whole client, where contract 4.7 has one per URL. Here
//! connections are made in one place ([`HttpNetwork`] below, [`AddressGuard`] before it), and there
//! is nothing to switch off. TLS is rustls on ring with the roots of Mozilla's programme, so that
//! it works in an image without certificates; an operator can add authorities.

mod connect;
mod error;
mod guard;
mod hidden;
mod record;
mod results;
pub mod signature;
mod target;

use std::{error::Error, fmt, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use url::form_urlencoded;
use uuid::Uuid;

use self::error::FetchFailure;
pub use self::{
    connect::{BoxFuture, ByteStream, ConnectError, Connector, HttpNetwork, Internet},
    error::{FailedResponse, FetchError, REDIRECTS_MAX},
    guard::{AddressGuard, RefusedAddress},
    hidden::{HIDE_DEFAULT, HiddenNames},
    results::ResultCounters,
    target::{BadUrl, Budget, Options, Region, RetryOn, TargetUrl, URL_BYTES_MAX},
};
pub use crate::tls::BadCertificates;
use crate::{
    base::{ids::Dialect, network::IpNetwork, traceparent::Traceparent},
    fetch::signature::{FormField, NONCE_DIGITS, Signer},
    flow::RequestMethod,
};

/// Settings of the operator.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Networks that may be reached in addition to public addresses (`fetch.allow`).
    pub allow: Vec<IpNetwork>,
    /// PEM blocks of authorities that are trusted in addition to the public ones.
    pub authorities: Vec<u8>,
    /// Query parameters whose values traces and the log do not show (`log.hide`).
    pub hide: HiddenNames,
}

/// A request to a URL that somebody else has written.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// URL of the request, with its delivery options.
    pub target: Arc<TargetUrl>,
    /// GET has the fields in the query, POST as a form.
    pub method: RequestMethod,
    /// Form fields, in the order of sending.
    pub fields: Vec<FormField>,
    /// Additional headers, such as `traceparent` and `if-none-match`.
    pub headers: HeaderMap,
    /// Selects the user agent that the receiver sees.
    pub dialect: Dialect,
    /// Signs each hop; None for a file, which no receiver validates.
    pub signer: Option<Arc<Signer>>,
    /// Timeouts and retries; [`TargetUrl::budget`] applies the URL's own.
    pub budget: Budget,
    /// A longer response is an error. None: only the status counts, and the body is ignored.
    pub answer_bytes_max: Option<usize>,
}

/// A successful response: its status is 2xx, or 304 if the request had a condition.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status, 200 to 299 or 304.
    pub status: u16,
    /// Value of `content-type`, if it is text.
    pub content_type: Option<String>,
    /// All headers of the response.
    pub headers: HeaderMap,
    /// The body, within the limit of the request; meaningless if the request had none.
    pub body: Bytes,
}

/// Makes requests over pooled connections. Cheap to clone.
#[derive(Clone)]
pub struct FetchClient {
    guard: Arc<AddressGuard>,
    hide: Arc<HiddenNames>,
    results: Arc<ResultCounters>,
    pool: legacy::Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for FetchClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchClient").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl FetchClient {
    /// A client without connections.
    ///
    /// # Errors
    ///
    /// [`BadCertificates`]: the authorities cannot be read.
    pub fn new(settings: Settings, network: Arc<dyn HttpNetwork>) -> Result<Self, BadCertificates> {
        let guard = Arc::new(AddressGuard::new(settings.allow));
        let connector = Connector::new(network, Arc::clone(&guard), &settings.authorities)?;
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self { guard, hide: Arc::new(settings.hide), results: Arc::default(), pool })
    }

    /// Replaces the networks that new connections may reach in addition to public addresses.
    pub fn set_allowed(&self, allow: Vec<IpNetwork>) {
        self.guard.set_allowed(allow);
    }

    /// Checks a URL without resolving its name: only an IP literal can be refused.
    ///
    /// # Errors
    ///
    /// [`RefusedAddress`]: the URL contains an address that may not be reached.
    pub fn check(&self, target: &TargetUrl) -> Result<(), RefusedAddress> {
        match target.address() {
            Some(address) => self.guard.check(address),
            None => Ok(()),
        }
    }

    /// Counters of all requests so far.
    pub fn results(&self) -> &Arc<ResultCounters> {
        &self.results
    }

    /// Makes a request, with the retries of its budget.
    ///
    /// # Errors
    ///
    /// The [`FetchError`] of the last attempt.
    pub async fn fetch(&self, request: &OutgoingRequest) -> Result<Response, FetchError> {
        let fetched = self.fetch_with_retries(request).await;
        self.results.count(false, &fetched);
        fetched
    }

    async fn fetch_with_retries(&self, request: &OutgoingRequest) -> Result<Response, FetchError> {
        let budget = &request.budget;
        let end = Instant::now() + budget.total;
        let mut retries = budget.retries;
        loop {
            let error = match self.attempt(request, end).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let again = Instant::now() + RETRY_PAUSE;
            if retries == 0 || end <= again || !error.is_retried_by(budget.retry_on) {
                return Err(error);
            }
            retries -= 1;
            sleep_until(again).await;
        }
    }

    /// Makes one attempt of a request; the caller decides about retries.
    ///
    /// # Errors
    ///
    /// [`FetchError`]: there was no successful response.
    pub async fn fetch_once(&self, request: &OutgoingRequest) -> Result<Response, FetchError> {
        let fetched = self.attempt(request, Instant::now() + request.budget.total).await;
        self.results.count(true, &fetched);
        fetched
    }

    async fn attempt(
        &self,
        request: &OutgoingRequest,
        end: Instant,
    ) -> Result<Response, FetchError> {
        match timeout_at(end, self.follow(request)).await {
            Ok(result) => result,
            Err(_) => {
                Err(FetchError::new(&request.target, FetchFailure::LateTotal(request.budget.total)))
            }
        }
    }

    /// Follows redirects. A webhook is worthless without its fields, so a POST stays a POST, except
    /// for 303. The fields of a GET are in the URL that redirects, which is trusted to pass them
    /// on.
    async fn follow(&self, request: &OutgoingRequest) -> Result<Response, FetchError> {
        let mut target = TargetUrl::clone(&request.target);
        let mut method = request.method;
        let mut fields = &*request.fields;
        if method == RequestMethod::Get {
            target = target.with_query(fields);
            fields = &[];
        }
        for _ in 0..=REDIRECTS_MAX {
            let fail = |failure| FetchError::new(&target, failure);
            let response = self.hop(request, &target, method, fields).await.map_err(fail)?;
            let Some(location) = location(&response) else {
                return check_response(request, &target, response);
            };

            if response.status == StatusCode::SEE_OTHER {
                method = RequestMethod::Get;
                fields = &[];
            }
            target =
                target.redirected(&location).map_err(|it| fail(FetchFailure::BadRedirect(it)))?;
        }
        Err(FetchError::new(&request.target, FetchFailure::TooManyRedirects))
    }

    /// Makes one request and reads one response.
    async fn hop(
        &self,
        request: &OutgoingRequest,
        target: &TargetUrl,
        method: RequestMethod,
        fields: &[FormField],
    ) -> Result<RawResponse, FetchFailure> {
        let mut outgoing = outgoing(request, target, method, fields)?;
        let mut connection = capture_connection(&mut outgoing);
        let budget = &request.budget;
        let mut answering = pin!(self.pool.request(outgoing));

        let connected = async { drop(connection.wait_for_connection_metadata().await) };
        let early = tokio::select! {
            biased;
            early = &mut answering => Some(early),
            () = connected => None,
            () = sleep(budget.connect) => return Err(FetchFailure::LateConnect(budget.connect)),
        };
        let rest = async {
            let response = match early {
                Some(early) => early,
                None => answering.await,
            };
            let response = response.map_err(|it| failure_of(&it))?;
            Ok(read(response, request.answer_bytes_max).await)
        };
        match timeout(budget.read, rest).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchFailure::LateAnswer(budget.read)),
        }
    }
}

/// A response of any status.
struct RawResponse {
    status: StatusCode,
    headers: HeaderMap,
    /// What was read of it.
    body: Bytes,
    /// Why the body is not complete, if it should be.
    failure: Option<FetchFailure>,
}

/// Maximum size of a response's head; no telephony server needs more.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes that are read of a body that is ignored.
const UNWANTED_BYTES_MAX: usize = 4 * 1024;

/// Common servers close a connection after 5 s of silence. A request at that moment would fail, so
/// the pool drops the connection earlier.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// As many as there are concurrent requests to one receiver.
const IDLE_PER_HOST_MAX: usize = 64;

/// Short, since a caller waits; but a receiver that has just closed its port may be restarting.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

fn outgoing(
    request: &OutgoingRequest,
    target: &TargetUrl,
    method: RequestMethod,
    fields: &[FormField],
) -> Result<http::Request<Full<Bytes>>, FetchFailure> {
    let url = target.url().as_str();
    let unsendable =
        |error: http::Error| FetchFailure::Unconnected(format!("it cannot be sent ({error})"));
    let (verb, body) = match method {
        RequestMethod::Get => (http::Method::GET, Bytes::new()),
        RequestMethod::Post => (http::Method::POST, form(fields).into()),
    };
    let outgoing = http::Request::builder().method(verb).uri(url).body(Full::new(body));
    let mut outgoing = outgoing.map_err(unsendable)?;

    let agent = match request.dialect {
        Dialect::Plivo => concat!("conflow/", env!("CARGO_PKG_VERSION")),
        Dialect::Vobiz => "Vobiz",
    };
    let headers = outgoing.headers_mut();
    headers.extend(request.headers.clone());
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if method == RequestMethod::Post {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    }
    let signatures = request.signer.as_ref();
    let signatures = signatures.map(|it| it.sign(method, url, fields, &nonce()));
    for (name, value) in signatures.unwrap_or_default() {
        let name = HeaderName::try_from(name).expect("the vendors' header names are good ones");
        headers.insert(name, HeaderValue::try_from(value).expect("base64 is printable"));
    }
    Ok(outgoing)
}

/// The `traceparent` header with a new span; empty without a trace.
pub fn trace_headers(trace: Option<Traceparent>) -> HeaderMap {
    let header = trace.map(|it| it.header(Uuid::new_v4()));
    let value = header.map(|it| HeaderValue::try_from(it).expect("digits and hyphens"));
    value.map(|it| (HeaderName::from_static("traceparent"), it)).into_iter().collect()
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(fields: &[FormField]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Random decimal digits, which never repeat.
fn nonce() -> String {
    let random = Uuid::new_v4().as_u128() % 10_u128.pow(NONCE_DIGITS as u32);
    format!("{random:0width$}", width = NONCE_DIGITS)
}

/// Reads the whole response, unless it is too long. If only the status counts, a little of the body
/// is read anyway: the connection can then be reused.
async fn read(
    response: http::Response<hyper::body::Incoming>,
    bytes_max: Option<usize>,
) -> RawResponse {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let wanted = bytes_max.filter(|_| head.status.is_success());
    let bytes_max = wanted.unwrap_or(UNWANTED_BYTES_MAX);
    let mut failure = None;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(_) if wanted.is_none() => break,
            Err(error) => {
                failure = Some(FetchFailure::Broken(innermost(&error)));
                break;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes_max < bytes.len() + data.len() {
            failure = wanted.map(FetchFailure::TooLarge);
            bytes.extend_from_slice(&data[..bytes_max - bytes.len()]);
            break;
        }
        bytes.extend_from_slice(&data);
    }
    RawResponse { status: head.status, headers: head.headers, body: bytes.into(), failure }
}

/// Target of a redirect; None for other responses.
fn location(answer: &RawResponse) -> Option<String> {
    let is_redirect = [301, 302, 303, 307, 308].contains(&answer.status.as_u16());
    let location = answer.headers.get(header::LOCATION).filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Turns the last response into a result.
fn check_response(
    request: &OutgoingRequest,
    target: &TargetUrl,
    answer: RawResponse,
) -> Result<Response, FetchError> {
    let RawResponse { status, headers, body, failure } = answer;
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|it| it.to_str().ok()).map(str::to_owned);
    let has_condition = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        .iter()
        .any(|it| request.headers.contains_key(it));
    let is_good = status.is_success() || status == StatusCode::NOT_MODIFIED && has_condition;
    let is_plain = headers.get(header::CONTENT_ENCODING).is_none_or(|it| it == "identity");
    let failure = match failure {
        _ if !is_good => Some(FetchFailure::Status(status)),
        None if !is_plain && request.answer_bytes_max.is_some() => Some(FetchFailure::Encoded),
        failure => failure,
    };
    if let Some(failure) = failure {
        let received = FailedResponse { status: status.as_u16(), content_type, body };
        return Err(FetchError::new(target, failure).after(received));
    }

    Ok(Response { status: status.as_u16(), content_type, headers, body })
}

/// The failure that caused the pool's error.
fn failure_of(error: &legacy::Error) -> FetchFailure {
    let mut source = error.source();
    while let Some(it) = source {
        match it.downcast_ref::<ConnectError>() {
            Some(ConnectError::Guard(refused)) => return FetchFailure::Refused(*refused),
            Some(other) => return FetchFailure::Unconnected(other.to_string()),
            None => source = it.source(),
        }
    }
    match error.is_connect() {
        true => FetchFailure::Unconnected(innermost(error)),
        false => FetchFailure::Broken(innermost(error)),
    }
}

fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
