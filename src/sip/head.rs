//! Message heads: the lines before the body, and the headers in them.

use super::{
    error::SipError,
    name::{HeaderName, is_token},
};

/// Limit of headers; no phone sends more. A header costs some 60 bytes of memory besides its text.
pub(super) const HEADERS_MAX: usize = 128;

/// Limit of the header section, in bytes. Values in RFC 4475, 3.1.1.7 have some 500 bytes; proxies
/// and certificates make longer ones.
pub(super) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The lines of a message before its body.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    bytes: &'a [u8],
    /// Lines end in LF alone: the first one does. RFC 3261, section 7 asks for CR LF.
    pub(super) is_bare: bool,
    /// An empty line ends it.
    pub(super) is_whole: bool,
    /// Where the body begins.
    pub(super) body: usize,
    pub(super) error: Option<SipError>,
}

impl<'a> Head<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let line = bytes.iter().position(|it| *it == b'\n').unwrap_or(bytes.len());
        let is_bare = line < bytes.len() && !bytes[..line].ends_with(b"\r");
        let ends: &[&[u8]] = if is_bare { &[b"\n\n", b"\n\r\n"] } else { &[b"\r\n\r\n"] };
        let found = ends.iter().filter_map(|end| Some((find(bytes, end)?, end.len()))).min();
        let (len, end) = found.unwrap_or((bytes.len(), 0));
        let error = match found {
            _ if len > HEAD_BYTES_MAX => Some(SipError { code: 513, reason: "Headers Too Large" }),
            Some(_) => None,
            None => Some(SipError::bad_request("no end of headers")),
        };
        let head = &bytes[..len.min(HEAD_BYTES_MAX)];
        Self { bytes: head, is_bare, is_whole: found.is_some(), body: len + end, error }
    }

    pub(super) fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Some(self.bytes);
        std::iter::from_fn(move || {
            let bytes = rest?;
            let end: &[u8] = if self.is_bare { b"\n" } else { b"\r\n" };
            let (line, more) = match find(bytes, end) {
                Some(at) => (&bytes[..at], Some(&bytes[at + end.len()..])),
                None => (bytes, None),
            };
            rest = more;
            Some(line.strip_suffix(b"\r").filter(|_| self.is_bare).unwrap_or(line))
        })
    }
}

/// Reads the header lines. Also returns what was left out of them: a line that says nothing that a
/// call needs costs itself, and no more.
pub(super) fn parse_headers<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    error: &mut Option<SipError>,
) -> (Vec<(HeaderName, String)>, Option<String>) {
    let mut headers: Vec<(HeaderName, String)> = Vec::with_capacity(16);
    let mut left_out = None;
    let mut is_kept = false;
    for line in lines {
        let line = super::text::decode(line);
        let before = headers.last_mut().filter(|_| is_kept).map(|it| &mut it.1);
        if line.starts_with([' ', '\t']) {
            // It continues a header, or one that is left out.
            before.into_iter().for_each(|value| unfold(value, line.trim()));
            continue;
        }
        let header = match HeaderLine::parse(&line) {
            Ok(header) => header,
            Err(why) => {
                if !line.is_empty() {
                    left_out.get_or_insert_with(|| why.to_owned());
                }
                is_kept = false;
                continue;
            }
        };
        if headers.len() == HEADERS_MAX {
            error.get_or_insert(SipError { code: 513, reason: "Too Many Headers" });
            break;
        }
        is_kept = true;
        headers.push((header.0, header.1));
    }
    check_controls(&mut headers, &mut left_out);
    (headers, left_out)
}

/// A header line, its name and its value.
struct HeaderLine(HeaderName, String);

impl HeaderLine {
    fn parse(line: &str) -> Result<Self, &'static str> {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        let name = name.trim_end_matches([' ', '\t']);
        match is_token(name) {
            true => Ok(Self(HeaderName::of(name), value.trim().to_owned())),
            false => Err("a header with a bad name"),
        }
    }
}

/// Deals with control characters. A stray CR or LF would end a line in our replies: it becomes a
/// space. Others stay in headers that a call needs, whose parsers refuse them where they matter; all
/// other headers are left out with them.
fn check_controls(headers: &mut Vec<(HeaderName, String)>, left_out: &mut Option<String>) {
    headers.retain_mut(|(name, value)| {
        if !value.contains(|c: char| c.is_control() && c != '\t') {
            return true;
        }
        *value = value.replace(['\r', '\n'], " ");
        let is_needed = matches!(
            name,
            HeaderName::CSeq
                | HeaderName::CallId
                | HeaderName::Contact
                | HeaderName::ContentLength
                | HeaderName::From
                | HeaderName::PAssertedIdentity
                | HeaderName::To
                | HeaderName::Via
        );
        if !is_needed {
            left_out.get_or_insert_with(|| format!("{}: a control character", name.as_str()));
        }
        is_needed
    });
}

/// Joins a folded line (RFC 3261, 7.3.1).
fn unfold(value: &mut String, more: &str) {
    if !value.is_empty() && !more.is_empty() {
        value.push(' ');
    }
    value.push_str(more);
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
