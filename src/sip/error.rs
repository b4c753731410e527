//! SIP errors: the status code and phrase with which a bad message is answered.

use std::fmt;

/// The error in a message, as its sender gets to see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub struct SipError {
    /// Status code: 400, or a more specific one.
    pub code: u16,
    /// Reason phrase of the reply's status line.
    pub reason: &'static str,
}

impl SipError {
    /// Creates a 400 with this phrase.
    pub const fn bad_request(reason: &'static str) -> Self {
        Self { code: 400, reason }
    }
}

impl fmt::Display for SipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}
