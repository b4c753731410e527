//! The reference as XML Schema 1.0, for editors.
//!
//! The schema has no namespace, since flows have none, and one global element, so that no other
//! root is valid. Every element has a named type. Whitespace facets and patterns accept the same
//! texts as [`super::super::field`].

use super::{
    Attr, AttrKind, RESPONSE, TextKind, VerbInfo, bounds, doc, elements, idle, line, words,
};
use crate::flow::{Branch, ID};

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- Made by conflow reference. -->
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
"#;

/// Name of the type for SSML inside other elements; only the tags of SSML are known.
const SSML: &str = "SSML";

/// Suffix of an element's type for direct children of the root, which may have an id.
const STEP: &str = "-step";

const WEB: &str = r"[hH][tT][tT][pP][sS]?://[^\s/?#:@]\S*";
const LOCAL: &str = r"flow:\S+";
const BUILT_IN: &str = "sound:(hold|ring|beep)";
const ID_PATTERN: &str = "[A-Za-z0-9._\\-]{1,64}";
const KEY: &str = "[0-9*#A-D]";

/// The reference as an XML Schema document.
pub fn xsd() -> String {
    let mut out = XsdWriter { text: HEAD.to_owned(), depth: 1 };
    out.root();
    elements().for_each(|info| out.element(info));
    RESPONSE.children.iter().filter_map(|tag| VerbInfo::of(tag)).for_each(|info| out.step(info));
    out.ssml();
    out.text + "</xs:schema>\n"
}

struct XsdWriter {
    text: String,
    depth: usize,
}

impl XsdWriter {
    fn line(&mut self, line: &str) {
        self.text += &"  ".repeat(self.depth);
        self.text += line;
        self.text.push('\n');
    }

    /// Writes an element of the schema and its content.
    fn within(&mut self, name: &str, attributes: &str, inner: impl FnOnce(&mut Self)) {
        let blank = if attributes.is_empty() { "" } else { " " };
        self.line(&format!("<xs:{name}{blank}{attributes}>"));
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.line(&format!("</xs:{name}>"));
    }

    fn document(&mut self, text: &str) {
        if !text.is_empty() {
            let text = escape(text);
            self.line(&format!(
                "<xs:annotation><xs:documentation>{text}</xs:documentation></xs:annotation>"
            ));
        }
    }

    /// The root, with the rules that ids are unique and that branches name an id.
    fn root(&mut self) {
        let root = format!("name=\"{0}\" type=\"{0}\"", RESPONSE.tag);
        self.within("element", &root, |out| {
            let field = |name: &str| format!("<xs:field xpath=\"@{name}\"/>");
            out.within("unique", "name=\"ids\"", |out| {
                out.line("<xs:selector xpath=\"*\"/>");
                out.line(&field(ID.name));
            });
            for branch in Branch::ALL {
                let name = branch.attribute();
                out.within("keyref", &format!("name=\"{name}\" refer=\"ids\""), |out| {
                    out.line("<xs:selector xpath=\"*|PreAnswer/*\"/>");
                    out.line(&field(name));
                });
            }
        });
    }

    /// An element as a direct child of the root: it may have an id.
    fn step(&mut self, info: &VerbInfo) {
        self.within("complexType", &format!("name=\"{}{STEP}\"", info.tag), |out| {
            let content = if info.children.is_empty() { "simpleContent" } else { "complexContent" };
            out.within(content, "", |out| {
                let base = format!("base=\"{}\"", info.tag);
                out.within("extension", &base, |out| out.attribute(&RESPONSE, &ID));
            });
        });
    }

    fn element(&mut self, info: &VerbInfo) {
        let is_mixed = info.text != TextKind::None && !info.children.is_empty();
        let name =
            format!("name=\"{}\"{}", info.tag, if is_mixed { " mixed=\"true\"" } else { "" });
        self.within("complexType", &name, |out| {
            out.document(&doc(info.doc));
            if !info.children.is_empty() {
                out.children(info, info.children);
                return out.attributes(info);
            }
            out.within("simpleContent", "", |out| {
                let base = format!("base=\"{}-text\"", info.tag);
                out.within("extension", &base, |out| out.attributes(info));
            });
        });
        if info.children.is_empty() {
            let name = format!("name=\"{}-text\"", info.tag);
            self.within("simpleType", &name, |out| out.text_of(info.text));
        }
    }

    /// Any of these elements, in any order.
    fn children(&mut self, parent: &VerbInfo, tags: &[&str]) {
        let step = if parent.tag == RESPONSE.tag { STEP } else { "" };
        self.within("choice", "minOccurs=\"0\" maxOccurs=\"unbounded\"", |out| {
            for tag in tags {
                let of = if VerbInfo::of(tag).is_some() { tag } else { SSML };
                out.line(&format!("<xs:element name=\"{tag}\" type=\"{of}{step}\"/>"));
            }
        });
    }

    fn ssml(&mut self) {
        let has_ssml = |info: &&VerbInfo| info.children.iter().any(|it| VerbInfo::of(it).is_none());
        let Some(speak) = elements().filter(|info| info.tag != RESPONSE.tag).find(has_ssml) else {
            return;
        };
        self.within("complexType", &format!("name=\"{SSML}\" mixed=\"true\""), |out| {
            out.children(speak, speak.children);
            out.line("<xs:anyAttribute processContents=\"skip\"/>");
        });
    }

    fn attributes(&mut self, info: &VerbInfo) {
        info.attrs.iter().for_each(|attr| self.attribute(info, attr));
    }

    fn attribute(&mut self, info: &VerbInfo, attr: &Attr) {
        self.within("attribute", &format!("name=\"{}\"", attr.name), |out| {
            out.document(&about(info, attr));
            out.within("simpleType", "", |out| out.kind(attr.kind));
        });
    }

    fn text_of(&mut self, text: TextKind) {
        match text {
            TextKind::Digits => self.pattern("string", r"\s*([0-9*#wW]\s*)+"),
            // Blanks are allowed.
            TextKind::None => self.restrict("token", &["<xs:maxLength value=\"0\"/>"]),
            TextKind::Room => self.restrict(
                "token",
                &["<xs:minLength value=\"1\"/>", "<xs:maxLength value=\"256\"/>"],
            ),
            TextKind::Url => self.pattern("token", r"\S+"),
            TextKind::Words => self.restrict("string", &[]),
        }
    }

    fn kind(&mut self, kind: AttrKind) {
        if let Some(words) = words(kind) {
            let words: Vec<_> = words.iter().map(|it| enumeration(it)).collect();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            return self.restrict("string", &words);
        }
        match kind {
            AttrKind::Audio => self.pattern("token", &format!("|{WEB}|{LOCAL}|{BUILT_IN}")),
            AttrKind::Element => self.pattern("token", ID_PATTERN),
            AttrKind::Id => self.pattern("string", ID_PATTERN),
            AttrKind::Key => self.pattern("string", &format!("|none|{KEY}")),
            AttrKind::KeysOrNone => self.pattern("string", &format!("|none|{KEY}+")),
            AttrKind::Keys => self.pattern("string", &format!("{KEY}+")),
            AttrKind::Milliseconds(..) | AttrKind::Number(..) | AttrKind::Seconds(..) => {
                self.number(kind);
            }
            AttrKind::Patterns => self.pattern("token", &format!("{KEY}*( ?, ?{KEY}*)*")),
            AttrKind::SecondsOrAuto(..) => self.within("union", "", |out| {
                let auto = enumeration("auto");
                out.within("simpleType", "", |out| out.restrict("string", &[&auto]));
                out.within("simpleType", "", |out| out.number(kind));
            }),
            AttrKind::Sound(beeps) => {
                let beeps = if beeps { "|beep:[12]" } else { "" };
                self.pattern("token", &format!("|{WEB}|{LOCAL}|{BUILT_IN}{beeps}"));
            }
            AttrKind::Target => self.pattern("token", &format!("|{WEB}|{LOCAL}")),
            AttrKind::Bool | AttrKind::Choice(_) | AttrKind::Text => self.restrict("string", &[]),
            AttrKind::Web => self.pattern("token", &format!("|{WEB}")),
        }
    }

    fn number(&mut self, kind: AttrKind) {
        let (min, max) = bounds(kind).unwrap_or_default();
        let mut facets = vec![
            // `xs:unsignedInt` would accept a sign.
            "<xs:pattern value=\"[0-9]+\"/>".to_owned(),
            format!("<xs:minInclusive value=\"{min}\"/>"),
        ];
        facets.extend(max.map(|max| format!("<xs:maxInclusive value=\"{max}\"/>")));
        let facets: Vec<_> = facets.iter().map(String::as_str).collect();
        self.restrict("unsignedInt", &facets);
    }

    fn pattern(&mut self, base: &str, pattern: &str) {
        self.restrict(base, &[&format!("<xs:pattern value=\"{}\"/>", escape(pattern))]);
    }

    fn restrict(&mut self, base: &str, facets: &[&str]) {
        let base = format!("base=\"xs:{base}\"");
        self.within("restriction", &base, |out| facets.iter().for_each(|facet| out.line(facet)));
    }
}

/// Documentation of an attribute, which editors show.
fn about(element: &VerbInfo, attr: &Attr) -> String {
    let default = match (attr.plivo, attr.vobiz) {
        (None, None) => None,
        (plivo, vobiz) if plivo == vobiz => plivo.map(str::to_owned),
        (plivo, vobiz) => {
            let none = "none";
            Some(format!("{} (Plivo), {} (Vobiz)", plivo.unwrap_or(none), vobiz.unwrap_or(none)))
        }
    };
    let mut about = vec![line(attr.doc)];
    about.extend(default.map(|it| format!("Default: {it}.")));
    about.extend(idle(element, attr).map(|it| format!("No effect yet: {it}.")));
    about.extend((!attr.example.is_empty()).then(|| format!("Example: {}", attr.example)));
    about.join(" ").trim().to_owned()
}

fn enumeration(word: &str) -> String {
    format!("<xs:enumeration value=\"{}\"/>", escape(word))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
