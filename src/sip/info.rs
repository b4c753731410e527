//! Key presses by INFO: `application/dtmf-relay` and `application/dtmf`.

/// What an INFO says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Info {
    /// A key: one of `0-9*#ABCD`.
    Digit(char),
    /// Nothing that asks for anything: it is answered 200.
    Nothing,
    /// A body that we do not read: 415.
    Unknown,
}

impl Info {
    /// Reads the body of an INFO.
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

/// A key by its name, or by its number: phones send `*` as `*` or as 10, `#` as 11.
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
            (RELAY, "Signal=5\r\nDuration=160\r\n", Info::Digit('5')),
            (RELAY, "Signal= #\nDuration= 250\n", Info::Digit('#')),
            (RELAY, "signal=10\r\n", Info::Digit('*')),
            (RELAY, "Signal=11", Info::Digit('#')),
            (RELAY, "Signal=b", Info::Digit('B')),
            (RELAY, "Signal=16", Info::Nothing),
            (RELAY, "Signal=x", Info::Nothing),
            (RELAY, "Duration=160", Info::Nothing),
            ("application/dtmf", "7", Info::Digit('7')),
            ("Application/DTMF; x=y", "*\r\n", Info::Digit('*')),
            ("text/plain", "5", Info::Unknown),
            ("", "", Info::Nothing),
        ] {
            assert_eq!(Info::read(Some(kind), body.as_bytes()), expected, "{kind} {body:?}");
        }
        assert_eq!(Info::read(None, b"5"), Info::Unknown);
        assert_eq!(Info::read(Some(RELAY), b"\xff"), Info::Unknown);
    }
}
