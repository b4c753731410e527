//! Levels of findings: those of a document's comments and of the command line, over the defaults.

use std::collections::BTreeMap;

use super::{
    Code, Severity,
    finding::{Finding, add},
};
use crate::flow::{error::nearest, position::PositionCounter};

/// The word for a code whose findings are dropped.
const OFF: &str = "off";

/// The levels that were chosen for some codes; None drops their findings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Levels(BTreeMap<Code, Option<Severity>>);

impl Levels {
    /// Reads `CODE=error`, `CODE=warning`, `CODE=hint` or `CODE=off`.
    ///
    /// # Errors
    ///
    /// The code or the level is unknown; the text says what to write.
    pub fn parse(text: &str) -> Result<(Code, Option<Severity>), String> {
        let wanted = "write CODE=error, CODE=warning, CODE=hint or CODE=off";
        let (code, level) = text.split_once('=').ok_or_else(|| format!("{text:?}: {wanted}"))?;
        let code = Code::named(code).ok_or_else(|| unknown(code))?;
        let levels = [Severity::Error, Severity::Warning, Severity::Hint];
        let level = match levels.into_iter().find(|it| it.text() == level) {
            None if level != OFF => return Err(format!("{level:?} is no level: {wanted}")),
            level => level,
        };
        Ok((code, level))
    }

    /// Chooses the level of a code; the last choice holds.
    pub fn set(&mut self, code: Code, level: Option<Severity>) {
        self.0.insert(code, level);
    }

    /// The levels of both; those of `above` hold.
    pub fn below(&self, above: &Self) -> Self {
        Self(self.0.iter().chain(&above.0).map(|(code, level)| (*code, *level)).collect())
    }

    /// Gives each finding its level, and drops those that are off.
    pub fn apply(&self, findings: &mut Vec<Finding>) {
        findings.retain_mut(|finding| match self.0.get(&finding.code) {
            Some(Some(level)) => {
                finding.level = *level;
                true
            }
            Some(None) => false,
            None => true,
        });
    }
}

/// The message about a code that does not exist.
pub fn unknown(code: &str) -> String {
    let codes = || Code::ALL.iter().map(|code| code.text());
    let near = nearest(code, codes()).map_or_else(
        || format!("the codes are {}", codes().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean {near}?"),
    );
    format!("there is no code {code:?}: {near}")
}

/// The levels of a document's comments, each `<!-- conflow-check CODE=LEVEL … -->`.
pub(super) fn of_document(
    document: &str,
    directives: &[(usize, &str)],
    findings: &mut Vec<Finding>,
) -> Levels {
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    let mut counter = PositionCounter::new(document);
    let mut levels = Levels::default();
    for (offset, words) in directives {
        for word in words.split_whitespace() {
            match Levels::parse(word) {
                Ok((code, level)) => levels.set(code, level),
                Err(why) => {
                    let within = word.as_ptr().addr() - words.as_ptr().addr();
                    add(findings, counter.position(offset + within), Code::BadLevel, why);
                }
            }
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_code_and_a_word() {
        assert_eq!(Levels::parse("bad-url=off"), Ok((Code::BadUrl, None)));
        assert_eq!(Levels::parse("bad-url=hint"), Ok((Code::BadUrl, Some(Severity::Hint))));
        let why = |text| Levels::parse(text).unwrap_err();
        assert_eq!(why("bad-urk=off"), "there is no code \"bad-urk\": did you mean bad-url?");
        assert!(
            why("x=off").starts_with("there is no code \"x\": the codes are bad-level, not-utf8")
        );
        assert!(why("bad-url=of").starts_with("\"of\" is no level: write CODE=error"));
        assert!(why("bad-url").starts_with("\"bad-url\": write CODE=error"));
    }
}
