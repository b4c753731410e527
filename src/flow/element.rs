//! Elements: a document as a tree, independent of the XML reader.

use std::borrow::Cow;

use super::TextPosition;

/// An element. Its texts borrow from the document where possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct XmlElement<'a> {
    /// Position of its `<`.
    pub(super) at: TextPosition,
    pub(super) tag: &'a str,
    pub(super) attributes: Vec<XmlAttribute<'a>>,
    pub(super) children: Vec<Self>,
    /// Its own text with all whitespace, without the text of its children.
    pub(super) text: Cow<'a, str>,
    /// Bytes of the parent's own text that come before it.
    pub(super) text_before: usize,
    /// Position of each piece of text between two tags.
    pub(super) text_at: Vec<TextPosition>,
    /// Each `${` of its own text: bytes of the text before it, and its position.
    pub(super) openings: Vec<(usize, TextPosition)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct XmlAttribute<'a> {
    /// Position of its name.
    pub(super) at: TextPosition,
    pub(super) name: &'a str,
    pub(super) value: Cow<'a, str>,
    /// Bytes of the document before the value.
    pub(super) value_offset: usize,
}

impl XmlElement<'_> {
    /// Position of each `${` of its text, that of its children included, in the order of the text.
    pub(super) fn openings(&self) -> Vec<TextPosition> {
        let mut places = Vec::new();
        let mut own = self.openings.iter().peekable();
        for child in &self.children {
            while let Some((_, at)) = own.next_if(|(before, _)| *before < child.text_before) {
                places.push(*at);
            }
            places.extend(child.openings());
        }
        places.extend(own.map(|(_, at)| *at));
        places
    }

    /// Its own text, trimmed, with runs of whitespace replaced by one space.
    pub(super) fn normalized_text(&self) -> Cow<'_, str> {
        collapse_whitespace(&self.text)
    }
}

/// Trims a text and replaces each run of whitespace by one space.
pub(super) fn collapse_whitespace(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    // Fast path for the common case. Whitespace beyond ASCII begins with a byte of 0xC2 or more.
    let mut last = b'.';
    let is_plain = text.bytes().all(|byte| {
        let fits = byte != b' ' || last != b' ';
        last = byte;
        fits && (b' '..0xc2).contains(&byte)
    });
    match is_plain {
        true => text.into(),
        false => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapses_whitespace() {
        for (text, expected) in [
            ("", ""),
            (" \n ", ""),
            (" a ", "a"),
            ("a b", "a b"),
            ("a  b", "a b"),
            ("a\tb\r\nc", "a b c"),
            ("a\u{a0}b", "a b"),
        ] {
            assert_eq!(collapse_whitespace(text), expected, "{text:?}");
        }
        assert!(matches!(collapse_whitespace("  plain words  "), Cow::Borrowed(_)));
    }
}
