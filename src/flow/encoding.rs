//! Document encodings: the bytes of a document as UTF-8.
//!
//! A document declares its encoding (XML 1.0, section 4.3.3), by a name of the IANA character sets.
//! Read are UTF-8, ASCII, which is a part of it, and ISO-8859-1.

use std::borrow::Cow;

use bytes::Bytes;

/// An encoding that is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    Latin1,
    /// ASCII too.
    Utf8,
}

/// Names in lower case: of the IANA registry, and those that programs write for them.
const LATIN1: &[&str] = &[
    "iso-8859-1",
    "iso_8859-1",
    "iso8859-1",
    "iso_8859-1:1987",
    "iso-ir-100",
    "latin1",
    "latin-1",
    "l1",
    "ibm819",
    "cp819",
    "csisolatin1",
];
const UTF8: &[&str] = &[
    "utf-8",
    "utf8",
    "csutf8",
    "us-ascii",
    "ascii",
    "ansi_x3.4-1968",
    "ansi_x3.4-1986",
    "iso_646.irv:1991",
    "iso646-us",
    "iso-ir-6",
    "us",
    "ibm367",
    "cp367",
    "csascii",
];

/// A declaration is at the very start, and short.
const DECLARATION_BYTES_MAX: usize = 200;

/// The encoding of this name, whatever its case; None if it is not read.
pub(super) fn named(name: &str) -> Option<Encoding> {
    let name = name.trim().to_ascii_lowercase();
    let is_in = |names: &[&str]| names.contains(&&*name);
    match () {
        () if is_in(UTF8) => Some(Encoding::Utf8),
        () if is_in(LATIN1) => Some(Encoding::Latin1),
        () => None,
    }
}

/// The document as UTF-8. `charset` is the name in the `Content-Type` of a response: it counts if
/// the document declares nothing. Bytes in an encoding that is not read are returned as they are.
pub fn to_utf8(document: Bytes, charset: Option<&str>) -> Bytes {
    match decode(&document, charset) {
        Cow::Borrowed(_) => document,
        Cow::Owned(text) => text.into(),
    }
}

/// As [`to_utf8`], of borrowed bytes.
pub fn decode<'d>(document: &'d [u8], charset: Option<&str>) -> Cow<'d, [u8]> {
    let has_mark = document.starts_with("\u{feff}".as_bytes());
    if has_mark || document.is_ascii() {
        return document.into();
    }
    let encoding = match declared(document) {
        Some(name) => named(&name),
        None => charset.and_then(named).filter(|_| str::from_utf8(document).is_err()),
    };
    match encoding {
        // Each byte is the character of its number.
        Some(Encoding::Latin1) => {
            document.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes().into()
        }
        Some(Encoding::Utf8) | None => document.into(),
    }
}

/// The name that the XML declaration has.
fn declared(document: &[u8]) -> Option<String> {
    let head = &document[..document.len().min(DECLARATION_BYTES_MAX)];
    let head = String::from_utf8_lossy(head);
    let (declaration, _) = head.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &[u8], charset: Option<&str>, expected: &[u8]) {
        assert_eq!(&*decode(document, charset), expected, "{}", document.escape_ascii());
    }

    #[test]
    fn a_declared_encoding_is_decoded_whatever_its_case() {
        for name in ["ISO-8859-1", "iso-8859-1", "Latin1", "l1", "ISO_8859-1"] {
            let document = |text: &[u8]| {
                [format!("<?xml version='1.0' encoding = \"{name}\"?>").as_bytes(), text].concat()
            };
            check(&document(b"\xfc"), None, &document("ü".as_bytes()));
        }
        // The declaration says it, even if the bytes could be UTF-8.
        let document = |text: &[u8]| [b"<?xml version='1.0' encoding='latin1'?>", text].concat();
        check(&document("ü".as_bytes()), Some("utf-8"), &document("Ã¼".as_bytes()));
        for name in ["ASCII", "us-ascii", "ANSI_X3.4-1968", "UTF-8", "utf8"] {
            assert_eq!(named(name), Some(Encoding::Utf8), "{name}");
        }
        for name in ["utf-16", "windows-1252", ""] {
            assert_eq!(named(name), None, "{name}");
        }
    }

    #[test]
    fn a_charset_counts_where_nothing_is_declared() {
        check(b"<x>\xfc</x>", Some("ISO-8859-1"), "<x>ü</x>".as_bytes());
        check("<x>ü</x>".as_bytes(), Some("ISO-8859-1"), "<x>ü</x>".as_bytes());
        check(b"<x>\xfc</x>", None, b"<x>\xfc</x>");
        check(b"<?xml encoding='utf-8'?>\xfc", Some("latin1"), b"<?xml encoding='utf-8'?>\xfc");
        check(b"\xef\xbb\xbf<x>\xfc", Some("latin1"), b"\xef\xbb\xbf<x>\xfc");
    }
}
