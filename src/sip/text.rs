//! Header text: letters of any encoding, which go back to the peer byte for byte.
//!
//! Headers are UTF-8 (RFC 3261, section 25.1), but phones and PBXs send Latin-1, too. A line that is
//! not UTF-8 keeps each byte above 0x7F as a character of its own from [`RAW`] on, so that what we
//! repeat (From, To, tags, Call-ID) matches at its sender. [`readable`] makes letters of them.

use std::borrow::Cow;

/// Stands for byte 0 of a line that is not UTF-8. These are the last private characters of Unicode.
const RAW: u32 = 0x10_ff00;

/// The letters of bytes 0x80 to 0x9F. Where ISO-8859-1 has control characters, senders mean
/// windows-1252 (as the WHATWG encoding standard reads it).
const LETTERS: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž',
    '\u{fffd}', '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

/// Reads a line.
pub(super) fn decode(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        // A sender's own private characters must not be mixed up with ours.
        Ok(text) if !text.chars().any(|c| raw(c).is_some()) => Cow::Borrowed(text),
        Ok(_) | Err(_) => Cow::Owned(line.iter().map(|byte| kept(*byte)).collect()),
    }
}

/// Appends the bytes of which [`decode`] made a text.
pub(super) fn encode(text: &str, bytes: &mut Vec<u8>) {
    // The private characters begin with this byte in UTF-8.
    if !text.as_bytes().contains(&0xf4) {
        return bytes.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        match raw(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Returns a text for people and programs: with letters, and without control characters.
pub(super) fn readable(text: &str) -> String {
    let letter = |c: char| match raw(c) {
        Some(byte @ 0x80..=0x9f) => LETTERS[usize::from(byte - 0x80)],
        Some(byte) => char::from(byte),
        None => c,
    };
    let text: String = text.chars().map(letter).filter(|c| !c.is_control()).collect();
    text.trim().to_owned()
}

/// Returns a byte as [`decode`] keeps it.
pub(super) fn kept(byte: u8) -> char {
    match byte {
        0..=0x7f => char::from(byte),
        _ => char::from_u32(RAW + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// The byte that a character stands for.
fn raw(c: char) -> Option<u8> {
    let byte = u8::try_from(u32::from(c).checked_sub(RAW)?).ok()?;
    (0x80 <= byte).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_back_and_can_be_read() {
        for (line, expected) in [
            (&b"plain"[..], "plain"),
            ("J\u{fc}rgen".as_bytes(), "J\u{fc}rgen"),
            (b"J\xfcrgen", "J\u{fc}rgen"),
            (b"\x93B\xfcro\x94 \x80", "\u{201c}B\u{fc}ro\u{201d} \u{20ac}"),
            (b"\xff\x81a\x01\x7f\x00b", "\u{ff}\u{fffd}ab"),
            ("\u{10fffc} and \u{fc}".as_bytes(), "\u{f4}\u{fffd}\u{bf}\u{bc} and \u{c3}\u{bc}"),
            ("c1 \u{85}".as_bytes(), "c1"),
        ] {
            let text = decode(line);
            assert_eq!(readable(&text), expected, "{line:?}");
            let mut bytes = Vec::new();
            encode(&text, &mut bytes);
            assert_eq!(bytes, line);
        }
        let all: Vec<u8> = (0..=255).collect();
        let mut bytes = Vec::new();
        encode(&decode(&all), &mut bytes);
        assert_eq!(bytes, all);
    }
}
