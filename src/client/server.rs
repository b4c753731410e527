//! API client: asks a running server over HTTP.

use std::{error::Error, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Empty, Limited};
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
/// The user chose the URL, so that it may lead to any address.
const ANYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// One account of one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerClient {
    pool: legacy::Client<Connector, Empty<Bytes>>,
    /// Without a slash at its end.
    base: Arc<str>,
    pub(crate) account: AccountId,
    token: HeaderValue,
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
        let fetched = timeout(ANSWER_WAIT_MAX, async {
            let response = self.send(method, path, None).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            match status {
                StatusCode::NOT_FOUND => Ok(None),
                status => {
                    check_status(status, &body)?;
                    let body = serde_json::from_slice(&body);
                    Ok(Some(body.context("an answer cannot be understood")?))
                }
            }
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
        let sent = timeout(ANSWER_WAIT_MAX, self.send(Method::GET, &path, last)).await;
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
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::USER_AGENT, concat!("conflow-watch/", env!("CARGO_PKG_VERSION")))
            .header("x-auth-id", self.account.as_str())
            .header("x-auth-token", self.token.clone());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Empty::new())?;
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
