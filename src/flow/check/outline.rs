//! Outlines: the links and rooms of a document, for the checks across documents.

use super::{
    finding::attribute,
    order::{self, ElementOrder},
};
use crate::flow::{
    AttrKind, Branch, TextPosition, Verb,
    element::XmlElement,
    verbs::{TextKind, VerbInfo},
};

/// Summary of a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Outline {
    pub(super) links: Vec<FlowLink>,
    pub(super) rooms: Vec<RoomUse>,
    /// The <Redirect> that every call reaches unless something leads it elsewhere.
    pub(super) redirect: Option<DefaultRedirect>,
    /// Elements that are ignored if the document is used as a sound.
    pub(super) soundless: Vec<(TextPosition, &'static str)>,
}

/// A `flow:` link to a document or file.
#[derive(Clone, Debug)]
pub(super) struct FlowLink {
    pub(super) at: TextPosition,
    /// The URL without `flow:`.
    pub(super) name: String,
    pub(super) to: LinkTarget,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LinkTarget {
    Audio,
    Document,
    /// A document that is used as a conference's sound.
    Sound,
}

#[derive(Clone, Debug)]
pub(super) struct RoomUse {
    pub(super) at: TextPosition,
    pub(super) name: String,
    /// Position of its `endConferenceOnExit="true"`.
    pub(super) ends_at: Option<TextPosition>,
    /// Whether an element or action follows when the room ends.
    pub(super) goes_on: bool,
}

/// The redirect at which a document ends by default.
#[derive(Clone, Debug)]
pub(super) struct DefaultRedirect {
    pub(super) at: TextPosition,
    /// None for a web URL.
    pub(super) name: Option<String>,
    /// Whether nothing is heard or waited for before it.
    pub(super) is_silent: bool,
    /// Whether an element before it can lead elsewhere.
    pub(super) has_exit: bool,
}

impl Outline {
    pub(super) fn of(root: &XmlElement<'_>, order: &ElementOrder<'_, '_, '_>) -> Self {
        let mut outline = Self { redirect: default_redirect(order), ..Self::default() };
        outline.link(root);
        for (i, item) in order.reachable() {
            if let Verb::Conference(verb) = &item.verb {
                let ends = item.attribute("endConferenceOnExit").filter(|_| verb.options.ends);
                outline.rooms.push(RoomUse {
                    at: item.element.at,
                    name: verb.room.to_string(),
                    ends_at: ends.map(|it| it.at),
                    goes_on: order.goes_on(i, Branch::End),
                });
            }
        }
        for item in order.items {
            let is_holder = matches!(item.verb, Verb::PreAnswer(_));
            if !is_holder && !matches!(item.verb, Verb::Play(_) | Verb::Speak(_) | Verb::Wait(_)) {
                outline.soundless.push((item.element.at, item.verb.info().tag));
            }
        }
        outline
    }

    fn link(&mut self, element: &XmlElement<'_>) {
        if let Some(info) = VerbInfo::of(element.tag).filter(|info| info.is_run) {
            self.link_attributes(element, info);
            if info.text == TextKind::Url {
                let to =
                    if info.tag == "Redirect" { LinkTarget::Document } else { LinkTarget::Audio };
                let at = element.text_at.first().copied().unwrap_or(element.at);
                self.add(at, &element.normalized_text(), to);
            }
        }
        element.children.iter().for_each(|child| self.link(child));
    }

    fn link_attributes(&mut self, element: &XmlElement<'_>, info: &VerbInfo) {
        for attr in info.attrs {
            let Some(attribute) = attribute(element, attr.name) else { continue };
            let to = match attr.kind {
                AttrKind::Audio => LinkTarget::Audio,
                AttrKind::Element | AttrKind::Id => continue,
                AttrKind::Sound(_) => LinkTarget::Sound,
                AttrKind::Target => LinkTarget::Document,
                AttrKind::Bool
                | AttrKind::Choice(_)
                | AttrKind::Key
                | AttrKind::Keys
                | AttrKind::KeysOrNone
                | AttrKind::Patterns => continue,
                AttrKind::Milliseconds(..) | AttrKind::Number(..) | AttrKind::Seconds(..) => {
                    continue;
                }
                AttrKind::SecondsOrAuto(..) | AttrKind::Text | AttrKind::Web => continue,
            };
            self.add(attribute.at, attribute.value.trim(), to);
        }
    }

    fn add(&mut self, at: TextPosition, url: &str, to: LinkTarget) {
        if let Some(name) = local(url) {
            self.links.push(FlowLink { at, name, to });
        }
    }
}

fn local(url: &str) -> Option<String> {
    let name = url.strip_prefix("flow:")?;
    (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| name.to_owned())
}

fn default_redirect(order: &ElementOrder<'_, '_, '_>) -> Option<DefaultRedirect> {
    let (mut is_silent, mut has_exit) = (true, false);
    for (_, item) in order.reachable() {
        if let Verb::Redirect(verb) = &item.verb {
            let (at, name) = (item.element.at, local(&verb.url));
            return Some(DefaultRedirect { at, name, is_silent, has_exit });
        }
        // An element after it is reached by a branch only.
        if order::leads_away(&item.verb).is_some() {
            return None;
        }
        is_silent &= !order::takes_time(&item.verb);
        has_exit |= order::offers_exit(&item.verb);
    }
    None
}
