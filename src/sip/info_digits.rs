//! INFO bodies: key presses, in the forms that phones send.

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

/// The types of bodies that can be a key. All are read the same way.
pub const KEY_TYPES: [&str; 4] = [
    "application/dtmf-relay",
    "application/dtmf",
    "audio/telephone-event",
    "application/vnd.nortelnetworks.digits",
];

impl InfoBody {
    /// Reads a body of this content type: `Signal=5` or `d=5` in one of its lines, or the key alone.
    pub fn read(content_type: Option<&str>, body: &[u8]) -> Self {
        if body.is_empty() {
            return Self::Nothing;
        }
        let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !KEY_TYPES.iter().any(|it| it.eq_ignore_ascii_case(kind)) {
            return Self::Unknown;
        }
        let text = String::from_utf8_lossy(body);
        let named = text.lines().find_map(|line| {
            let (name, value) = line.split_once(['=', ':'])?;
            let name = name.trim();
            (name.eq_ignore_ascii_case("signal") || name.eq_ignore_ascii_case("d")).then_some(value)
        });
        digit(named.unwrap_or(&text)).map_or(Self::Nothing, Self::Digit)
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
            // hass-sip#24
            ("audio/telephone-event", "Signal=5\r\n", InfoBody::Digit('5')),
            ("audio/telephone-event", "d=*", InfoBody::Digit('*')),
            ("audio/telephone-event", "11", InfoBody::Digit('#')),
            ("audio/telephone-event;x=y", " 7\r\n", InfoBody::Digit('7')),
            ("application/dtmf", "Signal=5\r\nDuration=160\r\n", InfoBody::Digit('5')),
            (RELAY, "5", InfoBody::Digit('5')),
            (RELAY, "Signal: 5", InfoBody::Digit('5')),
            (
                "application/vnd.nortelnetworks.digits",
                "p=Digit-Collection\r\ny=Digits\r\nd=8",
                InfoBody::Digit('8'),
            ),
            ("text/plain", "5", InfoBody::Unknown),
            ("", "", InfoBody::Nothing),
        ] {
            assert_eq!(InfoBody::read(Some(kind), body.as_bytes()), expected, "{kind} {body:?}");
        }
        assert_eq!(InfoBody::read(None, b"5"), InfoBody::Unknown);
        assert_eq!(InfoBody::read(Some(RELAY), b"\xff"), InfoBody::Nothing);
        assert_eq!(InfoBody::read(Some(RELAY), b"Signal=5\nx=\xff"), InfoBody::Digit('5'));
    }
}
