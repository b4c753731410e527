//! Source of a flow: the text of its document, the text's hash, and its origin.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use blake3::Hash;
use bytes::Bytes;

use super::{FlowError, FlowErrorKind, TextPosition, encoding, position::PositionCounter};

/// The document that a flow was parsed from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceDocument {
    /// One copy for all flows of this text: other dialects and other origins included.
    pub text: Arc<FlowText>,
    /// Where the text is from.
    pub origin: FlowOrigin,
}

/// Where a document is from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FlowOrigin {
    /// A file: its path within the flows folder.
    File(Arc<str>),
    /// No place of its own: the text came with a request, or in an events file.
    Inline,
    /// A server: the URL, without query and fragment, which may hold secrets.
    Url(Arc<str>),
}

/// The text of a document. Clones of the bytes share it.
pub struct FlowText {
    /// UTF-8: [`FlowText::new`] has checked it.
    bytes: Bytes,
    hash: OnceLock<Hash>,
}

/// A text as traces remember it: they do not keep it in memory.
#[derive(Clone, Debug, Default)]
pub struct WeakFlowText(Weak<FlowText>);

/// Longer lines are shown from the element on, and no further than this.
const CHARS_SHOWN_MAX: usize = 160;

impl FlowText {
    /// Takes bytes as they come from a file or a server.
    ///
    /// # Errors
    ///
    /// They are not UTF-8, nor in the encoding that they declare.
    pub fn new(bytes: Bytes) -> Result<Self, FlowError> {
        let text = encoding::to_utf8(bytes.clone(), None);
        let hash = OnceLock::new();
        if text.as_ptr() != bytes.as_ptr() {
            hash.get_or_init(|| blake3::hash(&bytes));
        }
        match str::from_utf8(&text) {
            Ok(_) => Ok(Self { bytes: text, hash }),
            Err(_) if is_audio_file(&bytes) => {
                let at = TextPosition::default();
                Err(FlowError { at, error: FlowErrorKind::Audio })
            }
            Err(error) => Err(FlowError {
                at: PositionCounter::of(&text).position(error.valid_up_to()),
                error: FlowErrorKind::Utf8,
            }),
        }
    }

    /// The same with a hash that is known already, which must be that of the bytes.
    ///
    /// # Errors
    ///
    /// As [`FlowText::new`].
    pub fn with_hash(bytes: Bytes, hash: Hash) -> Result<Self, FlowError> {
        debug_assert_eq!(hash, blake3::hash(&bytes), "another document's hash");
        Ok(Self { hash: hash.into(), ..Self::new(bytes)? })
    }

    /// The text, with its byte order mark if it has one.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes).expect("it was checked when it was made")
    }

    /// BLAKE3 of the bytes as they came, computed when somebody asks for the first time.
    pub fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| blake3::hash(&self.bytes))
    }

    /// The line of an element, without the blanks around it. Of a long line: what begins with the
    /// element.
    pub fn excerpt(&self, at: TextPosition) -> Option<String> {
        let text = self.bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.bytes);
        let mut lines = text.split(|&byte| byte == b'\n');
        let line = lines.nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let line = str::from_utf8(line).expect("it was checked when it was made");
        if line.trim().chars().nth(CHARS_SHOWN_MAX).is_none() {
            return Some(line.trim().to_owned());
        }
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let mut rest = line.trim_end().chars().skip(column);
        let mut shown: String = rest.by_ref().take(CHARS_SHOWN_MAX).collect();
        if rest.next().is_some() {
            shown.push('…');
        }
        Some(shown)
    }
}

/// Whether these are the first bytes of a sound file, such as WAV, MP3, Ogg or FLAC. A text does not
/// begin so.
pub fn is_audio_file(bytes: &[u8]) -> bool {
    let is_mpeg = matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0 && *second != 0xff);
    let marks: [&[u8]; 5] = [b"RIFF", b"RIFX", b"ID3", b"OggS", b"fLaC"];
    (is_mpeg && !bytes.starts_with(&[0xff, 0xfe])) || marks.iter().any(|it| bytes.starts_with(it))
}

impl From<&str> for FlowText {
    fn from(text: &str) -> Self {
        Self { bytes: Bytes::copy_from_slice(text.as_bytes()), hash: OnceLock::new() }
    }
}

/// Without the text: a flow may hold secrets, and Debug ends up in logs.
impl fmt::Debug for FlowText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowText").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Eq for FlowText {}

impl PartialEq for FlowText {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl WeakFlowText {
    /// Of a text that may be dropped meanwhile.
    pub fn of(text: &Arc<FlowText>) -> Self {
        Self(Arc::downgrade(text))
    }

    /// The text, if a call runs it or the documents cache still holds it.
    pub fn get(&self) -> Option<Arc<FlowText>> {
        self.0.upgrade()
    }
}

impl Eq for WeakFlowText {}

/// The same text in memory.
impl PartialEq for WeakFlowText {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::ids::Dialect, flow::Flow};

    #[track_caller]
    fn check(text: &str, line: u32, column: u32, expected: Option<&str>) {
        let found = FlowText::from(text).excerpt(TextPosition { line, column });
        assert_eq!(found.as_deref(), expected, "{line}:{column}");
    }

    #[test]
    fn an_excerpt_is_the_line_of_the_element() {
        let text = "\u{feff}<Response>\r\n\t<Wait/> <Hangup/>\r\n</Response>";
        check(text, 1, 1, Some("<Response>"));
        check(text, 2, 2, Some("<Wait/> <Hangup/>"));
        check(text, 2, 10, Some("<Wait/> <Hangup/>"));
        check(text, 3, 1, Some("</Response>"));
        check(text, 4, 1, None);
        check(text, 0, 0, None);
    }

    #[test]
    fn an_excerpt_of_a_long_line_begins_with_the_element() {
        let (start, end) = ("é".repeat(CHARS_SHOWN_MAX), "ü".repeat(CHARS_SHOWN_MAX - 7));
        let column = u32::try_from(CHARS_SHOWN_MAX + 1).unwrap();
        check(&format!("{start}<Wait/>"), 1, column, Some("<Wait/>"));
        let fits = format!("<Wait/>{end}");
        check(&format!("{start}{fits}  "), 1, column, Some(&fits));
        check(&format!("{start}{fits}ü"), 1, column, Some(&format!("{fits}…")));
        check(&start, 1, 1, Some(&start));
        check(&fits, 9, 1, None);
    }

    #[test]
    fn a_flow_knows_its_text_and_the_hash_of_it() {
        let document = "<Response><Wait/></Response>";
        let flow = Flow::parse(document, Dialect::Vobiz).unwrap();
        assert_eq!(flow.source.text.as_str(), document);
        assert_eq!(flow.source.text.hash(), blake3::hash(document.as_bytes()));
        assert_eq!(flow.source.origin, FlowOrigin::Inline);
        let weak = WeakFlowText::of(&flow.source.text);
        assert!(weak.get().is_some());
        drop(flow);
        assert!(weak.get().is_none(), "a trace keeps no text");
    }
}
