//! Line and column, as an author's editor counts them: from one, in characters.

use std::fmt;

/// A place in a document.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// From one; a line ends with a line feed.
    pub line: u32,
    /// From one, in Unicode scalars. A byte order mark is not counted.
    pub column: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Walks a document and knows the place of each byte it comes by.
///
/// It is quick forwards; a step back begins anew.
pub(super) struct Ruler<'a> {
    document: &'a [u8],
    offset: usize,
    place: Place,
}

impl<'a> Ruler<'a> {
    pub(super) fn new(document: &'a str) -> Self {
        Self::of(document.as_bytes())
    }

    /// Of bytes that may be no text: each that continues no character counts as one.
    pub(super) fn of(document: &'a [u8]) -> Self {
        Self { document, offset: 0, place: Place::default() }
    }

    /// The place of a byte; of one behind the end, the place where the next would be.
    pub(super) fn place(&mut self, offset: usize) -> Place {
        let offset = offset.min(self.document.len());
        if offset < self.offset {
            (self.offset, self.place) = (0, Place::default());
        }
        let passed = &self.document[self.offset..offset];
        match passed.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => {
                self.place.line += count(passed, |byte| byte == b'\n');
                self.place.column = 1 + count(&passed[last + 1..], begins_char);
            }
            None => self.place.column += count(passed, begins_char),
        }
        self.offset = offset;
        self.place
    }
}

/// Within UTF-8, every byte but those that continue a character.
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
        assert_eq!(Ruler::new(document).place(offset).to_string(), expected, "{offset}");
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
        let mut ruler = Ruler::new("é\nab\nc");
        let places = [1, 3, 5, 6, 7, 4, 0].map(|offset| ruler.place(offset).to_string());
        assert_eq!(places, ["1:2", "2:1", "2:3", "3:1", "3:2", "2:2", "1:1"]);
    }
}
