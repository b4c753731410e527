//! Attribute checks: attributes that contradict each other, and limits and names of the vendors.

use std::borrow::Cow;

use super::{
    Code,
    finding::{Finding, add, attribute},
};
use crate::{
    base::ids::Dialect,
    flow::{
        TextPosition, Variable,
        element::XmlElement,
        position::PositionCounter,
        url::{is_audio_name, is_target},
        variable,
        verbs::spoken,
    },
};

/// Longest text that the vendors speak (contract 3.4).
const SPEAK_CHARS_MAX: usize = 3_000;
/// Most members that the vendors allow in a room (contract 3.3).
const VENDOR_MEMBERS_MAX: u32 = 20;

/// An attribute of `<Conference>` that one vendor lacks.
struct ForeignAttribute {
    name: &'static str,
    missing_in: Dialect,
    instead: &'static str,
}

const FOREIGN: &[ForeignAttribute] = &[
    ForeignAttribute {
        name: "maxMembers",
        missing_in: Dialect::Vobiz,
        instead: "it has maxParticipants instead",
    },
    ForeignAttribute {
        name: "maxParticipants",
        missing_in: Dialect::Plivo,
        instead: "it has maxMembers instead",
    },
    ForeignAttribute {
        name: "beep",
        missing_in: Dialect::Plivo,
        instead: "it has enterSound=\"beep:1\" and exitSound=\"beep:2\" instead",
    },
    ForeignAttribute {
        name: "floorEvent",
        missing_in: Dialect::Vobiz,
        instead: "it reports no floor",
    },
];

/// Checks an element and its children.
pub(super) fn judge(
    element: &XmlElement<'_>,
    document: &str,
    dialect: Dialect,
    findings: &mut Vec<Finding>,
) {
    match element.tag {
        "Conference" => {
            judge_star(element, document, findings);
            judge_vendor(element, dialect, findings);
            judge_sounds(element, findings);
        }
        "Speak" => return judge_speak(element, findings),
        _ => (),
    }
    element.children.iter().for_each(|child| judge(child, document, dialect, findings));
}

fn judge_star(element: &XmlElement<'_>, document: &str, findings: &mut Vec<Finding>) {
    let leaves_on_star = attribute(element, "hangupOnStar").is_some_and(|it| it.value == "true");
    let Some(patterns) = attribute(element, "digitsMatch").filter(|_| leaves_on_star) else {
        return;
    };
    let starred = patterns.value.split(',').map(str::trim).find(|it| it.starts_with('*'));
    if let Some(pattern) = starred {
        let message = format!(
            "digitsMatch never sees {pattern:?}: with hangupOnStar, the key * takes the caller out"
        );
        let within = pattern.as_ptr().addr() - patterns.value.as_ptr().addr();
        let at = match &patterns.value {
            Cow::Borrowed(_) => place(document, patterns.value_offset + within),
            Cow::Owned(_) => patterns.at,
        };
        add(findings, at, Code::StarInDigitsMatch, message);
    }
}

/// The position of a byte of the document.
fn place(document: &str, offset: usize) -> TextPosition {
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    PositionCounter::new(document).position(offset)
}

fn judge_sounds(element: &XmlElement<'_>, findings: &mut Vec<Finding>) {
    for name in ["enterSound", "exitSound", "waitSound"] {
        let Some(attribute) = attribute(element, name) else { continue };
        let url = attribute.value.trim();
        if is_target(url) && is_audio_name(url) {
            let message =
                format!("{name} leads to a sound file: the vendor expects a document here");
            add(findings, attribute.at, Code::SoundIsAudio, message);
        }
    }
}

fn judge_vendor(element: &XmlElement<'_>, dialect: Dialect, findings: &mut Vec<Finding>) {
    if dialect == Dialect::Vobiz && attribute(element, "stayAlone").is_none() {
        let message = "Vobiz removes a member who is alone unless stayAlone=\"true\": even the \
                       first one, who waits for others in conflow";
        // Once for a document: the first one says it.
        if !findings.iter().any(|it| it.code == Code::AloneUnderVobiz) {
            add(findings, element.at, Code::AloneUnderVobiz, message.to_owned());
        }
    }
    for foreign in FOREIGN.iter().filter(|it| it.missing_in == dialect) {
        if let Some(attribute) = attribute(element, foreign.name) {
            let (name, instead) = (foreign.name, foreign.instead);
            let message = format!("{} has no {name}: {instead}", vendor(dialect));
            add(findings, attribute.at, Code::ForeignAttribute, message);
        }
    }
    for name in ["maxMembers", "maxParticipants"] {
        let Some(attribute) = attribute(element, name) else { continue };
        let members = attribute.value.trim().parse().unwrap_or(0);
        if VENDOR_MEMBERS_MAX < members {
            let message = format!(
                "{} allows {VENDOR_MEMBERS_MAX} members in a room, not {members}",
                vendor(dialect)
            );
            add(findings, attribute.at, Code::VendorMembersMax, message);
        }
    }
}

fn judge_speak(element: &XmlElement<'_>, findings: &mut Vec<Finding>) {
    let places = element.openings();
    for n in variable::bare(&spoken(element), Variable::KickReason) {
        let message = "${kick.reason} is empty after a kick without a reason".to_owned();
        let at = places.get(n).copied().unwrap_or(element.at);
        add(findings, at, Code::BareVariable, message);
    }
    let chars = chars(element);
    if SPEAK_CHARS_MAX < chars {
        let message = format!(
            "this text has {chars} characters; the limit of the vendors is {SPEAK_CHARS_MAX}"
        );
        add(findings, element.at, Code::LongSpeak, message);
    }
}

fn chars(element: &XmlElement<'_>) -> usize {
    let own = element.normalized_text().chars().count();
    own + element.children.iter().map(chars).sum::<usize>()
}

fn vendor(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Plivo => "Plivo",
        Dialect::Vobiz => "Vobiz",
    }
}
