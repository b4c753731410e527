//! Printable text: what callers and peers have sent, without characters that move a terminal's cursor.

use serde_json::Value;

/// The text with control characters, and marks that turn the direction of writing, as escapes.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' '.to_string(),
        c if is_unseen(c) => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Makes all texts of a response printable. Line breaks stay in it as escapes.
pub(crate) fn make_printable(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_unseen) => *text = printable(text),
        Value::Array(all) => all.iter_mut().for_each(make_printable),
        Value::Object(fields) => fields.values_mut().for_each(make_printable),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a character is not seen, and changes how others are.
pub(crate) fn is_unseen(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut value = json!({ "a": ["\u{1b}[2J", "Jörg"], "b": { "c": "x\ny\u{202e}" }, "n": 1 });
        make_printable(&mut value);
        let expected = json!({
            "a": ["\\u{1b}[2J", "Jörg"],
            "b": { "c": "x\\u{a}y\\u{202e}" },
            "n": 1,
        });
        assert_eq!(value, expected);
    }
}
