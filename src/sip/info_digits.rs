//! INFO bodies: key presses as `application/dtmf-relay` and `application/dtmf`.

/// The contents of an INFO body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InfoBody {
    /// A pressed key: one of `0-9*#ABCD`.
    Digit(char),
    /// No key, but nothing wrong either: answered with 200.
    Nothing,
    /// A body type that we do not support: answered with 415.
    Unknown,
}

impl InfoBody {
    /// Reads a body of this content type.
    pub fn read(content_type: Option<&str>, body: &[u8]) -> Self {
        if body.is_empty() {
            return Self::Nothing;
        }
        let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let Ok(text) = std::str::from_utf8(body) else { return Self::Unknown };
        let signal = if kind.eq_ignore_ascii_case("application/dtmf-relay") {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut signals = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case("signal"));
            signals.next().map(|(_, value)| value)
        } else if kind.eq_ignore_ascii_case("application/dtmf") {
            Some(text)
        } else {
            return Self::Unknown;
        };
        signal.and_then(digit).map_or(Self::Nothing, Self::Digit)
    }
}

/// Reads a key by name or number: phones send `*` as `*` or 10, `#` as `#` or 11.
fn digit(signal: &str) -> Option<char> {
    const BY_NUMBER: [char; 6] = ['*', '#', 'A', 'B', 'C', 'D'];
    let signal = signal.trim();
    let mut chars = signal.chars();
    match (chars.next(), chars.next()) {
        (Some(key), None) => {
            let key = key.to_ascii_uppercase();
            "0123456789*#ABCD".contains(key).then_some(key)
        }
        _ => {
            let number: usize = signal.parse().ok()?;
            BY_NUMBER.get(number.checked_sub(10)?).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_however_phones_write_them() {
        const RELAY: &str = "application/dtmf-relay";
        for (kind, body, expected) in [
            (RELAY, "Signal=5\r\nDuration=160\r\n", InfoBody::Digit('5')),
            (RELAY, "Signal= #\nDuration= 250\n", InfoBody::Digit('#')),
            (RELAY, "signal=10\r\n", InfoBody::Digit('*')),
            (RELAY, "Signal=11", InfoBody::Digit('#')),
            (RELAY, "Signal=b", InfoBody::Digit('B')),
            (RELAY, "Signal=16", InfoBody::Nothing),
            (RELAY, "Signal=x", InfoBody::Nothing),
            (RELAY, "Duration=160", InfoBody::Nothing),
            ("application/dtmf", "7", InfoBody::Digit('7')),
            ("Application/DTMF; x=y", "*\r\n", InfoBody::Digit('*')),
            ("text/plain", "5", InfoBody::Unknown),
            ("", "", InfoBody::Nothing),
        ] {
            assert_eq!(InfoBody::read(Some(kind), body.as_bytes()), expected, "{kind} {body:?}");
        }
        assert_eq!(InfoBody::read(None, b"5"), InfoBody::Unknown);
        assert_eq!(InfoBody::read(Some(RELAY), b"\xff"), InfoBody::Unknown);
    }
}
