//! Fetch records: what a trace and the log say of one request for a document or a sound.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// A request for a document or a sound, and how it went.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct FetchRecord {
    /// `answer`, `action`, `kick`, `redirect`, `transfer`, `sound` (a sound document) or `play` (an
    /// audio file).
    pub purpose: &'static str,
    /// GET or POST; None if nothing was sent, such as for a file of the flows folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// Without its fragment, and with the values of secret parameters masked. A step has it itself.
    #[serde(skip)]
    pub url: Arc<str>,
    /// Status of the response, if one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// As the server named it: decides whether a sound attribute brought a sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Arc<str>>,
    /// Duration in milliseconds, with redirects and retries.
    pub ms: u32,
    /// Bytes of the body that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// Why the response is of no use; None if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Arc<str>>,
    /// Beginning of a body that is of no use; see [`excerpt`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Arc<str>>,
}

/// Characters of a body that are shown: enough for the title of an error page.
pub const EXCERPT_CHARS_MAX: usize = 200;

/// The beginning of a body, as text in one line; None if it is empty.
pub fn excerpt(body: &[u8]) -> Option<Arc<str>> {
    // A character has four bytes at most.
    let head = &body[..body.len().min(EXCERPT_CHARS_MAX * 4)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim();
    let visible = |char: char| if char.is_control() { ' ' } else { char };
    let shown: String = text.chars().map(visible).take(EXCERPT_CHARS_MAX).collect();
    (!shown.is_empty()).then(|| shown.into())
}

/// One line: `POST http://a.example/x: 404, text/html, 12 bytes, 3 ms: the error: "the body"`.
impl fmt::Display for FetchRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { purpose: _, method, url, status, content_type, ms, bytes, error, excerpt } =
            self;
        method.map_or(Ok(()), |it| write!(f, "{it} "))?;
        write!(f, "{url}: ")?;
        status.map_or(Ok(()), |it| write!(f, "{it}, "))?;
        content_type.as_ref().map_or(Ok(()), |it| write!(f, "{it}, "))?;
        bytes.map_or(Ok(()), |it| write!(f, "{it} bytes, "))?;
        write!(f, "{ms} ms")?;
        error.as_ref().map_or(Ok(()), |it| write!(f, ": {it}"))?;
        excerpt.as_ref().map_or(Ok(()), |it| write!(f, ": {it:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_line_of_at_most_200_characters() {
        let shown = |body: &[u8]| excerpt(body).map(|it| it.to_string());
        assert_eq!(shown(b" \r\n"), None);
        assert_eq!(shown("\u{feff}<h1>\n\u{1b}[2JNo</h1>".as_bytes()).unwrap(), "<h1>  [2JNo</h1>");
        assert_eq!(shown(b"a\xffb").unwrap(), "a\u{fffd}b");
        let long = "\u{1f600}".repeat(EXCERPT_CHARS_MAX + 1);
        assert_eq!(shown(long.as_bytes()).unwrap().chars().count(), EXCERPT_CHARS_MAX);
    }
}
