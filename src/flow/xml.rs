//! From text to elements. The only file that knows quick-xml.

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
    Fault, FlowError, Place,
    element::{Attribute, Element},
    error::clip,
    position::Ruler,
};

/// What the vendors allow (contract 3.1).
const DOCUMENT_BYTES_MAX: usize = 100 * 1024;
/// The deepest sensible nesting is five; the rest is room for SSML.
const DEPTH_MAX: usize = 32;
/// Many times the longest flow seen; it bounds what a call runs without waiting, too.
pub(super) const ELEMENTS_MAX: usize = 1_000;
/// Twice what the verb with the most attributes has.
const ATTRIBUTES_MAX: usize = 64;

/// Reads one document and returns its root, which must have this name.
pub(super) fn read<'a>(document: &'a str, root_tag: &str) -> Result<Element<'a>, FlowError> {
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    let mut tree = Tree {
        document,
        root_tag,
        ruler: Ruler::new(document),
        offset: 0,
        end: 0,
        elements: 0,
        open: Vec::with_capacity(4),
        root: None,
        in_text: false,
    };
    if DOCUMENT_BYTES_MAX < document.len() {
        return Err(tree.fault(limit(DOCUMENT_BYTES_MAX, "bytes", SPLIT)));
    }
    tree.check_characters()?;
    // quick-xml would pass over it, and count wrong.
    if document.starts_with('\u{feff}') {
        return Err(tree.fault(Fault::RootText));
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

/// What has been read so far.
struct Tree<'a, 'r> {
    document: &'a str,
    root_tag: &'r str,
    ruler: Ruler<'a>,
    /// Where the current event begins, and where it ends.
    offset: usize,
    end: usize,
    elements: usize,
    open: Vec<Element<'a>>,
    root: Option<Element<'a>>,
    /// Whether a piece of text has begun since the last tag.
    in_text: bool,
}

impl<'a> Tree<'a, '_> {
    /// XML knows no control characters but tab, line feed and carriage return.
    fn check_characters(&mut self) -> Result<(), FlowError> {
        // Without a way out of the loop it is done sixteen bytes at a time.
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
            Event::DocType(_) => Err(self.fault(Fault::DocumentType)),
            Event::Comment(_) | Event::Eof | Event::PI(_) => Ok(()),
        }
    }

    fn start(&mut self, name_len: usize, len: usize) -> Result<(), FlowError> {
        let content = &self.document[self.offset + 1..][..len];
        let tag = &content[..name_len];
        if self.root.is_some() {
            return Err(self.fault(Fault::RootSecond { tag: clip(tag) }));
        }
        if self.open.len() == DEPTH_MAX {
            let advice = "take this one out of those around it";
            return Err(self.fault(limit(DEPTH_MAX, "elements within each other", advice)));
        }
        if self.elements == ELEMENTS_MAX {
            return Err(self.fault(limit(ELEMENTS_MAX, "elements", SPLIT)));
        }
        if !is_name(tag) {
            let what = "an element's name must follow this <: write &lt; for a plain <";
            return Err(self.malformed(what.into()));
        }

        if self.open.is_empty() && tag != self.root_tag {
            return Err(self.fault(Fault::Root { tag: clip(tag) }));
        }

        let at = self.here();
        let text_before = self.open.last().map_or(0, |parent| parent.text.len());
        let attributes = self.attributes(content, name_len)?;
        self.open.push(Element { at, tag, attributes, text_before, ..Element::default() });
        self.elements += 1;
        self.in_text = false;
        Ok(())
    }

    fn attributes(
        &mut self,
        content: &'a str,
        name_len: usize,
    ) -> Result<Vec<Attribute<'a>>, FlowError> {
        let mut attributes = Vec::new();
        let begin = self.offset + 1;
        for attribute in Attributes::new(content, name_len) {
            let attribute = attribute.map_err(|error| self.misread_attribute(&error, begin))?;
            let name = attribute.key.0;
            // The name is a part of the tag: its address is its place.
            let within = name.as_ptr().addr() - content.as_ptr().addr();
            self.offset = begin + within;
            if attributes.len() == ATTRIBUTES_MAX {
                let (what, advice) =
                    ("attributes in an element", "leave out those it does not know");
                return Err(self.fault(limit(ATTRIBUTES_MAX, what, advice)));
            }
            if !content[..within].ends_with(is_blank) {
                return Err(self.malformed("put a blank before this attribute".into()));
            }
            if !is_name(name) {
                return Err(self.malformed(format!("{:?} names no attribute", clip(name))));
            }
            let value = value(&attribute).map_err(|what| self.malformed(what))?;
            attributes.push(Attribute { at: self.here(), name, value });
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
        let at = self.ruler.place(offset);
        let Some(element) = self.open.last_mut() else {
            return Err(FlowError { at, fault: Fault::RootText });
        };
        element.text_at.push(at);
        self.in_text = true;
        Ok(())
    }

    fn declaration(&mut self, declaration: &BytesDecl<'_>) -> Result<(), FlowError> {
        if self.offset != 0 {
            let what = "nothing, not even a blank, stands before <?xml: move it to the very start";
            return Err(self.malformed(what.into()));
        }
        if declaration.version().is_err() {
            let what = "the declaration must name its version first: <?xml version=\"1.0\"?>";
            return Err(self.malformed(what.into()));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if is_utf8(&name) => Ok(()),
            Some(Ok(name)) => Err(self.fault(Fault::Encoding { name: clip(&name) })),
            Some(Err(error)) => Err(self.misread_attribute(&error, self.offset + 2)),
        }
    }

    fn finish(mut self) -> Result<Element<'a>, FlowError> {
        if let Some(open) = self.open.last() {
            let what = format!("<{0}> is not closed: </{0}> is missing", clip(open.tag));
            return Err(FlowError { at: open.at, fault: Fault::Xml { what } });
        }
        match self.root.take() {
            Some(root) => Ok(root),
            None => Err(self.fault(Fault::RootMissing)),
        }
    }

    fn here(&mut self) -> Place {
        self.ruler.place(self.offset)
    }

    fn fault(&mut self, fault: Fault) -> FlowError {
        FlowError { at: self.here(), fault }
    }

    fn malformed(&mut self, what: String) -> FlowError {
        self.fault(Fault::Xml { what })
    }

    /// In our words, and where the thing begins that is wrong.
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

    /// The last quote of its kind begins the value: another one would end it.
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

    /// At the attribute's name. `begin` is where the tag's content begins, from which the error
    /// counts.
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

/// Where the name of the attribute begins that is under way at this place in a tag.
fn name_before(content: &str, at: usize) -> usize {
    let before = content[..at].trim_end_matches(is_blank);
    let before = before.strip_suffix('=').unwrap_or(before).trim_end_matches(is_blank);
    before.rfind(is_blank).map_or(0, |blank| blank + 1)
}

fn limit(max: usize, what: &'static str, advice: &'static str) -> Fault {
    Fault::Limit { max, what, advice }
}

const SPLIT: &str = "split it, and lead from one part to the next by <Redirect>";
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
        return format!("&{}; is no character that XML allows: leave it out", clip(name));
    }
    format!("there is no entity &{};: write &amp; for a plain &", clip(name))
}

/// Entities come as events of their own: a reader that skips them loses every `&amp;`.
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
    // As it stands in the document it has been checked: only what a reference made can be odd.
    match matches!(value, Cow::Borrowed(_)) || value.chars().all(is_allowed) {
        true => Ok(value),
        false => Err(format!(
            "{}: leave out the control character, which XML does not allow",
            clip(name)
        )),
    }
}

fn is_utf8(encoding: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|name| name.eq_ignore_ascii_case(encoding))
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

/// Strict where a slip is likely: in ASCII. Beyond it, nearly all characters are good in names.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| match byte {
        b'-' | b'.' | b':' | b'_' => true,
        _ => byte.is_ascii_alphanumeric() || !byte.is_ascii(),
    };
    let is_start = |byte: u8| !byte.is_ascii_digit() && !matches!(byte, b'-' | b'.');
    text.bytes().next().is_some_and(is_start) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_entities_and_character_data() {
        let root =
            read("<Speak>Fish &amp; chips &#233;&#x20;<![CDATA[<now>\n&amp;]]> </Speak>", "Speak")
                .unwrap();
        assert_eq!(root.words(), "Fish & chips é <now> &amp;");
        let root = read("<Play loop='1' x='&lt;&quot;a\tb&#10;'/>", "Play").unwrap();
        assert_eq!(root.attributes[1].value, "<\"a b\n");
    }

    #[test]
    fn copies_nothing_that_stands_in_the_document() {
        let root = read("<x a='b'>text<y/></x>", "x").unwrap();
        assert!(matches!(root.text, Cow::Borrowed("text")));
        assert!(matches!(root.attributes[0].value, Cow::Borrowed("b")));
    }

    #[test]
    fn keeps_to_its_limits() {
        let error = |document: String| read(&document, "x").unwrap_err().to_string();
        let nested = |depth| "<x>".repeat(depth) + &"</x>".repeat(depth);
        assert!(read(&nested(DEPTH_MAX), "x").is_ok());
        let expected = "1:97: a flow has at most 32 elements within each other";
        assert!(error(nested(DEPTH_MAX + 1)).starts_with(expected));

        let many = |n| format!("<x>\n{}</x>", "<y/>".repeat(n - 1));
        assert!(read(&many(ELEMENTS_MAX), "x").is_ok());
        let expected = "2:3997: a flow has at most 1000 elements:";
        assert!(error(many(ELEMENTS_MAX + 1)).starts_with(expected));

        let wide =
            |n| format!("<x {}/>", (0..n).map(|i| format!("a{i:02}='' ")).collect::<String>());
        assert!(read(&wide(ATTRIBUTES_MAX), "x").is_ok());
        let expected = "1:452: a flow has at most 64 attributes in an element:";
        assert!(error(wide(ATTRIBUTES_MAX + 1)).starts_with(expected));

        let long = |n: usize| format!("<x>{}</x>", " ".repeat(n - 7));
        assert!(read(&long(DOCUMENT_BYTES_MAX), "x").is_ok());
        let expected = "1:1: a flow has at most 102400 bytes:";
        assert!(error(long(DOCUMENT_BYTES_MAX + 1)).starts_with(expected));
    }
}
