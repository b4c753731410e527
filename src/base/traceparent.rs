//! `traceparent`: by which requests that belong together find each other in several programs'
//! logs (W3C Trace Context, level 1, section 3.2).
//!
//! A request that comes without one has its own id for a trace, and so has a call that no request
//! has made: no other random number is needed, and one finds the other. `tracestate`
//! ends here: what we ask is others' servers, and what a sender's vendors note in it is not for them.

use std::fmt;

use uuid::Uuid;

/// The trace that a request or a call belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Traceparent {
    /// Never zero.
    trace: u128,
    /// Bit 0: somebody keeps it. The others are not ours to set.
    is_sampled: bool,
}

/// What a version that we know looks like: `00-{32}-{16}-{2}`.
const LENGTH: usize = 55;

impl Traceparent {
    /// A trace of its own, by the id of a request or a call.
    pub fn of(id: Uuid) -> Self {
        Self { trace: id.as_u128(), is_sampled: true }
    }

    /// None for what is none: the specification wants it ignored, and a new trace begun.
    pub fn parse(text: &str) -> Option<Self> {
        let is_lower_hex =
            |it: &str| it.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
        let head = text.get(..LENGTH)?;
        let parts: Vec<_> = head.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return None };
        let lengths = [version, trace, span, flags].map(str::len);
        let is_known = lengths == [2, 32, 16, 2]
            && [version, trace, span, flags].into_iter().all(is_lower_hex);
        // A later version may have more behind a hyphen; `ff` is none.
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

    /// The header of a request that goes out, with the id of a span of its own; random.
    pub fn header(&self, span: Uuid) -> String {
        // The version of a UUID is in its first half: the second one has 62 random bits.
        let span = span.as_u64_pair().1;
        format!("00-{self}-{span:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

/// The trace's id.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.trace).simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_valid_is_taken_over_and_all_else_ignored() {
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
    fn a_request_without_one_has_its_own_id_for_a_trace() {
        let id = Uuid::from_u128(0x1234);
        assert_eq!(Traceparent::of(id).to_string(), id.simple().to_string());
    }
}
