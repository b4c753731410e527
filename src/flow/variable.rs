//! Variables in Speak and Play: `${kick.reason}` is replaced by the reason of the kick.
//!
//! `$${kick.reason}` stands for the literal text `${kick.reason}`. An unknown name is left as
//! written, because a vendor's text may contain it for other reasons.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    FlowWarningKind,
    attrs::ElementReader,
    error::{clip, nearest},
};
use crate::media::{Program, Sound, SoundKind};

/// A variable that a text can name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variable {
    /// `call.from`: number of the caller.
    CallFrom,
    /// `call.to`: number that was called.
    CallTo,
    /// `conference.cause`: why the call left its last conference, or was not admitted.
    ConferenceCause,
    /// `conference.name`: that conference; in the sounds of a conference, this one.
    ConferenceName,
    /// `digits`: the last input, unless it has `log="false"`.
    Digits,
    /// `kick.reason`: reason given with the last kick.
    KickReason,
}

impl Variable {
    /// All variables with their names in texts.
    pub const ALL: &[(Self, &str)] = &[
        (Self::CallFrom, "call.from"),
        (Self::CallTo, "call.to"),
        (Self::ConferenceCause, "conference.cause"),
        (Self::ConferenceName, "conference.name"),
        (Self::Digits, "digits"),
        (Self::KickReason, "kick.reason"),
    ];

    fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, it)| *it == name).map(|(variable, _)| *variable)
    }
}

/// Values of the variables; empty if there is none yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct VariableValues<'a> {
    /// Value of [`Variable::CallFrom`] (`call.from`).
    pub call_from: &'a str,
    /// Value of [`Variable::CallTo`] (`call.to`).
    pub call_to: &'a str,
    /// Value of [`Variable::ConferenceCause`] (`conference.cause`).
    pub conference_cause: &'a str,
    /// Value of [`Variable::ConferenceName`] (`conference.name`).
    pub conference_name: &'a str,
    /// Value of [`Variable::Digits`] (`digits`).
    pub digits: &'a str,
    /// Value of [`Variable::KickReason`] (`kick.reason`).
    pub kick_reason: &'a str,
}

impl<'a> VariableValues<'a> {
    fn of(&self, variable: Variable) -> &'a str {
        match variable {
            Variable::CallFrom => self.call_from,
            Variable::CallTo => self.call_to,
            Variable::ConferenceCause => self.conference_cause,
            Variable::ConferenceName => self.conference_name,
            Variable::Digits => self.digits,
            Variable::KickReason => self.kick_reason,
        }
    }

    /// Replaces the variables in a program. Most programs have none and are returned unchanged.
    pub fn fill(&self, program: Program) -> Program {
        match has_variables(&program) {
            true => program.iter().map(|sound| self.fill_sound(sound)).collect(),
            false => program,
        }
    }

    fn fill_sound(&self, sound: &Sound) -> Sound {
        let what = match &sound.what {
            SoundKind::Speech { text, voice, language } => {
                let text = self.fill_text(text, Cow::from);
                SoundKind::Speech { text, voice: voice.clone(), language: language.clone() }
            }
            // A value stays within one part of the URL: reserved characters are escaped.
            SoundKind::Url(url) => SoundKind::Url(
                self.fill_text(url, |value| utf8_percent_encode(value, OUTSIDE_URLS).into()),
            ),
            SoundKind::Beep(_) | SoundKind::Silence(_) => sound.what.clone(),
        };
        Sound { what, times: sound.times }
    }

    fn fill_text<'v>(&'v self, text: &str, write: impl Fn(&'v str) -> Cow<'v, str>) -> Arc<str> {
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                TextPiece::Text(text) => filled.push_str(text),
                TextPiece::Variable(variable) => filled.push_str(&write(self.of(variable))),
                TextPiece::Escaped(name) | TextPiece::Unknown(name) => {
                    let written = write!(filled, "${{{name}}}");
                    written.expect("there is room in memory");
                }
            }
        }
        filled.into()
    }
}

/// All except the unreserved characters of RFC 3986, section 2.3.
const OUTSIDE_URLS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whether a program depends on the call.
pub(crate) fn has_variables(program: &[Sound]) -> bool {
    program.iter().any(|sound| match &sound.what {
        SoundKind::Speech { text, .. } | SoundKind::Url(text) => text.contains("${"),
        SoundKind::Beep(_) | SoundKind::Silence(_) => false,
    })
}

impl ElementReader<'_, '_> {
    /// Warns about unknown variables.
    pub(super) fn warn_unknown_variables(&mut self, text: &str) {
        let at = self.element.text_at.first().copied().unwrap_or(self.element.at);
        for piece in pieces(text) {
            if let TextPiece::Unknown(name) = piece {
                let near = nearest(name, Variable::ALL.iter().map(|(_, name)| *name));
                self.warn(at, FlowWarningKind::VariableUnknown { name: clip(name), near });
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum TextPiece<'t> {
    /// Name of a variable that stands for its literal text.
    Escaped(&'t str),
    Text(&'t str),
    Unknown(&'t str),
    Variable(Variable),
}

/// Splits a text at its variables.
fn pieces(mut text: &str) -> impl Iterator<Item = TextPiece<'_>> {
    let mut next = None;
    std::iter::from_fn(move || {
        if let Some(piece) = next.take() {
            return Some(piece);
        }
        let mut from = 0;
        while let Some(start) = text[from..].find("${").map(|at| from + at) {
            let name = text[start + 2..].split('}').next().unwrap_or_default();
            let end = start + 2 + name.len() + 1;
            if end <= text.len() && is_name(name) {
                let (mut before, known) = (&text[..start], Variable::find(name));
                let piece = match (known, before.strip_suffix('$')) {
                    (Some(_), Some(shorter)) => {
                        before = shorter;
                        TextPiece::Escaped(name)
                    }
                    (Some(variable), None) => TextPiece::Variable(variable),
                    (None, _) => TextPiece::Unknown(name),
                };
                text = &text[end..];
                next = Some(piece);
                return Some(TextPiece::Text(before));
            }
            from = start + 2;
        }
        let rest = std::mem::take(&mut text);
        (!rest.is_empty()).then_some(TextPiece::Text(rest))
    })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Far longer than any variable's name: longer text is not meant as one.
const NAME_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::ids::Dialect, flow::Flow};

    const VALUES: VariableValues<'_> = VariableValues {
        call_from: "14155550100",
        call_to: "sip:a@b",
        conference_cause: "kicked",
        conference_name: "My Room/ü",
        digits: "12#",
        kick_reason: "too ${digits} loud",
    };

    #[track_caller]
    fn check(elements: &str, expected: &str) {
        let document = format!("<Response>{elements}</Response>");
        let flow = Flow::parse(&document, Dialect::Vobiz).unwrap();
        let filled = VALUES.fill(flow.sounds().into());
        let text = |sound: &Sound| match &sound.what {
            SoundKind::Speech { text, .. } | SoundKind::Url(text) => text.to_string(),
            SoundKind::Beep(_) | SoundKind::Silence(_) => panic!(),
        };
        let warnings = flow.warnings.iter().map(ToString::to_string);
        let shown: Vec<_> = filled.iter().map(text).chain(warnings).collect();
        assert_eq!(shown.join("\n"), expected, "{elements}");
    }

    #[test]
    fn a_text_has_what_its_variables_stand_for() {
        check("<Speak>a ${call.from} b</Speak>", "a 14155550100 b");
        check("<Speak>${call.to}${conference.cause}</Speak>", "sip:a@bkicked");
        check("<Speak>${conference.name}: ${digits}.</Speak>", "My Room/ü: 12#.");
        // A variable's value is not scanned for variables.
        check("<Speak>${kick.reason}</Speak>", "too ${digits} loud");
    }

    #[test]
    fn a_value_in_a_url_is_a_part_of_it() {
        check(
            "<Play>https://a/${conference.name}?d=${digits}&amp;r=${call.to}</Play>",
            "https://a/My%20Room%2F%C3%BC?d=12%23&r=sip%3Aa%40b",
        );
    }

    #[test]
    fn an_unknown_variable_stays_as_written() {
        for text in ["$", "${", "${}", "${a b}", "$digits", "{digits}", "${digits", "${${", "100$"]
        {
            check(&format!("<Speak>a{text}</Speak>"), &format!("a{text}"));
        }
        check("<Speak>a $${digits} $$${digits}</Speak>", "a ${digits} $${digits}");
        check(
            "<Speak>${kick.reson} ${price} $${price}</Speak>",
            "${kick.reson} ${price} $${price}\n\
             1:18: ${kick.reson} is not a variable (did you mean kick.reason?): it stays as written\n\
             1:18: ${price} is not a variable: it stays as written\n\
             1:18: ${price} is not a variable: it stays as written",
        );
        check("<Speak>${a ${digits}</Speak>", "${a 12#");
    }
}
