//! Text as the engine can bear it.

/// The text in characters that the voices know: Latin-1, without `<` and `>`, which would be
/// tags. None: nothing of it can be read.
///
/// Long words are cut: the engine cuts tokens at 255 bytes, and when that halves a letter outside
/// ASCII, it loops for ever.
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

/// The longest word, in characters: no word of these languages is longer outside of records, and
/// two bytes each leave the engine room to spare.
const WORD_CHARS_MAX: usize = 60;

/// A character as the voices know it, or a space.
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

/// The letters from U+0100 to U+017F without their marks.
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
