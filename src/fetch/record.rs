//! Records of requests: what traces and the log show of a request, without secrets.

use std::sync::Arc;

use tokio::time::Instant;

use super::{FetchClient, FetchError, OutgoingRequest, Response};
use crate::trace::{FetchRecord, excerpt};

impl FetchClient {
    /// A URL for traces and the log; see [`super::HiddenNames::shown`].
    pub fn shown(&self, url: &str) -> Arc<str> {
        self.hide.shown(url).into()
    }

    /// As [`FetchClient::fetch`], with the record of the request. `url` is the author's text.
    ///
    /// # Errors
    ///
    /// As [`FetchClient::fetch`]; the record has the same error.
    pub async fn fetch_recorded(
        &self,
        purpose: &'static str,
        url: &str,
        request: &OutgoingRequest,
    ) -> (Result<Response, FetchError>, FetchRecord) {
        let begun = Instant::now();
        let fetched = self.fetch(request).await;
        let ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        let mut record = FetchRecord {
            purpose,
            method: Some(request.method.text()),
            url: self.shown(url),
            ms,
            ..FetchRecord::default()
        };
        match &fetched {
            Ok(response) => {
                record.status = Some(response.status);
                record.content_type = response.content_type.as_deref().map(Arc::from);
                record.bytes = Some(response.body.len());
            }
            Err(error) => {
                record.error = Some(error.reason(&request.target).into());
                if let Some(received) = error.received() {
                    record.status = Some(received.status);
                    record.content_type = received.content_type.as_deref().map(Arc::from);
                    record.bytes = Some(received.body.len());
                    record.excerpt = excerpt(&received.body);
                }
            }
        }
        (fetched, record)
    }
}
