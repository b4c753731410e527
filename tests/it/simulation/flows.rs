//! Random flows, kicks and documents for the lives.

use std::{sync::Arc, time::Duration};

use conflow::{
    base::ids::Dialect,
    conference::{Kick, KickTarget},
    flow::{Branch, ConferenceSound, DialectFlows, DocumentError, Fetched, Flow},
};
use fastrand::Rng;

use super::ROOMS;

/// Conferences, with something to say before, between and after.
pub(super) fn flow(rng: &mut Rng) -> Flow {
    let elements: String = (0..ELEMENTS).map(|n| named(&element(rng, n), n)).collect();
    parse(&format!("<Response>{elements}</Response>"))
}

const ELEMENTS: usize = 6;

/// The element with an id, as the target of branches.
fn named(element: &str, n: usize) -> String {
    let end = element.find([' ', '>', '/']).unwrap();
    format!("{} id='e{n}'{}", &element[..end], &element[end..])
}

/// A branch from the nth element to a later one, or none.
fn branch(rng: &mut Rng, name: &str, n: usize) -> String {
    match n + 1 < ELEMENTS && rng.u8(0..3) == 0 {
        true => format!(" {name}='e{}'", rng.usize(n + 1..ELEMENTS)),
        false => String::new(),
    }
}

/// A kick with any options.
pub(super) fn kick(rng: &mut Rng) -> Kick {
    let target = match rng.u8(0..8) {
        0 => KickTarget::HangUp,
        1 => KickTarget::Fetch(url(rng).into()),
        2 => {
            let document = "<Response><Speak>words</Speak><Wait length='3'/></Response>";
            KickTarget::Document(Box::new(DialectFlows::parse(document).unwrap()))
        }
        3 => KickTarget::Element(format!("e{}", rng.usize(0..ELEMENTS)).into()),
        _ => KickTarget::Flow,
    };
    let ban = (rng.u8(0..6) == 0).then(|| Duration::from_secs(rng.u64(1..30)));
    Kick { reason: Some("so it goes".into()), target, ban, is_dry_run: rng.u8(0..8) == 0 }
}

/// The document at a URL. None leads back, so every life ends.
pub(super) fn document(url: &str) -> Fetched {
    let document = match url {
        "flow:goodbye" => "<Response><Speak>words</Speak></Response>",
        "flow:again" => {
            "<Response><Conference hangupOnStar='true'>room-0</Conference>\
             <Redirect>flow:goodbye</Redirect></Response>"
        }
        "flow:empty" => "<Response/>",
        _ => return Err(DocumentError::Unreachable("nobody there".into())),
    };
    Ok(Arc::new(parse(document)))
}

fn parse(document: &str) -> Flow {
    Flow::parse(document, Dialect::Vobiz).unwrap()
}

/// The sound of a hold: none, one that is there, or a document that may or may not exist.
pub(super) fn hold_sound(rng: &mut Rng) -> Option<ConferenceSound> {
    match rng.u8(0..3) {
        0 => None,
        1 => Some(ConferenceSound::BuiltIn("sound:hold".into())),
        _ => Some(ConferenceSound::Document(url(rng).into())),
    }
}

/// A URL that may or may not exist.
pub(super) fn url(rng: &mut Rng) -> &'static str {
    ["flow:goodbye", "flow:again", "flow:empty", "flow:nowhere"][rng.usize(0..4)]
}

fn element(rng: &mut Rng, n: usize) -> String {
    match rng.u8(0..18) {
        0..3 => "<Speak>words</Speak>".to_owned(),
        3 => format!("<Wait length='{}'/>", rng.u8(1..20)),
        4 => format!(
            "<GetDigits numDigits='2' retries='2' action='{}'{}><Speak>prompt</Speak></GetDigits>",
            url(rng),
            branch(rng, "onError", n)
        ),
        5 => "<DTMF async='false'>1w2</DTMF>".to_owned(),
        6 => match rng.u8(0..4) {
            0 => {
                let on_error = branch(rng, "onError", n);
                format!("<Redirect{on_error}>{}</Redirect>", url(rng))
            }
            1 => "<Hangup schedule='30'/>".to_owned(),
            _ => "<PreAnswer><Play>sound:ring</Play></PreAnswer>".to_owned(),
        },
        _ => conference(rng, n),
    }
}

fn conference(rng: &mut Rng, n: usize) -> String {
    let mut flag = |name: &str, one_in: u8| format!(" {name}='{}'", rng.u8(0..one_in) == 0);
    let mut attributes = [
        flag("muted", 3),
        flag("endConferenceOnExit", 5),
        flag("hangupOnStar", 2),
        flag("relayDTMF", 2),
    ]
    .concat();
    // Mostly true: if nobody starts a room, little happens.
    let mut not = |name: &str, one_in: u8| format!(" {name}='{}'", rng.u8(0..one_in) != 0);
    attributes += &not("startConferenceOnEnter", 3);
    attributes += &not("stayAlone", 3);
    let mut maybe = |text: String| if rng.u8(0..4) == 0 { text } else { String::new() };
    attributes += &maybe(" enterSound='beep:1' exitSound='flow:goodbye'".to_owned());
    attributes += &maybe(" waitSound='flow:goodbye'".to_owned());
    attributes += &maybe(" action='flow:again'".to_owned());
    attributes += &maybe(" action='flow:lost'".to_owned());
    attributes += &maybe(" action='flow:nowhere' redirect='false'".to_owned());
    attributes += &maybe(" digitsMatch='1,12,2*'".to_owned());
    let receiver = rng.usize(0..3);
    if 0 < receiver {
        attributes += &format!(" callbackUrl='http://receiver-{receiver}.example/'");
        attributes += if rng.bool() { " callbackOrder='call'" } else { " floorEvent='true'" };
    }
    // A duplicate attribute is an error.
    for url in ["flow:again", "flow:lost"] {
        if 1 < attributes.matches(" action=").count() {
            attributes = attributes.replacen(&format!(" action='{url}'"), "", 1);
        }
    }
    for name in Branch::ALL.iter().map(|it| it.attribute()) {
        attributes += &branch(rng, name, n);
    }
    let (limit, room) = (rng.u8(0..100), rng.usize(0..ROOMS));
    // Room 0 is open to everyone; a group mostly guards each of the others.
    if 0 < room && rng.u8(0..12) != 0 {
        attributes += &format!(" group='{room}'");
        attributes += if rng.u8(0..4) == 0 { " moderators='admin'" } else { "" };
    }
    format!("<Conference timeLimit='{limit}'{attributes}>room-{room}</Conference>")
}
