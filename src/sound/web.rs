//! Web sounds: downloads sound files with the guarded HTTP client.
//!
//! A file is fresh for the `max-age` of its `Cache-Control`, between [`FRESH_MIN`] and
//! [`FRESH_MAX`]; for [`FRESH_MIN`] with `no-cache` or `no-store`; and for [`FRESH_USUAL`] without
//! instructions. Then it is revalidated by `ETag` or `Last-Modified`, so that an unchanged file is
//! not transferred again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    download::{Download, DownloadRequest, Downloaded, OnDownload, Validity},
    files::FILE_BYTES_MAX,
};
use crate::{
    audio::clip::SoundError,
    base::ids::{AccountId, Dialect},
    fetch::{Budget, FetchClient, OutgoingRequest, Response, RetryOn, TargetUrl},
    flow::RequestMethod,
    trace::FetchRecord,
};

/// What sound files are requested for, in traces and the log.
pub const PURPOSE: &str = "play";

/// Downloads web sounds for accounts.
pub struct WebSounds {
    client: FetchClient,
    runtime: Handle,
    /// Limits the concurrent downloads of each account.
    in_flight: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// Minimum freshness: a preloaded sound is still fresh when it is played, and a hundred callers
/// who join at once cause one request.
pub const FRESH_MIN: Duration = Duration::from_secs(10);

/// Freshness without instructions: changes of a file are heard soon.
pub const FRESH_USUAL: Duration = Duration::from_secs(5 * 60);

/// Maximum freshness: servers state a year without meaning it.
pub const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Concurrent downloads per account, so that large files of one leave memory for others.
const IN_FLIGHT_MAX: usize = 8;

/// Fixed limits (contract 3.6), whatever the URL's fragment says. A caller who hears nothing for
/// the total time has hung up.
const BUDGET: Budget = Budget {
    connect: Duration::from_secs(2),
    read: Duration::from_secs(120),
    total: Duration::from_secs(125),
    retries: 1,
    retry_on: RetryOn::ALL,
};

impl WebSounds {
    /// Downloads on the current runtime.
    ///
    /// # Panics
    ///
    /// Called outside of a runtime.
    pub fn new(client: FetchClient) -> Self {
        Self { client, runtime: Handle::current(), in_flight: Mutex::default() }
    }

    fn in_flight_limit(&self, account: &AccountId) -> Arc<Semaphore> {
        let mut in_flight = self.in_flight.lock();
        let limit = in_flight.entry(account.clone());
        limit.or_insert_with(|| Arc::new(Semaphore::new(IN_FLIGHT_MAX))).clone()
    }
}

impl Download for WebSounds {
    fn begin(&self, ask: DownloadRequest, done: OnDownload) {
        let (client, limit) = (self.client.clone(), self.in_flight_limit(&ask.account));
        self.runtime.spawn(async move {
            let permit = timeout(BUDGET.total, limit.acquire()).await;
            let (downloaded, record) = match &permit {
                Ok(_) => get(&client, &ask).await,
                Err(_) => unsent(
                    &client,
                    &ask,
                    SoundError::temporary("too many sounds are downloading: try again later"),
                ),
            };
            done(downloaded, record);
        });
    }
}

/// The result of a request that was not made.
fn unsent(
    client: &FetchClient,
    ask: &DownloadRequest,
    error: SoundError,
) -> (Result<Downloaded, SoundError>, FetchRecord) {
    let (url, why) = (client.shown(&ask.url), error.to_string());
    let record =
        FetchRecord { purpose: PURPOSE, url, error: Some(why.into()), ..FetchRecord::default() };
    (Err(error), record)
}

async fn get(
    client: &FetchClient,
    ask: &DownloadRequest,
) -> (Result<Downloaded, SoundError>, FetchRecord) {
    let target = match TargetUrl::parse(&ask.url) {
        Ok(target) => target,
        Err(error) => return unsent(client, ask, SoundError::permanent(error.to_string())),
    };
    let request = OutgoingRequest {
        target: Arc::new(target),
        method: RequestMethod::Get,
        fields: Vec::new(),
        headers: ask.known.as_ref().map(conditions).unwrap_or_default(),
        dialect: Dialect::Plivo,
        signer: None,
        budget: BUDGET,
        answer_bytes_max: Some(usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX)),
    };
    let (fetched, record) = client.fetch_recorded(PURPOSE, &ask.url, &request).await;
    let downloaded = match fetched {
        Ok(answer) => Ok(downloaded(answer, ask.known.as_ref(), Instant::now())),
        Err(error) if error.is_temporary() => Err(SoundError::temporary(error.to_string())),
        Err(error) => Err(SoundError::permanent(error.to_string())),
    };
    (downloaded, record)
}

fn downloaded(answer: Response, known: Option<&Validity>, now: Instant) -> Downloaded {
    let Response { status, headers, body, .. } = answer;
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok()).map(Arc::from);
    let (etag, modified) = (text(header::ETAG), text(header::LAST_MODIFIED));
    let fresh_until = now + freshness(&headers);
    match known.filter(|_| status == 304) {
        Some(known) => Downloaded::Unchanged(Validity {
            fresh_until,
            etag: etag.or_else(|| known.etag.clone()),
            modified: modified.or_else(|| known.modified.clone()),
        }),
        None => {
            Downloaded::File { bytes: body, validity: Validity { fresh_until, etag, modified } }
        }
    }
}

/// Headers of a conditional request.
fn conditions(known: &Validity) -> HeaderMap {
    let conditions =
        [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.modified)];
    let good = conditions
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value.as_deref()?).ok()?)));
    good.collect()
}

/// How long a response is fresh from now on.
fn freshness(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    let words: Vec<String> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    if words.iter().any(|it| it == "no-cache" || it == "no-store") {
        return FRESH_MIN;
    }
    let max_age = words.iter().find_map(|it| it.strip_prefix("max-age="));
    let Some(max_age) = max_age.and_then(|it| it.trim_matches('"').parse().ok()) else {
        return FRESH_USUAL;
    };
    let age = headers.get(header::AGE).and_then(|it| it.to_str().ok()?.parse().ok());
    let left = Duration::from_secs(u64::saturating_sub(max_age, age.unwrap_or_default()));
    left.clamp(FRESH_MIN, FRESH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_is_good_for_as_long_as_its_server_says_within_bounds() {
        let check = |lines: &[&str], age: Option<&str>, expected: Duration| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
            }
            age.map(|it| headers.insert(header::AGE, HeaderValue::from_str(it).unwrap()));
            assert_eq!(freshness(&headers), expected, "{lines:?} {age:?}");
        };
        let seconds = Duration::from_secs;
        check(&[], None, FRESH_USUAL);
        check(&["public"], None, FRESH_USUAL);
        check(&["public, Max-Age=60"], None, seconds(60));
        check(&["max-age=\"60\""], None, seconds(60));
        check(&["public", "max-age=60"], Some("20"), seconds(40));
        check(&["max-age=60"], Some("90"), FRESH_MIN);
        check(&["max-age=60"], Some("soon"), seconds(60));
        check(&["max-age=0"], None, FRESH_MIN);
        check(&["max-age=31536000"], None, FRESH_MAX);
        check(&["max-age=x"], None, FRESH_USUAL);
        check(&["max-age=-1"], None, FRESH_USUAL);
        check(&["no-cache, max-age=60"], None, FRESH_MIN);
        check(&["max-age=60", "No-Store"], None, FRESH_MIN);
    }
}
