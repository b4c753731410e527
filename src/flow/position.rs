//! Text positions: line and column as an editor shows them, from one, in characters.

use std::fmt;

/// A position in a document.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TextPosition {
    /// From one; a line ends with a line feed.
    pub line: u32,
    /// From one, in Unicode scalars. A byte order mark is not counted.
    pub column: u32,
}

impl Default for TextPosition {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl fmt::Display for TextPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Finds the position of a byte offset in a document.
///
/// Fast for increasing offsets; a smaller offset restarts at the beginning.
pub(super) struct PositionCounter<'a> {
    document: &'a [u8],
    offset: usize,
    position: TextPosition,
}

impl<'a> PositionCounter<'a> {
    pub(super) fn new(document: &'a str) -> Self {
        Self::of(document.as_bytes())
    }

    /// For bytes that may be invalid UTF-8: each byte that does not continue a character counts as
    /// one.
    pub(super) fn of(document: &'a [u8]) -> Self {
        Self { document, offset: 0, position: TextPosition::default() }
    }

    /// Position of a byte; beyond the end, the position of the next byte to come.
    pub(super) fn position(&mut self, offset: usize) -> TextPosition {
        let offset = offset.min(self.document.len());
        if offset < self.offset {
            (self.offset, self.position) = (0, TextPosition::default());
        }
        let passed = &self.document[self.offset..offset];
        match passed.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => {
                self.position.line += count(passed, |byte| byte == b'\n');
                self.position.column = 1 + count(&passed[last + 1..], begins_char);
            }
            None => self.position.column += count(passed, begins_char),
        }
        self.offset = offset;
        self.position
    }
}

/// In UTF-8: every byte that does not continue a character.
fn begins_char(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

fn count(bytes: &[u8], fits: impl Fn(u8) -> bool) -> u32 {
    bytes.iter().map(|&byte| u32::from(fits(byte))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, offset: usize, expected: &str) {
        assert_eq!(
            PositionCounter::new(document).position(offset).to_string(),
            expected,
            "{offset}"
        );
    }

    #[test]
    fn counts_lines_and_characters_from_one() {
        check("", 0, "1:1");
        check("ab\ncd", 2, "1:3");
        check("ab\ncd", 3, "2:1");
        check("ab\r\ncd\n\ne", 8, "4:1");
        check("ab\ncd", 99, "2:3");
    }

    #[test]
    fn a_character_of_several_bytes_is_one_column() {
        check("é€😀x", 9, "1:4");
        check("é\n€😀x", 10, "2:3");
    }

    #[test]
    fn goes_on_from_where_it_is_and_back() {
        let mut ruler = PositionCounter::new("é\nab\nc");
        let places = [1, 3, 5, 6, 7, 4, 0].map(|offset| ruler.position(offset).to_string());
        assert_eq!(places, ["1:2", "2:1", "2:3", "3:1", "3:2", "2:2", "1:1"]);
    }
}
