//! Trace context: the `traceparent` header, by which the logs of several programs show requests
//! that belong together (W3C Trace Context, level 1, section 3.2).
//!
//! A request without the header gets its own id as its trace id, and so does a call that no request
//! has made: this needs no further random number, and each id leads to the other. `tracestate` is
//! not forwarded: our requests go to other parties' servers, and a sender's vendor data is not for
//! them.

use serde::{Deserialize, Serialize};

use std::fmt;

use uuid::Uuid;

/// The trace of a request or a call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Traceparent {
    /// The trace id, never zero.
    trace: u128,
    /// Bit 0 of the flags. We set no other bit.
    is_sampled: bool,
}

/// The length of version 00: `00-{32}-{16}-{2}`.
const LENGTH: usize = 55;

impl Traceparent {
    /// A new, sampled trace, with the id of a request or a call.
    pub fn of(id: Uuid) -> Self {
        Self { trace: id.as_u128(), is_sampled: true }
    }

    /// Parses a header. None if it is invalid: by the specification it is ignored, and a new trace
    /// begins.
    pub fn parse(text: &str) -> Option<Self> {
        let is_lower_hex =
            |it: &str| it.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
        let head = text.get(..LENGTH)?;
        let parts: Vec<_> = head.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return None };
        let lengths = [version, trace, span, flags].map(str::len);
        let is_known = lengths == [2, 32, 16, 2]
            && [version, trace, span, flags].into_iter().all(is_lower_hex);
        // A later version may have more after a hyphen; `ff` is invalid.
        let rest = &text[LENGTH..];
        let is_whole = rest.is_empty() || version != "00" && rest.starts_with('-');
        if !is_known || !is_whole || version == "ff" {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|it| *it != 0)?;
        u64::from_str_radix(span, 16).ok().filter(|it| *it != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace, is_sampled: flags & 1 == 1 })
    }

    /// The header of an outgoing request. `span` is random; half of it becomes the span's id.
    pub fn header(&self, span: Uuid) -> String {
        // A UUID's version is in its first half: the second half has 62 random bits.
        let span = span.as_u64_pair().1;
        format!("00-{self}-{span:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

/// Shows the trace id in hexadecimal.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.trace).simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_header_is_adopted_and_all_else_ignored() {
        let check = |text: &str, expected: Option<&str>| {
            let header = Traceparent::parse(text).map(|it| it.header(Uuid::from_u128(0xb7)));
            assert_eq!(header.as_deref(), expected, "{text}");
        };
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let out = |flags: &str| format!("00-{trace}-00000000000000b7-{flags}");
        check(&format!("00-{trace}-{span}-01"), Some(&out("01")));
        check(&format!("00-{trace}-{span}-00"), Some(&out("00")));
        check(&format!("00-{trace}-{span}-03"), Some(&out("01")));
        check(&format!("cc-{trace}-{span}-01"), Some(&out("01")));
        check(&format!("cc-{trace}-{span}-01-more"), Some(&out("01")));
        check(&format!("cc-{trace}-{span}-01more"), None);
        check(&format!("00-{trace}-{span}-01-more"), None);
        check(&format!("ff-{trace}-{span}-01"), None);
        check(&format!("00-{}-{span}-01", trace.to_uppercase()), None);
        check(&format!("00-{}-{span}-01", "0".repeat(32)), None);
        check(&format!("00-{trace}-{}-01", "0".repeat(16)), None);
        check(&format!("00-{trace}-{span}-0"), None);
        check(&format!("00-{trace}-{span}-0x"), None);
        check(&format!("00_{trace}_{span}_01"), None);
        check(&format!("00-{trace}ü{span}-01"), None);
        check("", None);
    }

    #[test]
    fn a_request_without_the_header_has_its_own_id_as_trace_id() {
        let id = Uuid::from_u128(0x1234);
        assert_eq!(Traceparent::of(id).to_string(), id.simple().to_string());
    }
}
