//! Request bodies: size and time limits, and their parameters as JSON, whatever form they came in.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use futures_util::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, error::Category};
use tokio::time::timeout;
use url::form_urlencoded;

use super::failure::Failure;

/// The largest useful body is a text of 3,000 characters. With every character escaped it takes
/// somewhat more than half of this.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Enough for the largest body over a modem.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Reads a body to its end, so that the connection can be used for the next request.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if u64::try_from(BODY_BYTES_MAX).is_ok_and(|max| max < body.size_hint().lower()) {
        return Err(Failure::TooLarge { max: BODY_BYTES_MAX });
    }
    match timeout(BODY_WAIT_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => as_it_is(headers, body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Failure::TooLarge { max: BODY_BYTES_MAX })
        }
        Ok(Err(_)) => Err(Failure::Bad("the body broke off".to_owned())),
        Err(_) => Err(Failure::TooSlow { max: BODY_WAIT_MAX }),
    }
}

/// Refuses a body with a content coding such as gzip (RFC 9110, 8.4): none is decoded.
fn as_it_is(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Failure> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let codings = codings.flat_map(|it| it.to_str().unwrap_or("unknown").split(','));
    let coded = codings.map(str::trim).find(|it| !matches!(&*it.to_lowercase(), "" | "identity"));
    match coded.filter(|_| !body.is_empty()) {
        Some(coding) => Err(Failure::Coded(coding.escape_default().take(40).collect())),
        None => Ok(body),
    }
}

/// The media type of a body.
#[derive(Debug, Eq, PartialEq)]
enum BodyType {
    /// JSON, or none: no body, or a client that says nothing.
    Json,
    Multipart,
    Urlencoded,
    Other,
}

impl BodyType {
    fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Json };
        // Nearly all are, and need no copy.
        if value == "application/json" {
            return Self::Json;
        }
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        match value.split(';').next().unwrap_or_default().trim() {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Urlencoded,
            "multipart/form-data" => Self::Multipart,
            other if other.starts_with("application/") && other.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// The body as handlers parse it: a form becomes a JSON object of texts, and other bodies stay.
///
/// A name that comes twice, or ends in `[]`, becomes an array. JSON that is sent as a form, as curl
/// does unless told otherwise, is JSON: a form's first name does not begin with a brace.
pub(super) async fn without_form(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Failure> {
    let pairs = match BodyType::of(headers) {
        _ if body.is_empty() => return Ok(body),
        BodyType::Json | BodyType::Other => return Ok(body),
        BodyType::Urlencoded if body.trim_ascii_start().starts_with(b"{") => return Ok(body),
        BodyType::Urlencoded => {
            form_urlencoded::parse(&body).map(|(name, value)| (name.into(), value.into())).collect()
        }
        BodyType::Multipart => multipart(headers, body).await?,
    };
    serde_json::to_vec(&form(pairs)?).map(Bytes::from).map_err(|_| Failure::Internal)
}

async fn multipart(headers: &HeaderMap, body: Bytes) -> Result<Vec<(String, String)>, Failure> {
    let bad = |error: multer::Error| Failure::Bad(format!("the body is no form: {error}"));
    let media_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let boundary = multer::parse_boundary(media_type.unwrap_or_default()).map_err(bad)?;
    let body = stream::once(ready(Ok::<_, Infallible>(body)));
    let mut form = multer::Multipart::new(body, boundary);
    let mut pairs = Vec::new();
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() {
            return Err(Failure::Bad(format!("{name}: give a text; files are not taken")));
        }
        pairs.push((name, field.text().await.map_err(bad)?));
    }
    Ok(pairs)
}

fn form(pairs: Vec<(String, String)>) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for (name, text) in pairs {
        if name.contains('\u{FFFD}') || text.contains('\u{FFFD}') {
            return Err(Failure::Bad(format!("{name}: not UTF-8")));
        }
        let (name, is_list) = match name.strip_suffix("[]") {
            Some(list) => (list.to_owned(), true),
            None => (name, false),
        };
        let text = Value::String(text);
        let Some(slot) = fields.get_mut(&name) else {
            fields.insert(name, if is_list { vec![text].into() } else { text });
            continue;
        };
        match slot.as_array_mut() {
            Some(items) => items.push(text),
            None => *slot = vec![slot.take(), text].into(),
        }
    }
    Ok(fields)
}

/// The parameters in a body that need not have any; None if it is not a JSON object.
pub(super) fn object(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    has_parameters(headers).then(|| serde_json::from_slice(body).ok())?
}

/// Parses the parameters in a body. An empty body has none, whatever its type.
pub(super) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Failure> {
    let body = body.trim_ascii();
    if !body.is_empty() && !has_parameters(headers) {
        return Err(Failure::MediaType);
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

fn has_parameters(headers: &HeaderMap) -> bool {
    BodyType::of(headers) != BodyType::Other
}

fn explain(path: &str, error: &serde_json::Error) -> Failure {
    Failure::Bad(match error.classify() {
        Category::Data if path == "." => format!("the body: {error}"),
        Category::Data => format!("{path}: {error}"),
        Category::Eof | Category::Io | Category::Syntax => format!("the body is no JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn typed(media_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(media_type).unwrap())])
    }

    #[test]
    fn the_type_of_a_body_is_known_in_any_case_and_with_parameters() {
        let check = |media_type, expected| {
            assert_eq!(BodyType::of(&typed(media_type)), expected, "{media_type}");
        };
        assert_eq!(BodyType::of(&HeaderMap::new()), BodyType::Json);
        check("application/json", BodyType::Json);
        check("Application/JSON; charset=utf-8", BodyType::Json);
        check("application/problem+json", BodyType::Json);
        check("application/x-www-form-urlencoded", BodyType::Urlencoded);
        check("Application/X-WWW-Form-URLEncoded ;charset=UTF-8", BodyType::Urlencoded);
        check("Multipart/Form-Data; boundary=b", BodyType::Multipart);
        check("multipart/mixed; boundary=b", BodyType::Other);
        check("text/plain", BodyType::Other);
        check("text/json", BodyType::Other);
        check("", BodyType::Other);
    }

    #[tokio::test]
    async fn a_form_becomes_an_object_of_texts() {
        async fn check(media_type: &str, body: &str, expected: Option<&str>) {
            let read = without_form(&typed(media_type), body.to_owned().into()).await;
            let read = read.ok().map(|it| String::from_utf8(it.to_vec()).unwrap());
            assert_eq!(read.as_deref(), expected, "{media_type} {body}");
        }
        let urlencoded = "application/x-www-form-urlencoded; charset=utf-8";
        check(
            urlencoded,
            "a=1&b=x+y%26%C3%BC&c=&d",
            Some(r#"{"a":"1","b":"x y&ü","c":"","d":""}"#),
        )
        .await;
        check(
            urlencoded,
            "a=1&a=2&a=3&b[]=1&c%5B%5D=1&c[]=2",
            Some(r#"{"a":["1","2","3"],"b":["1"],"c":["1","2"]}"#),
        )
        .await;
        check(urlencoded, "a=%FF", None).await;
        check(urlencoded, "", Some("")).await;
        check(urlencoded, r#" {"a":1}"#, Some(r#" {"a":1}"#)).await;
        check("application/json", "a=1", Some("a=1")).await;
        check("text/plain", "a=1", Some("a=1")).await;

        let part = |head: &str, text: &str| {
            format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n")
        };
        let kind = "multipart/form-data; boundary=\"b\"";
        let whole = [part("name=\"a\"", "1\r\n2"), part("name=a", "3"), "--b--\r\n".to_owned()];
        check(kind, &whole.concat(), Some(r#"{"a":["1\r\n2","3"]}"#)).await;
        check(kind, "--b--\r\n", Some("{}")).await;
        let file = [part("name=\"a\"; filename=\"x.txt\"", "1"), "--b--\r\n".to_owned()];
        check(kind, &file.concat(), None).await;
        check(kind, &part("name=a", "cut off"), None).await;
        check("multipart/form-data", &whole.concat(), None).await;
    }

    #[test]
    fn only_a_body_without_a_coding_is_read() {
        let check = |coding: &'static str, body: &'static str, expected: Option<&str>| {
            let headers =
                HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
            let coded = match as_it_is(&headers, body.into()) {
                Err(Failure::Coded(coding)) => Some(coding),
                _ => None,
            };
            assert_eq!(coded.as_deref(), expected, "{coding} {body}");
        };
        check("gzip", "x", Some("gzip"));
        check("identity, br", "x", Some("br"));
        check("Identity", "x", None);
        check("gzip", "", None);
    }
}
