//! API client: asks a running server over HTTP.

use std::{error::Error, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::{
    base::{ids::AccountId, network::IpNetwork},
    fetch::{AddressGuard, Connector, Internet},
};

/// A server that takes longer is treated as failed.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// A room of 10,000 members takes some 2.5 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The server sends something every 15 seconds; a longer silence means a broken connection.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(40);
/// The header with what was ignored.
const WARNING: &str = "conflow-warning";
const NOT_UNDERSTOOD: &str = "an answer cannot be understood";
/// The user chose the URL, so that it may lead to any address.
const ANYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// One account of one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerClient {
    pool: legacy::Client<Connector, Full<Bytes>>,
    /// Without a slash at its end.
    base: Arc<str>,
    pub(crate) account: AccountId,
    token: HeaderValue,
}

/// What a server says to a request that it has carried out.
pub(crate) struct ServerReply {
    /// What was ignored, and why.
    pub(crate) warnings: Vec<String>,
    /// The JSON of the body; null if it is empty.
    pub(crate) body: Value,
}

/// The server denies access: a retry would not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AccessDenied(String);

impl ServerClient {
    /// `authorities` are PEM blocks of certificates that are trusted besides the public ones.
    pub(crate) fn new(
        url: &str,
        account: AccountId,
        token: &str,
        authorities: &[u8],
    ) -> Result<Self> {
        let wanted = "give one such as http://127.0.0.1:8080";
        let parsed = Url::parse(url).with_context(|| format!("--url {url}: {wanted}"))?;
        if !["http", "https"].contains(&parsed.scheme()) || !parsed.has_host() {
            bail!("--url {url}: {wanted}");
        }
        let mut token = HeaderValue::from_str(token).ok().context("the token is no token")?;
        token.set_sensitive(true);
        let allow = ANYWHERE.iter().map(|it| it.parse::<IpNetwork>().expect("a network")).collect();
        let connector =
            Connector::new(Arc::new(Internet), Arc::new(AddressGuard::new(allow)), authorities)?;
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        let base = parsed.as_str().trim_end_matches('/').into();
        Ok(Self { pool, base, account, token })
    }

    /// The JSON that a path has; None if there is nothing at it.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        self.ask(Method::GET, path).await
    }

    /// Posts an empty body. None if there is nothing at the path.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        self.ask(Method::POST, path).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<Option<T>> {
        let (status, _, body) = self.exchange(method, path, None).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                check_status(status, &body)?;
                Ok(Some(serde_json::from_slice(&body).context(NOT_UNDERSTOOD)?))
            }
        }
    }

    /// Sends a request that may have a body. Whatever is not there is an error here.
    pub(crate) async fn act(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ServerReply> {
        let (status, headers, bytes) = self.exchange(method, path, body).await?;
        check_status(status, &bytes)?;
        let warnings = headers.get_all(WARNING).iter();
        let warnings = warnings.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).context(NOT_UNDERSTOOD)?,
        };
        Ok(ServerReply { warnings: warnings.collect(), body })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let fetched = timeout(ANSWER_WAIT_MAX, async {
            let response = self.send(method, path, None, body).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            Ok((head.status, head.headers, body))
        });
        fetched
            .await
            .with_context(|| format!("no answer within {} s", ANSWER_WAIT_MAX.as_secs()))?
    }

    /// The stream of events, from now on or behind this one.
    pub(crate) async fn events(&self, last: Option<&str>) -> Result<Incoming> {
        self.events_of("", last).await
    }

    /// The stream of events for a query, or behind this one.
    pub(crate) async fn events_of(&self, query: &str, last: Option<&str>) -> Result<Incoming> {
        let path = format!("/api/v1/Account/{}/Events/{query}", self.account);
        let sent = timeout(ANSWER_WAIT_MAX, self.send(Method::GET, &path, last, None)).await;
        let response = sent.context("no answer")??;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = timeout(ANSWER_WAIT_MAX, body).await.context("no answer")?;
        let message = body.map(Collected::to_bytes).unwrap_or_default();
        check_status(status, &message)?;
        bail!("no events: {status}")
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        last: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::USER_AGENT, concat!("conflow/", env!("CARGO_PKG_VERSION")))
            .header("x-auth-id", self.account.as_str())
            .header("x-auth-token", self.token.clone());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |it| it.to_string().into());
        let request = request.body(Full::new(body))?;
        self.pool.request(request).await.map_err(|error| anyhow::anyhow!(root_cause(&error)))
    }
}

fn check_status(status: StatusCode, body: &[u8]) -> Result<()> {
    let message = || error_of(body).unwrap_or_else(|| status.to_string());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(AccessDenied(format!(
            "the server denies access to this account ({}): see --account, --token-file and \
            CONFLOW_AUTH_TOKEN",
            message()
        ))
        .into()),
        status if status.is_success() => Ok(()),
        _ => bail!(message()),
    }
}

/// The innermost error: the outer ones only say that there is one.
fn root_cause(error: &legacy::Error) -> String {
    let mut error: &dyn Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The text of an answer that says what is wrong, in either vendor's form.
fn error_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = body.get("error")?.as_str()?;
    Some(text.to_owned())
}
