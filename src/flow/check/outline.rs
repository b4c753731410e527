//! What other documents need to know of one: where it leads, and which rooms it enters.

use super::{
    attribute,
    order::{self, Order},
};
use crate::flow::{
    Branch, Kind, Place, Verb,
    element::Element,
    verbs::{Text, VerbInfo},
};

/// A document, from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Outline {
    pub(super) links: Vec<Link>,
    pub(super) rooms: Vec<Room>,
    /// The <Redirect> that every call comes to which is led nowhere else.
    pub(super) onward: Option<Onward>,
    /// The elements that are passed over where the document is a conference's sound.
    pub(super) soundless: Vec<(Place, &'static str)>,
}

/// A `flow:` link.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) at: Place,
    /// Without the scheme.
    pub(super) name: String,
    pub(super) to: To,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum To {
    /// A sound file.
    Audio,
    /// A document that runs.
    Document,
    /// A document that a conference plays.
    Sound,
}

/// A conference.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) at: Place,
    pub(super) name: String,
    /// Where it says that the room ends when a member leaves.
    pub(super) ends_at: Option<Place>,
    /// Whether there is something to go on with when the room ends.
    pub(super) goes_on: bool,
}

/// Where a document leads of itself.
#[derive(Clone, Debug)]
pub(super) struct Onward {
    pub(super) at: Place,
    /// None for a URL of the web.
    pub(super) name: Option<String>,
    /// Nothing is heard or waited for before.
    pub(super) is_silent: bool,
    /// Something before it can lead elsewhere.
    pub(super) has_ways: bool,
}

impl Outline {
    pub(super) fn of(root: &Element<'_>, order: &Order<'_, '_, '_>) -> Self {
        let mut outline = Self { onward: onward(order), ..Self::default() };
        outline.link(root);
        for (i, item) in order.living() {
            if let Verb::Conference(verb) = &item.verb {
                let ends = item.attribute("endConferenceOnExit").filter(|_| verb.entry.ends);
                outline.rooms.push(Room {
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

    fn link(&mut self, element: &Element<'_>) {
        if let Some(info) = VerbInfo::of(element.tag).filter(|info| info.is_run) {
            self.link_attributes(element, info);
            if info.text == Text::Url {
                let to = if info.tag == "Redirect" { To::Document } else { To::Audio };
                let at = element.text_at.first().copied().unwrap_or(element.at);
                self.add(at, &element.words(), to);
            }
        }
        element.children.iter().for_each(|child| self.link(child));
    }

    fn link_attributes(&mut self, element: &Element<'_>, info: &VerbInfo) {
        for attr in info.attrs {
            let Some(attribute) = attribute(element, attr.name) else { continue };
            let to = match attr.kind {
                Kind::Audio => To::Audio,
                Kind::Element | Kind::Id => continue,
                Kind::Sound(_) => To::Sound,
                Kind::Target => To::Document,
                Kind::Bool | Kind::Choice(_) | Kind::Key | Kind::Keys | Kind::Patterns => continue,
                Kind::Milliseconds(..) | Kind::Number(..) | Kind::Seconds(..) => continue,
                Kind::SecondsOrAuto(..) | Kind::Text | Kind::Web => continue,
            };
            self.add(attribute.at, attribute.value.trim(), to);
        }
    }

    fn add(&mut self, at: Place, url: &str, to: To) {
        if let Some(name) = local(url) {
            self.links.push(Link { at, name, to });
        }
    }
}

fn local(url: &str) -> Option<String> {
    let name = url.strip_prefix("flow:")?;
    (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| name.to_owned())
}

fn onward(order: &Order<'_, '_, '_>) -> Option<Onward> {
    let (mut is_silent, mut has_ways) = (true, false);
    for (_, item) in order.living() {
        if let Verb::Redirect(verb) = &item.verb {
            let (at, name) = (item.element.at, local(&verb.url));
            return Some(Onward { at, name, is_silent, has_ways });
        }
        // What lives behind it is led to by a branch.
        if order::leads_away(&item.verb).is_some() {
            return None;
        }
        is_silent &= !order::takes_time(&item.verb);
        has_ways |= order::offers_a_way(&item.verb);
    }
    None
}
