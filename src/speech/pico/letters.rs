//! Text filter for the Pico engine: reduces texts to characters that it can handle.

/// Converts the text to the characters of the voices: Latin-1, without `<` and `>`, which would
/// begin tags. None: no character can be spoken.
///
/// Splits long words: the engine cuts tokens at 255 bytes, and if the cut is inside a non-ASCII
/// letter, it loops forever.
pub(super) fn latin(text: &str) -> Option<String> {
    let mut latin = String::with_capacity(text.len());
    let mut word = 0;
    for char in text.chars() {
        let char = letter(char);
        word = if char == ' ' { 0 } else { word + 1 };
        if word > WORD_CHARS_MAX {
            latin.push(' ');
            word = 1;
        }
        latin.push(char);
    }
    latin.contains(char::is_alphanumeric).then_some(latin)
}

/// Longest word in characters: no ordinary word of these languages is longer, and at two bytes
/// each the engine's limit is far.
const WORD_CHARS_MAX: usize = 60;

/// Maps a character to one that the voices know, or to a space.
fn letter(char: char) -> char {
    match char {
        '<' | '>' => ' ',
        ' '..='~' | '\u{a1}'..='\u{ff}' | 'Œ' | 'œ' | '€' => char,
        '\u{100}'..='\u{17f}' => char::from(LATIN_EXTENDED_A[char as usize - 0x100]),
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{201e}' => '"',
        '\u{2010}'..='\u{2015}' => '-',
        '\u{2026}' => '.',
        _ => ' ',
    }
}

/// The letters U+0100 to U+017F without their diacritics.
static LATIN_EXTENDED_A: &[u8; 128] =
    b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlL\
    lLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_other_languages_lose_their_marks() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(latin(text).as_deref(), expected, "{text}");
        }
        check("Łukasz Dvořák", Some("Lukasz Dvorák"));
        check("cœur, 5 €", Some("cœur, 5 €"));
        check("ż\u{17f}Ā", Some("zsA"));
        check("a<b>c", Some("a b c"));
        check("—", None);
        check(&"ü".repeat(61), Some(&format!("{} ü", "ü".repeat(60))));
        check(&"ab ".repeat(40), Some(&"ab ".repeat(40)));
    }
}
