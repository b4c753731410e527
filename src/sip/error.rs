//! What is wrong with a message, as its sender is told.

use std::fmt;

/// Why a message is not understood: the status code and phrase that answer it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Fault {
    /// 400, or a code that says more.
    pub code: u16,
    /// What is wrong, in the words of the reply's status line.
    pub reason: &'static str,
}

impl Fault {
    /// A plain 400.
    pub const fn bad(reason: &'static str) -> Self {
        Self { code: 400, reason }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}
