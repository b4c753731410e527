//! Variables in Speak and Play: `${kick.reason}` is replaced by the reason of the kick.
//!
//! `${kick.reason:-nobody said why}` has the text after `:-` if the value is missing or empty, as in
//! the shell. `$${kick.reason}` stands for the literal text `${kick.reason}`. An unknown name is left
//! as written, because a vendor's text may contain it for other reasons.

use std::{borrow::Cow, sync::Arc};

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

    /// Its value, for the reference.
    pub fn doc(self) -> &'static str {
        match self {
            Self::CallFrom => "number of the caller",
            Self::CallTo => "number that was called",
            Self::ConferenceCause => "why the call left its last conference, or was not admitted",
            Self::ConferenceName => "that conference; in the sounds of a conference, this one",
            Self::Digits => "the last input, unless it has `log=\"false\"`",
            Self::KickReason => "reason given with the last kick",
        }
    }

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

    fn fill_text<'v>(&'v self, text: &'v str, write: impl Fn(&'v str) -> Cow<'v, str>) -> Arc<str> {
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                TextPiece::Text(text) | TextPiece::Unknown(text) => filled.push_str(text),
                TextPiece::Unclosed => filled.push_str(OPENING),
                TextPiece::Variable(variable, default) => {
                    let value = Some(self.of(variable)).filter(|it| !it.is_empty());
                    filled += &value.or(default).map(&write).unwrap_or_default();
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
    /// Warns about unknown variables and about a `${` that is not closed, each at its own place.
    pub(super) fn warn_variables(&mut self, text: &str) {
        let places = self.element.openings();
        for (n, found) in variables(text).into_iter().enumerate() {
            let warning = match found.piece {
                TextPiece::Unclosed => FlowWarningKind::VariableUnclosed,
                TextPiece::Unknown(_) => {
                    let near = nearest(found.name, Variable::ALL.iter().map(|(_, name)| *name));
                    FlowWarningKind::VariableUnknown { name: clip(found.name), near }
                }
                TextPiece::Text(_) | TextPiece::Variable(..) => continue,
            };
            // A `${` that is written with entities has no place of its own.
            let at = places.get(n).or_else(|| self.element.text_at.first());
            self.warn(at.copied().unwrap_or(self.element.at), warning);
        }
    }
}

/// The indexes of the variables of this kind without a default, among all `${` of a text.
pub(super) fn bare(text: &str, wanted: Variable) -> Vec<usize> {
    let found = variables(text).into_iter().enumerate();
    let found = found.filter(|(_, it)| it.piece == TextPiece::Variable(wanted, None));
    found.map(|(n, _)| n).collect()
}

/// The first characters of a variable.
pub(super) const OPENING: &str = "${";

#[derive(Clone, Copy, Debug, PartialEq)]
enum TextPiece<'t> {
    Text(&'t str),
    /// `${` without its `}`.
    Unclosed,
    /// With its braces.
    Unknown(&'t str),
    /// With the text that stands for an empty value.
    Variable(Variable, Option<&'t str>),
}

/// One `${` of a text.
struct FoundVariable<'t> {
    /// Bytes before it, and before the first byte after it.
    from: usize,
    to: usize,
    name: &'t str,
    piece: TextPiece<'t>,
}

/// Finds every `${` of a text.
fn variables(text: &str) -> Vec<FoundVariable<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(from) = text[at..].find(OPENING).map(|it| at + it) {
        let rest = &text[from + OPENING.len()..];
        let inside = rest.split_once('}').map(|(inside, _)| inside);
        let Some(inside) = inside.filter(|it| !it.contains(OPENING)) else {
            at = from + OPENING.len();
            found.push(FoundVariable { from, to: at, name: "", piece: TextPiece::Unclosed });
            continue;
        };
        at = from + OPENING.len() + inside.len() + 1;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_escaped = text[..from].ends_with('$');
        let (from, piece) = match Variable::find(name) {
            // Without the dollar sign that escapes it.
            Some(_) if is_escaped => (from - 1, TextPiece::Text(&text[from..at])),
            Some(variable) => (from, TextPiece::Variable(variable, default)),
            None => (from, TextPiece::Unknown(&text[from..at])),
        };
        found.push(FoundVariable { from, to: at, name, piece });
    }
    found
}

/// Splits a text at its variables.
fn pieces(text: &str) -> Vec<TextPiece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for FoundVariable { from, to, piece, .. } in variables(text) {
        pieces.extend([TextPiece::Text(&text[at..from]), piece]);
        at = to;
    }
    pieces.push(TextPiece::Text(&text[at..]));
    pieces
}

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
    fn an_empty_value_has_its_default() {
        let empty = VariableValues { kick_reason: "", digits: "", ..VALUES };
        let check = |text: &str, expected: &str| {
            assert_eq!(&*empty.fill_text(text, Cow::from), expected, "{text}");
        };
        check("because ${kick.reason:-of the noise}.", "because of the noise.");
        check("${kick.reason:-}${digits:-a:-b}", "a:-b");
        check("${call.from:-nobody}", "14155550100");
        check("$${kick.reason:-a} ${price:-a}", "${kick.reason:-a} ${price:-a}");
        let escape = |it| utf8_percent_encode(it, OUTSIDE_URLS).into();
        assert_eq!(&*empty.fill_text("http://a/${digits:-a b}", escape), "http://a/a%20b");
    }

    #[test]
    fn an_unknown_variable_stays_as_written() {
        for text in ["$", "$digits", "{digits}", "100$", "$}"] {
            check(&format!("<Speak>a{text}</Speak>"), &format!("a{text}"));
        }
        check("<Speak>a $${digits} $$${digits}</Speak>", "a ${digits} $${digits}");
        check(
            "<Speak>${kick.reson} <emphasis>${price}</emphasis> $${price} ${a b}</Speak>",
            "${kick.reson} ${price} $${price} ${a b}\n\
             1:18: ${kick.reson} is not a variable (did you mean kick.reason?): it stays as written\n\
             1:42: ${price} is not a variable: it stays as written\n\
             1:63: ${price} is not a variable: it stays as written\n\
             1:72: ${a b} is not a variable: it stays as written",
        );
    }

    #[test]
    fn an_opening_without_its_end_is_found_where_it_is() {
        let expected = "a ${digits 12#\n1:20: this ${ is not closed: it stays as written";
        check("<Speak>a ${digits ${digits}</Speak>", expected);
        let expected = "&${b\n2:8: this ${ is not closed: it stays as written";
        check("<Speak>\n  &amp;${b</Speak>", expected);
        // Written with an entity, it has no place of its own.
        let expected = "a ${b\n1:18: this ${ is not closed: it stays as written";
        check("<Speak>a &#36;{b</Speak>", expected);
    }
}
