//! Variables in Speak and Play: `${kick.reason}` is what whoever kicked the call has said.
//!
//! `$${kick.reason}` is the text itself. What looks like a variable and is none stays as it is:
//! a vendor's text may have it for reasons of its own.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Oddity,
    attrs::Reading,
    error::{clip, nearest},
};
use crate::media::{Program, Sound, What};

/// What a text may name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variable {
    /// The caller.
    CallFrom,
    /// Who was called.
    CallTo,
    /// Why the call left its last conference, or was not let in.
    ConferenceCause,
    /// That conference; in the sounds of a conference, this one.
    ConferenceName,
    /// What was last entered at a question, unless that has `log="false"`.
    Digits,
    /// What whoever kicked the call has said.
    KickReason,
}

impl Variable {
    /// Every variable, and how it is written.
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

/// What the variables stand for; nothing, where there is nothing yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// See [`Variable::CallFrom`].
    pub call_from: &'a str,
    /// See [`Variable::CallTo`].
    pub call_to: &'a str,
    /// See [`Variable::ConferenceCause`].
    pub conference_cause: &'a str,
    /// See [`Variable::ConferenceName`].
    pub conference_name: &'a str,
    /// See [`Variable::Digits`].
    pub digits: &'a str,
    /// See [`Variable::KickReason`].
    pub kick_reason: &'a str,
}

impl<'a> Values<'a> {
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

    /// A program with its variables filled in; most have none, and are the same.
    pub fn fill(&self, program: Program) -> Program {
        match has_variables(&program) {
            true => program.iter().map(|sound| self.fill_sound(sound)).collect(),
            false => program,
        }
    }

    fn fill_sound(&self, sound: &Sound) -> Sound {
        let what = match &sound.what {
            What::Speech { text, voice, language } => {
                let text = self.fill_text(text, Cow::from);
                What::Speech { text, voice: voice.clone(), language: language.clone() }
            }
            // A value is a part of the URL, and no more than that.
            What::Url(url) => What::Url(
                self.fill_text(url, |value| utf8_percent_encode(value, OUTSIDE_URLS).into()),
            ),
            What::Beep(_) | What::Silence(_) => sound.what.clone(),
        };
        Sound { what, times: sound.times }
    }

    fn fill_text<'v>(&'v self, text: &str, write: impl Fn(&'v str) -> Cow<'v, str>) -> Arc<str> {
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Variable(variable) => filled.push_str(&write(self.of(variable))),
                Piece::Escaped(name) | Piece::Unknown(name) => {
                    let written = write!(filled, "${{{name}}}");
                    written.expect("there is room in memory");
                }
            }
        }
        filled.into()
    }
}

/// All but the unreserved characters of RFC 3986, section 2.3.
const OUTSIDE_URLS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whether something in a program depends on the call.
pub(crate) fn has_variables(program: &[Sound]) -> bool {
    program.iter().any(|sound| match &sound.what {
        What::Speech { text, .. } | What::Url(text) => text.contains("${"),
        What::Beep(_) | What::Silence(_) => false,
    })
}

impl Reading<'_, '_> {
    /// Remarks on what looks like a variable, and is none.
    pub(super) fn remark_variables(&mut self, text: &str) {
        let at = self.element.text_at.first().copied().unwrap_or(self.element.at);
        for piece in pieces(text) {
            if let Piece::Unknown(name) = piece {
                let near = nearest(name, Variable::ALL.iter().map(|(_, name)| *name));
                self.remark(at, Oddity::VariableUnknown { name: clip(name), near });
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Piece<'t> {
    /// The name of a variable that is meant as it is written.
    Escaped(&'t str),
    Text(&'t str),
    Unknown(&'t str),
    Variable(Variable),
}

/// A text as it falls apart at its variables.
fn pieces(mut text: &str) -> impl Iterator<Item = Piece<'_>> {
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
                        Piece::Escaped(name)
                    }
                    (Some(variable), None) => Piece::Variable(variable),
                    (None, _) => Piece::Unknown(name),
                };
                text = &text[end..];
                next = Some(piece);
                return Some(Piece::Text(before));
            }
            from = start + 2;
        }
        let rest = std::mem::take(&mut text);
        (!rest.is_empty()).then_some(Piece::Text(rest))
    })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Far beyond any of ours: what is longer was not meant as a name.
const NAME_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::ids::Dialect, flow::Flow};

    const VALUES: Values<'_> = Values {
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
            What::Speech { text, .. } | What::Url(text) => text.to_string(),
            What::Beep(_) | What::Silence(_) => panic!(),
        };
        let remarks = flow.remarks.iter().map(ToString::to_string);
        let shown: Vec<_> = filled.iter().map(text).chain(remarks).collect();
        assert_eq!(shown.join("\n"), expected, "{elements}");
    }

    #[test]
    fn a_text_has_what_its_variables_stand_for() {
        check("<Speak>a ${call.from} b</Speak>", "a 14155550100 b");
        check("<Speak>${call.to}${conference.cause}</Speak>", "sip:a@bkicked");
        check("<Speak>${conference.name}: ${digits}.</Speak>", "My Room/ü: 12#.");
        // What somebody has said is no text of ours.
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
    fn what_is_no_variable_is_read_as_it_stands() {
        for text in ["$", "${", "${}", "${a b}", "$digits", "{digits}", "${digits", "${${", "100$"]
        {
            check(&format!("<Speak>a{text}</Speak>"), &format!("a{text}"));
        }
        check("<Speak>a $${digits} $$${digits}</Speak>", "a ${digits} $${digits}");
        check(
            "<Speak>${kick.reson} ${price} $${price}</Speak>",
            "${kick.reson} ${price} $${price}\n\
             1:18: ${kick.reson} is no variable (did you mean kick.reason?): it is read as it stands\n\
             1:18: ${price} is no variable: it is read as it stands\n\
             1:18: ${price} is no variable: it is read as it stands",
        );
        check("<Speak>${a ${digits}</Speak>", "${a 12#");
    }
}
