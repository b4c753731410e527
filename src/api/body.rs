//! Request bodies: size and time limits, and JSON parsing with readable errors.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header::CONTENT_TYPE},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, error::Category};
use tokio::time::timeout;

use super::failure::Failure;

/// The largest useful body is a text of 3,000 characters. With every character escaped it takes
/// somewhat more than half of this.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Enough for the largest body over a modem.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Reads a body to its end, so that the connection can be used for the next request.
pub(super) async fn read(body: Body) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if u64::try_from(BODY_BYTES_MAX).is_ok_and(|max| max < body.size_hint().lower()) {
        return Err(Failure::TooLarge { max: BODY_BYTES_MAX });
    }
    match timeout(BODY_WAIT_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Failure::TooLarge { max: BODY_BYTES_MAX })
        }
        Ok(Err(_)) => Err(Failure::Bad("the body broke off".to_owned())),
        Err(_) => Err(Failure::TooSlow { max: BODY_WAIT_MAX }),
    }
}

/// The parameters in a body that need not have any; None if it is not a JSON object.
pub(super) fn object(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    is_json(headers).then(|| serde_json::from_slice(body).ok())?
}

/// Parses the parameters in a body. An empty body has none, whatever its type.
pub(super) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Failure> {
    let body = body.trim_ascii();
    if !body.is_empty() && !is_json(headers) {
        return Err(Failure::NotJson);
    }
    let text = if body.is_empty() { b"{}" } else { body };
    // Serde would accept an array of values for a struct.
    if !text.starts_with(b"{") {
        return Err(Failure::Bad("the body must be a JSON object: {…}".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.into_inner())
    })?;
    json.end().map_err(|error| explain(".", &error))?;
    Ok(parsed)
}

fn explain(path: &str, error: &serde_json::Error) -> Failure {
    Failure::Bad(match error.classify() {
        Category::Data if path == "." => format!("the body: {error}"),
        Category::Data => format!("{path}: {error}"),
        Category::Eof | Category::Io | Category::Syntax => format!("the body is no JSON: {error}"),
    })
}

/// A body without a `Content-Type` counts as JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim();
    media_type.eq_ignore_ascii_case("application/json") || {
        let media_type = media_type.to_ascii_lowercase();
        media_type.starts_with("application/") && media_type.ends_with("+json")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_json_body_is_known_by_its_type_or_by_none() {
        let check = |media_type: Option<&'static str>, expected| {
            let mut headers = HeaderMap::new();
            media_type.map(|it| headers.insert(CONTENT_TYPE, HeaderValue::from_static(it)));
            assert_eq!(is_json(&headers), expected, "{media_type:?}");
        };
        check(None, true);
        check(Some("application/json"), true);
        check(Some("Application/JSON; charset=utf-8"), true);
        check(Some("application/problem+json"), true);
        check(Some("application/x-www-form-urlencoded"), false);
        check(Some("text/plain"), false);
        check(Some("text/json"), false);
        check(Some(""), false);
    }
}
