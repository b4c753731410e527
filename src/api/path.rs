//! Request paths: one pass, no copies.
//!
//! Case matters. Slashes may be doubled, and the last may be missing; nobody is redirected.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What stands between the slashes of a path, still percent-encoded.
#[derive(Debug)]
pub(super) struct Path<'a> {
    segments: [&'a str; SEGMENTS_MAX],
    count: usize,
    /// It ends as a path whose last name is empty does.
    pub(super) ends_nameless: bool,
}

/// The longest path that names something has nine.
pub(super) const SEGMENTS_MAX: usize = 12;

impl<'a> Path<'a> {
    /// None if there are more segments than any of our paths has.
    pub(super) fn split(text: &'a str) -> Option<Self> {
        let ends_nameless = text.ends_with("//");
        let mut path = Self { segments: [""; SEGMENTS_MAX], count: 0, ends_nameless };
        let mut begin = 0;
        // Byte by byte: to look for a character in a text this short takes more.
        for (at, byte) in text.bytes().enumerate() {
            if byte == b'/' {
                path.add(&text[begin..at])?;
                begin = at + 1;
            }
        }
        path.add(&text[begin..])?;
        Some(path)
    }

    fn add(&mut self, segment: &'a str) -> Option<()> {
        if !segment.is_empty() {
            *self.segments.get_mut(self.count)? = segment;
            self.count += 1;
        }
        Some(())
    }

    pub(super) fn segments(&self) -> &[&'a str] {
        &self.segments[..self.count]
    }
}

/// What a segment stands for; None if that is no text.
pub(super) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_taken_as_they_are_meant() {
        let check = |text, expected: &[&str], ends_nameless| {
            let path = Path::split(text).unwrap();
            assert_eq!((path.segments(), path.ends_nameless), (expected, ends_nameless), "{text}");
        };
        check("/", &[], false);
        check("/v1/Account", &["v1", "Account"], false);
        check("/v1/Account/", &["v1", "Account"], false);
        check("//v1///Account//", &["v1", "Account"], true);
        check("/a%2Fb/c", &["a%2Fb", "c"], false);
        check("a/ü/b", &["a", "ü", "b"], false);
        check("", &[], false);
    }

    #[test]
    fn a_path_that_is_longer_than_any_names_nothing() {
        assert!(Path::split(&"/a".repeat(SEGMENTS_MAX)).is_some());
        assert!(Path::split(&"/a".repeat(SEGMENTS_MAX + 1)).is_none());
    }

    #[test]
    fn a_segment_is_decoded_once() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        };
        check("a%20b%2Fc", Some("a b/c"));
        check("a%2520b", Some("a%20b"));
        check("a+b", Some("a+b"));
        check("%C3%BC", Some("ü"));
        check("ü", Some("ü"));
        check("100%", Some("100%"));
        check("%FF", None);
    }
}
