//! Speech input: removes markup from texts, and normalizes the names of languages and voices.

use super::TEXT_CHARS_MAX;

/// Removes markup and control characters from a text and cuts it at [`TEXT_CHARS_MAX`].
///
/// Markup is everything between `<` and `>` if a letter, `/`, `!` or `?` follows the `<`;
/// so `2 < 3` keeps its sign. Runs of spaces become one space.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(4 * TEXT_CHARS_MAX));
    let mut chars = 0;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(end) = tag_end(rest) {
            rest = &rest[end..];
            continue;
        }
        rest = &rest[next.len_utf8()..];
        let space = next.is_whitespace() || next.is_control();
        if space && (plain.is_empty() || plain.ends_with(' ')) {
            continue;
        }
        if chars == TEXT_CHARS_MAX {
            let characters = text.chars().count();
            tracing::warn!(
                characters,
                "the text is too long: its first {TEXT_CHARS_MAX} characters are spoken"
            );
            break;
        }
        plain.push(if space { ' ' } else { next });
        chars += 1;
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Length of the tag at the beginning of the text. None: the text does not begin with a tag.
fn tag_end(text: &str) -> Option<usize> {
    let first = text.strip_prefix('<')?.chars().next()?;
    if !(first.is_alphabetic() || matches!(first, '/' | '!' | '?')) {
        return None;
    }
    text.find('>').map(|at| at + 1)
}

/// Normalizes a language tag to the form `en-us`: parts of letters and digits, the first one of
/// letters (RFC 5646, 2.1). None: it is not a language tag.
pub(super) fn language(tag: &str) -> Option<String> {
    let tag = tag.trim().to_ascii_lowercase().replace('_', "-");
    let mut parts = tag.split('-');
    let primary = parts.next()?;
    let well = tag.len() <= LANGUAGE_BYTES_MAX
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_lowercase())
        && parts
            .all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
    well.then_some(tag)
}

/// Longest language tag: by RFC 5646, 4.4.1, 35 bytes are enough for all.
const LANGUAGE_BYTES_MAX: usize = 35;

/// The language without its region: `en` for `en-us`.
pub(super) fn primary(language: &str) -> &str {
    language.split('-').next().unwrap_or(language)
}

/// Kind of a voice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Timbre {
    Woman,
    Man,
}

impl Timbre {
    /// Finds the kind by the name of a voice: `WOMAN`, `MAN`, or one of the vendors
    /// (`Polly.Matthew`). None: the name is unknown.
    pub(super) fn of(voice: &str) -> Option<Self> {
        let name = voice.trim().to_ascii_lowercase();
        let name = name.strip_prefix("polly.").unwrap_or(&name);
        let name = name.split('-').next().unwrap_or(name);
        let among = |names: &str| names.split_whitespace().any(|known| known == name);
        match name {
            "" | "woman" => Some(Self::Woman),
            "man" => Some(Self::Man),
            _ if among(WOMEN) => Some(Self::Woman),
            _ if among(MEN) => Some(Self::Man),
            _ => None,
        }
    }
}

/// Vendors' names for women's voices (`Polly.…`).
const WOMEN: &str = "amy astrid bianca camila carla carmen celine chantal conchita danielle elin \
    emma ewa gabrielle ines isabelle ivy joanna kendra kimberly lea lotte lucia lupe maja marlene \
    mia naja nicole olivia penelope raveena ruth salli tatyana vicki vitoria";

/// Vendors' names for men's voices.
const MEN: &str = "adriano andres arthur brian cristiano daniel enrique giorgio gregory hans \
    jacek jan joey justin kevin liam mads mathieu matthew maxim miguel pedro remi ricardo ruben \
    russell sergio stephen thiago";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_without_its_markup() {
        fn check(text: &str, expected: &str) {
            assert_eq!(plain(text), expected, "{text:?}");
        }
        check("hello", "hello");
        check("  hello \n\t world  ", "hello world");
        check("<speak>hello <break time='1s'/>world</speak>", "hello world");
        check("<!-- no -->yes<?no?>", "yes");
        check("2 < 3 and 3 > 2", "2 < 3 and 3 > 2");
        check("a <b", "a <b");
        check("a <b <c> d", "a d");
        check("a\u{0}b\u{1b}[0m", "a b [0m");
        check("<ü>grüße</ü>", "grüße");
        check("<", "<");
    }

    #[test]
    fn text_is_cut_by_characters_not_bytes() {
        let text = "ü".repeat(TEXT_CHARS_MAX + 7);
        assert_eq!(plain(&text), "ü".repeat(TEXT_CHARS_MAX));
        assert_eq!(plain(&text[..2 * TEXT_CHARS_MAX]).chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn languages_are_letters_and_parts() {
        fn check(tag: &str, expected: Option<&str>) {
            assert_eq!(language(tag).as_deref(), expected, "{tag:?}");
        }
        check("en-US", Some("en-us"));
        check(" pt_BR ", Some("pt-br"));
        check("cmn", Some("cmn"));
        check("es-419", Some("es-419"));
        check("zh-Hans-CN", Some("zh-hans-cn"));
        for tag in ["", "e", "-v", "--help", "en-", "en/..", "en;", "e\u{0}", "12", "en-123456789"]
        {
            check(tag, None);
        }
        check(&["en-x"; 12].join("-"), None);
    }

    #[test]
    fn voices_have_a_timbre_by_their_names() {
        fn check(voice: &str, expected: Option<Timbre>) {
            assert_eq!(Timbre::of(voice), expected, "{voice:?}");
        }
        check("WOMAN", Some(Timbre::Woman));
        check("MAN", Some(Timbre::Man));
        check("man", Some(Timbre::Man));
        check("", Some(Timbre::Woman));
        check("Polly.Joanna", Some(Timbre::Woman));
        check("Polly.Matthew", Some(Timbre::Man));
        check("Polly.Matthew-Neural", Some(Timbre::Man));
        check("Zaphod", None);
    }
}
