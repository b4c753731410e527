//! Elements: a document as a tree, with everything the verbs need and nothing of XML's ways.

use std::borrow::Cow;

use super::TextPosition;

/// An element. Its texts are parts of the document wherever that is possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct XmlElement<'a> {
    /// The place of its `<`.
    pub(super) at: TextPosition,
    pub(super) tag: &'a str,
    pub(super) attributes: Vec<XmlAttribute<'a>>,
    pub(super) children: Vec<Self>,
    /// Its own text, as it stands there: without that of its children, blanks and all.
    pub(super) text: Cow<'a, str>,
    /// How much of its parent's text comes before it, in bytes.
    pub(super) text_before: usize,
    /// Where each piece of text between two tags begins.
    pub(super) text_at: Vec<TextPosition>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct XmlAttribute<'a> {
    /// The place of its name.
    pub(super) at: TextPosition,
    pub(super) name: &'a str,
    pub(super) value: Cow<'a, str>,
}

impl XmlElement<'_> {
    /// Its own text, with single blanks between its words and none around it.
    pub(super) fn normalized_text(&self) -> Cow<'_, str> {
        collapse_whitespace(&self.text)
    }
}

/// A text with single blanks between its words and none around it.
pub(super) fn collapse_whitespace(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    // The common case needs no more than a look: all blanks that are not ASCII begin so high.
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
