//! Byte ranges of a download (RFC 9110, section 14).

use std::ops::Range;

/// What a `Range` header asks for of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum WantedRange {
    /// All of it: there is no range, none that can be read, or more than one.
    Whole,
    /// These bytes, which are there.
    Part(Range<u64>),
    /// Bytes that are not there.
    Beyond,
}

impl WantedRange {
    /// Reads the value of a `Range` header for a file of `length` bytes.
    pub(super) fn of(header: &str, length: u64) -> Self {
        let Some((unit, range)) = header.trim().split_once('=') else { return Self::Whole };
        let Some((first, last)) = range.trim().split_once('-') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let first = match first.is_empty() {
            true => None,
            false => match number(first) {
                Some(it) => Some(it),
                None => return Self::Whole,
            },
        };
        let last = match last.is_empty() {
            true => None,
            false => match number(last) {
                Some(it) => Some(it),
                None => return Self::Whole,
            },
        };
        match (first, last) {
            (None, None) => Self::Whole,
            (Some(first), Some(last)) if last < first => Self::Whole,
            (Some(first), _) if length <= first => Self::Beyond,
            (Some(first), last) => {
                let end = last.map_or(length, |it| it.saturating_add(1).min(length));
                Self::Part(first..end)
            }
            (None, Some(0)) => Self::Beyond,
            (None, Some(_)) if length == 0 => Self::Beyond,
            (None, Some(count)) => Self::Part(length.saturating_sub(count)..length),
        }
    }
}

/// Digits only; more than fit are the largest number.
fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file_and_a_strange_one_is_ignored() {
        let check = |header: &str, expected| {
            assert_eq!(WantedRange::of(header, 100), expected, "{header}");
        };
        let part = |range| WantedRange::Part(range);
        check("bytes=0-0", part(0..1));
        check("bytes=0-", part(0..100));
        check("bytes=44-143", part(44..100));
        check("bytes=99-99", part(99..100));
        check("Bytes = 5-9", part(5..10));
        check("bytes=-1", part(99..100));
        check("bytes=-1000", part(0..100));
        check("bytes=0-99999999999999999999999", part(0..100));
        for beyond in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"]
        {
            check(beyond, WantedRange::Beyond);
        }
        for strange in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=9-5",
            "bytes=a-b",
            "bytes=+1-5",
            "bytes=0-1,5-9",
            "bytes=0-1, -5",
            "lines=0-5",
            "bytes=--5",
            "bytes= 5 - 9",
        ] {
            check(strange, WantedRange::Whole);
        }
        assert_eq!(WantedRange::of("bytes=0-", 0), WantedRange::Beyond);
        assert_eq!(WantedRange::of("bytes=-5", 0), WantedRange::Beyond);
    }
}
