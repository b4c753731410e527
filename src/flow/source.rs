//! Source of a flow: the text of its document, the text's hash, and its origin.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use blake3::Hash;
use bytes::Bytes;
use quick_xml::events::{Event, attributes::Attribute};

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
    /// Nothing of it is shown in traces.
    is_hidden: bool,
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
            Ok(_) => Ok(Self { bytes: text, hash, is_hidden: false }),
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

    /// A text that an earlier process has read, with the hash of the bytes as they came to it.
    pub(super) fn restored(text: &str, hash: Hash, is_hidden: bool) -> Self {
        Self { bytes: Bytes::copy_from_slice(text.as_bytes()), hash: hash.into(), is_hidden }
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.is_hidden
    }

    /// The text, with its byte order mark if it has one.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes).expect("it was checked when it was made")
    }

    /// BLAKE3 of the bytes as they came, computed when somebody asks for the first time.
    pub fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| blake3::hash(&self.bytes))
    }

    /// The key of the document in the state log: the first half of its hash.
    pub fn key(&self) -> u128 {
        let half = self.hash().as_bytes().first_chunk().copied();
        u128::from_be_bytes(half.expect("it has 32 bytes"))
    }

    /// The same text, of which traces show nothing: the answer to what a caller typed while
    /// `log="false"` may repeat it.
    pub fn hidden(&self) -> Self {
        Self { bytes: self.bytes.clone(), hash: self.hash.clone(), is_hidden: true }
    }

    /// The line of an element, without the blanks around it. Of a long line, and of one in a document
    /// that may hide elements (`log="false"`): what begins with the element, up to the next hidden one.
    /// None for such an element. URLs are without their queries, which may hold secrets, and passwords
    /// are not shown.
    pub fn excerpt(&self, at: TextPosition) -> Option<String> {
        let text = self.as_str().strip_prefix('\u{feff}').unwrap_or(self.as_str());
        let mut lines = text.split('\n').filter(|_| !self.is_hidden);
        let line = lines.nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let may_hide = text.contains("log") || text.contains(PASSWORD);
        if !may_hide && line.trim().chars().nth(CHARS_SHOWN_MAX).is_none() {
            return Some(without_secrets(line.trim()));
        }
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let mut shown = line.trim_end().char_indices().skip(column).map(|(offset, _)| offset);
        let start = shown.next().unwrap_or(line.len());
        let end = shown.nth(CHARS_SHOWN_MAX - 1).unwrap_or_else(|| line.trim_end().len());
        if !may_hide {
            let more = if end < line.trim_end().len() { "…" } else { "" };
            return Some(without_secrets(line.get(start..end)?) + more);
        }
        let line_start = line.as_ptr() as usize - text.as_ptr() as usize;
        let mut tags = line.get(start..end)?.match_indices('<').map(|(offset, _)| start + offset);
        let hidden = tags.find(|offset| is_hidden_element(&text[line_start + offset..]));
        let more = if hidden.unwrap_or(end) < line.trim_end().len() { "…" } else { "" };
        let shown = line[start..hidden.unwrap_or(end)].trim_end();
        (!shown.is_empty()).then(|| without_secrets(shown) + more)
    }
}

/// The attribute whose value is a password.
const PASSWORD: &str = "sipAuthPassword";

/// A line without the queries of its URLs, and without passwords.
fn without_secrets(line: &str) -> String {
    without_queries(&without_passwords(line))
}

/// A line with its passwords replaced by an ellipsis.
fn without_passwords(line: &str) -> String {
    let (mut shown, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(PASSWORD) {
        let (before, after) = rest.split_at(at + PASSWORD.len());
        shown.push_str(before);
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        let quote = value.and_then(|it| it.chars().next()).filter(|it| "\"'".contains(*it));
        let Some((value, quote)) = value.zip(quote) else {
            rest = after;
            continue;
        };
        shown.push_str(&after[..=after.len() - value.len()]);
        shown.push('…');
        // Of a line that is cut off, nothing is left.
        rest = value[1..].find(quote).map_or("", |end| &value[1 + end..]);
    }
    shown + rest
}

/// A line with the queries of its URLs replaced by an ellipsis.
fn without_queries(line: &str) -> String {
    let is_boundary = |it: char| it.is_whitespace() || "\"'<>".contains(it);
    let shown = line.split_inclusive(is_boundary).map(|part| {
        let word = part.trim_end_matches(is_boundary);
        let is_url = word.starts_with('/') || word.contains("://");
        match word.split_once('?').filter(|_| is_url) {
            Some((address, _)) => format!("{address}?…{}", &part[word.len()..]),
            None => part.to_owned(),
        }
    });
    shown.collect()
}

/// Whether a text begins with the tag of an element that is kept out of logs.
fn is_hidden_element(text: &str) -> bool {
    let mut reader = quick_xml::Reader::from_str(text);
    let (Ok(Event::Start(tag)) | Ok(Event::Empty(tag))) = reader.read_event() else { return false };
    let is_log = |it: &Attribute<'_>| it.key.as_ref() == "log";
    // Whatever is no clear yes counts as no.
    tag.attributes().flatten().any(|it| is_log(&it) && !it.value.eq_ignore_ascii_case("true"))
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
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        Self { bytes, hash: OnceLock::new(), is_hidden: false }
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
    fn an_excerpt_shows_no_password() {
        let dial =
            "<Dial><User sipAuthUsername='a' sipAuthPassword=\"it's 5 > 4?\">sip:x@y</User></Dial>";
        let shown = "<Dial><User sipAuthUsername='a' sipAuthPassword=\"…\">sip:x@y</User></Dial>";
        check(&format!("<Response>{dial}</Response>"), 1, 11, Some(&format!("{shown}</Response>")));
        check(&format!("<Response>\n  {dial}\n</Response>"), 2, 3, Some(shown));
        let two = "<Dial><User sipAuthPassword = 'one'>a</User><User sipAuthPassword='two'>b</User></Dial>";
        let shown =
            "<Dial><User sipAuthPassword = '…'>a</User><User sipAuthPassword='…'>b</User></Dial>";
        check(two, 1, 1, Some(shown));
        // A value that begins on the line before, and one that is cut off.
        let split = "<Dial><User sipAuthPassword=\n'secret'>a</User></Dial><Speak>b</Speak>";
        check(split, 2, 25, Some("<Speak>b</Speak>"));
        let long = format!("<Dial><User sipAuthPassword='{}'/></Dial>", "secret".repeat(100));
        check(&long, 1, 1, Some("<Dial><User sipAuthPassword='……"));
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

    /// What a caller types there, and what it says, must not reach traces.
    #[test]
    fn an_excerpt_has_nothing_of_an_element_that_is_kept_out_of_logs() {
        let hidden = "<GetDigits log='false'\n action='/a?pin=1'><Speak>4711</Speak></GetDigits>";
        let text = format!("<Wait/> {hidden} <Hangup/><Speak>log</Speak>");
        check(&text, 1, 1, Some("<Wait/>…"));
        check(&text, 1, 9, None);
        check(&text, 2, 52, Some("<Hangup/><Speak>log</Speak>"));
        check("<GetDigits log = \"FALSE\"/>", 1, 1, None);
        check("<GetDigits log='true'/>", 1, 1, Some("<GetDigits log='true'/>"));
        let long = format!("<Speak>{}</Speak><GetInput log='0'/>", "é".repeat(CHARS_SHOWN_MAX));
        check(&long, 1, 1, Some(&format!("<Speak>{}…", "é".repeat(CHARS_SHOWN_MAX - 7))));
        let url = "<Play>https://a.example/b?token=4711&amp;c=1</Play><Speak>Is it? Yes</Speak>";
        let shown = "<Play>https://a.example/b?…</Play><Speak>Is it? Yes</Speak>";
        check(url, 1, 1, Some(shown));
        let at = TextPosition { line: 1, column: 1 };
        assert_eq!(FlowText::from("<Wait/>").hidden().excerpt(at), None);
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
