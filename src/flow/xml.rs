//! XML reader: turns text into elements. The only file that uses quick-xml.

use std::borrow::Cow;

use quick_xml::{
    Error, Reader, XmlVersion,
    errors::{IllFormedError, SyntaxError},
    escape::resolve_predefined_entity,
    events::{
        BytesDecl, BytesRef, Event,
        attributes::{AttrError, Attribute as RawAttribute, Attributes},
    },
};

use super::{
    FlowError, FlowErrorKind, TextPosition,
    element::{XmlAttribute, XmlElement},
    encoding,
    error::{clip, nearest},
    position::PositionCounter,
    variable::OPENING,
};

/// Limit of the vendors (contract 3.1).
const DOCUMENT_BYTES_MAX: usize = 100 * 1024;
/// The deepest useful nesting is five; the rest is for SSML.
const DEPTH_MAX: usize = 32;
/// Many times the longest flow seen. It also bounds what a call runs without waiting.
pub(super) const ELEMENTS_MAX: usize = 1_000;
/// Twice the attributes of the verb with the most.
const ATTRIBUTES_MAX: usize = 64;

/// The first word of a comment that is meant for the checks.
const DIRECTIVE: &str = "conflow-check";

/// A document as a tree, with its comments for the checks: the bytes before each, and its text after
/// the first word.
pub(super) struct XmlDocument<'a> {
    pub(super) root: XmlElement<'a>,
    pub(super) directives: Vec<(usize, &'a str)>,
}

/// Reads one document and returns its root, which must have this name.
pub(super) fn read<'a>(document: &'a str, root_tag: &str) -> Result<XmlElement<'a>, FlowError> {
    read_document(document, root_tag).map(|it| it.root)
}

/// As [`read`], with the comments.
pub(super) fn read_document<'a>(
    document: &'a str,
    root_tag: &str,
) -> Result<XmlDocument<'a>, FlowError> {
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    let mut tree = Tree {
        document,
        root_tag,
        ruler: PositionCounter::new(document),
        offset: 0,
        end: 0,
        elements: 0,
        open: Vec::with_capacity(4),
        root: None,
        directives: Vec::new(),
        in_text: false,
    };
    if DOCUMENT_BYTES_MAX < document.len() {
        return Err(tree.error(limit(DOCUMENT_BYTES_MAX, "bytes", SPLIT)));
    }
    tree.check_characters()?;
    // quick-xml would skip a second byte order mark and miscount offsets.
    if document.starts_with('\u{feff}') {
        return Err(tree.error(FlowErrorKind::RootText));
    }

    let mut reader = Reader::from_str(document);
    loop {
        tree.offset = position(reader.buffer_position());
        match reader.read_event() {
            Ok(Event::Eof) => return tree.finish(),
            Ok(event) => {
                tree.end = position(reader.buffer_position());
                tree.take(event)?;
            }
            Err(error) => {
                let at = position(reader.error_position());
                return Err(tree.misread(&error, at));
            }
        }
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("the document is in memory")
}

/// State of the reader.
struct Tree<'a, 'r> {
    document: &'a str,
    root_tag: &'r str,
    ruler: PositionCounter<'a>,
    /// Where the current event begins and ends, in bytes.
    offset: usize,
    end: usize,
    elements: usize,
    open: Vec<XmlElement<'a>>,
    root: Option<XmlElement<'a>>,
    directives: Vec<(usize, &'a str)>,
    /// Whether text has begun since the last tag.
    in_text: bool,
}

impl<'a> Tree<'a, '_> {
    /// XML allows no control characters except tab, line feed and carriage return.
    fn check_characters(&mut self) -> Result<(), FlowError> {
        // Without an early exit, the compiler vectorizes this loop to 16 bytes at a time.
        let bytes = self.document.as_bytes();
        if !bytes.iter().fold(false, |any, &byte| any | is_control(byte)) {
            return Ok(());
        }
        self.offset = bytes.iter().position(|&byte| is_control(byte)).unwrap_or_default();
        Err(self.malformed("a control character, which XML does not allow: leave it out".into()))
    }

    fn take(&mut self, event: Event<'a>) -> Result<(), FlowError> {
        match event {
            Event::Start(start) => self.start(start.name().0.len(), start.len()),
            Event::Empty(start) => {
                self.start(start.name().0.len(), start.len())?;
                self.close();
                Ok(())
            }
            Event::End(_) => {
                self.close();
                Ok(())
            }
            Event::Text(_) => self.text(self.offset, self.end),
            Event::CData(_) => self.text(self.offset + "<![CDATA[".len(), self.end - "]]>".len()),
            Event::GeneralRef(reference) => match resolve(&reference) {
                Some(char) => self.character(char),
                None => Err(self.malformed(unknown_entity(&reference))),
            },
            Event::Decl(declaration) => self.declaration(&declaration),
            Event::DocType(_) => Err(self.error(FlowErrorKind::DocumentType)),
            Event::Comment(_) => {
                let content = &self.document[self.offset + "<!--".len()..self.end - "-->".len()];
                if let Some(rest) = content.trim_start().strip_prefix(DIRECTIVE) {
                    self.directives.push((self.end - "-->".len() - rest.len(), rest));
                }
                Ok(())
            }
            Event::Eof | Event::PI(_) => Ok(()),
        }
    }

    fn start(&mut self, name_len: usize, len: usize) -> Result<(), FlowError> {
        let content = &self.document[self.offset + 1..][..len];
        let tag = &content[..name_len];
        if self.root.is_some() {
            return Err(self.error(FlowErrorKind::RootSecond { tag: clip(tag) }));
        }
        if self.open.len() == DEPTH_MAX {
            let advice = "move this one out of its parents";
            return Err(self.error(limit(DEPTH_MAX, "elements within each other", advice)));
        }
        if self.elements == ELEMENTS_MAX {
            return Err(self.error(limit(ELEMENTS_MAX, "elements", SPLIT)));
        }
        if !is_name(tag) {
            let what = "an element's name must follow this <: write &lt; for a plain <";
            return Err(self.malformed(what.into()));
        }

        if self.open.is_empty() && tag != self.root_tag {
            return Err(self.error(FlowErrorKind::Root {
                tag: clip(tag),
                is_near: nearest(tag, [self.root_tag].into_iter()).is_some(),
            }));
        }

        let at = self.here();
        let text_before = self.open.last().map_or(0, |parent| parent.text.len());
        let attributes = self.attributes(content, name_len)?;
        self.open.push(XmlElement { at, tag, attributes, text_before, ..XmlElement::default() });
        self.elements += 1;
        self.in_text = false;
        Ok(())
    }

    fn attributes(
        &mut self,
        content: &'a str,
        name_len: usize,
    ) -> Result<Vec<XmlAttribute<'a>>, FlowError> {
        let mut attributes = Vec::new();
        let begin = self.offset + 1;
        for attribute in Attributes::new(content, name_len) {
            let attribute = attribute.map_err(|error| self.misread_attribute(&error, begin))?;
            let name = attribute.key.0;
            // The name borrows from the tag, so its address gives its offset.
            let within = name.as_ptr().addr() - content.as_ptr().addr();
            self.offset = begin + within;
            if attributes.len() == ATTRIBUTES_MAX {
                let (what, advice) =
                    ("attributes in an element", "delete those that it does not know");
                return Err(self.error(limit(ATTRIBUTES_MAX, what, advice)));
            }
            if !content[..within].ends_with(is_blank) {
                return Err(self.malformed("put a space before this attribute".into()));
            }
            if !is_name(name) {
                return Err(
                    self.malformed(format!("{:?} is not a valid attribute name", clip(name)))
                );
            }
            let value = value(&attribute).map_err(|what| self.malformed(what))?;
            // The value borrows from the tag, too.
            let value_offset = begin + (attribute.value.as_ptr().addr() - content.as_ptr().addr());
            let at = self.here();
            attributes.push(XmlAttribute { at, name, value, value_offset });
        }
        Ok(attributes)
    }

    fn close(&mut self) {
        let closed = self.open.pop().expect("quick-xml matches end tags");
        self.in_text = false;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
    }

    fn text(&mut self, from: usize, to: usize) -> Result<(), FlowError> {
        let text = &self.document[from..to];
        let blank = text.len() - text.trim_start().len();
        if blank < text.len() {
            self.begin_text(from + blank)?;
        }
        let Some(element) = self.open.last_mut() else { return Ok(()) };
        for (at, _) in text.match_indices(OPENING) {
            element.openings.push((element.text.len() + at, self.ruler.position(from + at)));
        }
        match element.text.is_empty() {
            true => element.text = text.into(),
            false => element.text.to_mut().push_str(text),
        }
        Ok(())
    }

    fn character(&mut self, char: char) -> Result<(), FlowError> {
        if !char.is_whitespace() || self.open.is_empty() {
            self.begin_text(self.offset)?;
        }
        let Some(element) = self.open.last_mut() else { return Ok(()) };
        element.text.to_mut().push(char);
        Ok(())
    }

    fn begin_text(&mut self, offset: usize) -> Result<(), FlowError> {
        if self.in_text {
            return Ok(());
        }
        let at = self.ruler.position(offset);
        let Some(element) = self.open.last_mut() else {
            return Err(FlowError { at, error: FlowErrorKind::RootText });
        };
        element.text_at.push(at);
        self.in_text = true;
        Ok(())
    }

    fn declaration(&mut self, declaration: &BytesDecl<'_>) -> Result<(), FlowError> {
        if self.offset != 0 {
            let what =
                "nothing, not even a space, may come before <?xml: move it to the very start";
            return Err(self.malformed(what.into()));
        }
        if declaration.version().is_err() {
            let what = "the declaration must name its version first: <?xml version=\"1.0\"?>";
            return Err(self.malformed(what.into()));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if encoding::named(&name).is_some() => Ok(()),
            Some(Ok(name)) => Err(self.error(FlowErrorKind::Encoding { name: clip(&name) })),
            Some(Err(error)) => Err(self.misread_attribute(&error, self.offset + 2)),
        }
    }

    fn finish(mut self) -> Result<XmlDocument<'a>, FlowError> {
        if let Some(open) = self.open.last() {
            let what = format!("<{0}> is not closed: </{0}> is missing", clip(open.tag));
            return Err(FlowError { at: open.at, error: FlowErrorKind::Xml { what } });
        }
        match self.root.take() {
            Some(root) => Ok(XmlDocument { root, directives: self.directives }),
            None => Err(self.error(FlowErrorKind::RootMissing)),
        }
    }

    fn here(&mut self) -> TextPosition {
        self.ruler.position(self.offset)
    }

    fn error(&mut self, error: FlowErrorKind) -> FlowError {
        FlowError { at: self.here(), error }
    }

    fn malformed(&mut self, what: String) -> FlowError {
        self.error(FlowErrorKind::Xml { what })
    }

    /// Words the error for authors, at the place where the mistake begins.
    fn misread(&mut self, error: &Error, at: usize) -> FlowError {
        let what = match error {
            Error::Syntax(SyntaxError::UnclosedDoubleQuotedAttributeValue) => {
                return self.misread_quote('"');
            }
            Error::Syntax(SyntaxError::UnclosedSingleQuotedAttributeValue) => {
                return self.misread_quote('\'');
            }
            Error::Syntax(error) => unclosed(*error).to_owned(),
            Error::IllFormed(IllFormedError::MissingDoctypeName) => DOCUMENT_TYPE.to_owned(),
            Error::IllFormed(error) => {
                self.offset = at;
                self.ill_formed(error)
            }
            Error::Encoding(_) | Error::Escape(_) | Error::InvalidAttr(_) => error.to_string(),
            Error::Io(_) | Error::Namespace(_) => error.to_string(),
        };
        self.malformed(what)
    }

    /// The value begins at the last quote of its kind; another one would have ended it.
    fn misread_quote(&mut self, quote: char) -> FlowError {
        let begin = self.offset + 1;
        let opening = self.document[begin..].rfind(quote).unwrap_or_default();
        self.misread_attribute(&AttrError::ExpectedQuote(opening, b'"'), begin)
    }

    fn ill_formed(&self, error: &IllFormedError) -> String {
        match error {
            IllFormedError::MismatchedEndTag { expected, found } => {
                let at = self.open.last().map(|it| it.at).unwrap_or_default();
                let (expected, found) = (clip(expected), clip(found));
                format!("</{found}> closes nothing here: <{expected}> of {at} is still open")
            }
            IllFormedError::UnmatchedEndTag(found) => {
                format!("</{}> closes nothing: no element is open", clip(found))
            }
            IllFormedError::UnclosedReference => AMPERSAND.to_owned(),
            IllFormedError::DoubleHyphenInComment | IllFormedError::MissingDeclVersion(_) => {
                error.to_string()
            }
            IllFormedError::MissingDoctypeName | IllFormedError::MissingEndTag(_) => {
                error.to_string()
            }
            IllFormedError::UnknownVersion => error.to_string(),
        }
    }

    /// Reports an attribute error at the attribute's name. `begin` is the offset of the tag's
    /// content; the error counts from there.
    fn misread_attribute(&mut self, error: &AttrError, begin: usize) -> FlowError {
        let content = &self.document[begin..];
        let within = match *error {
            AttrError::Duplicated(at, _) => at,
            AttrError::ExpectedEq(at) | AttrError::ExpectedQuote(at, _) => name_before(content, at),
            AttrError::ExpectedValue(at) | AttrError::UnquotedValue(at) => name_before(content, at),
        };
        let end = content[within..].find(|char| char == '=' || is_blank(char) || char == '>');
        let name = clip(&content[within..][..end.unwrap_or(0)]);
        let what = match error {
            AttrError::Duplicated(..) => format!("{name} is stated already: leave one of them out"),
            AttrError::ExpectedEq(_) | AttrError::ExpectedValue(_) => {
                format!("{name} has no value: write {name}=\"…\"")
            }
            AttrError::ExpectedQuote(..) => format!("{name}: the quote that ends it is missing"),
            AttrError::UnquotedValue(_) => format!("{name}: put its value into quotes"),
        };
        self.offset = begin + within;
        self.malformed(what)
    }
}

/// Offset of the name of the attribute that contains this place in a tag.
fn name_before(content: &str, at: usize) -> usize {
    let before = content[..at].trim_end_matches(is_blank);
    let before = before.strip_suffix('=').unwrap_or(before).trim_end_matches(is_blank);
    before.rfind(is_blank).map_or(0, |blank| blank + 1)
}

fn limit(max: usize, what: &'static str, advice: &'static str) -> FlowErrorKind {
    FlowErrorKind::Limit { max, what, advice }
}

const SPLIT: &str = "split it, and continue from part to part with <Redirect>";
const DOCUMENT_TYPE: &str = "a flow has no DOCTYPE: leave it out";
const AMPERSAND: &str = "this & begins an entity, and its ; is missing: write &amp; for a plain &";

fn unclosed(error: SyntaxError) -> &'static str {
    match error {
        SyntaxError::InvalidBangMarkup => "<! begins a comment or CDATA, and this is neither",
        SyntaxError::UnclosedCData => "this <![CDATA[ is not closed: ]]> is missing",
        SyntaxError::UnclosedComment => "this comment is not closed: --> is missing",
        SyntaxError::UnclosedDoctype => DOCUMENT_TYPE,
        SyntaxError::UnclosedPI => "this <? is not closed: ?> is missing",
        SyntaxError::UnclosedTag => {
            "this tag is not closed: > is missing (or write &lt; for a plain <)"
        }
        SyntaxError::UnclosedXmlDecl => "this <?xml is not closed: ?> is missing",
        SyntaxError::UnclosedDoubleQuotedAttributeValue
        | SyntaxError::UnclosedSingleQuotedAttributeValue => "a quote is missing in this tag",
    }
}

fn unknown_entity(name: &str) -> String {
    if name.starts_with('#') {
        return format!("&{}; is not a character that XML allows: leave it out", clip(name));
    }
    format!("there is no entity &{};: write &amp; for a plain &", clip(name))
}

/// Entities are separate events: a reader that skips them loses every `&amp;`.
fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    match reference.resolve_char_ref() {
        Ok(Some(char)) => Some(char).filter(|char| is_allowed(*char)),
        Ok(None) => resolve_predefined_entity(reference)?.chars().next(),
        Err(_) => None,
    }
}

fn value<'a>(attribute: &RawAttribute<'a>) -> Result<Cow<'a, str>, String> {
    let name = attribute.key.0;
    if attribute.value.contains('<') {
        return Err(format!(
            "{}: its closing quote is missing (or write &lt; for a plain <)",
            clip(name)
        ));
    }
    let value = attribute.normalized_value(XmlVersion::Explicit1_0);
    let value = value.map_err(|_| {
        format!("{}: an & in it begins no entity: write &amp; for a plain &", clip(name))
    })?;
    // Text borrowed from the document is checked already. Only a resolved reference can be invalid.
    match matches!(value, Cow::Borrowed(_)) || value.chars().all(is_allowed) {
        true => Ok(value),
        false => Err(format!(
            "{}: leave out the control character, which XML does not allow",
            clip(name)
        )),
    }
}

fn is_control(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')
}

fn is_allowed(char: char) -> bool {
    u8::try_from(char).map_or(!matches!(char, '\u{fffe}' | '\u{ffff}'), |byte| !is_control(byte))
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r')
}

/// Strict for ASCII, where mistakes are likely. Nearly all other characters are valid in names.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| match byte {
        b'-' | b'.' | b':' | b'_' => true,
        _ => byte.is_ascii_alphanumeric() || !byte.is_ascii(),
    };
    let is_start = |byte: u8| !byte.is_ascii_digit() && !matches!(byte, b'-' | b'.');
    text.bytes().next().is_some_and(is_start) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests;
