//! Tokens of an account: what one is good for, and how many there are.

/// Permissions of a token.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// May do everything in its account, and signs callbacks.
    #[default]
    Full,
    /// May read everything in its account, and change nothing.
    ReadOnly,
}

/// Full tokens of an account: one in use, and one that replaces it, so that a token is changed without
/// a gap.
pub const TOKENS_MAX: usize = 2;
/// Read-only tokens of an account: for some dashboards, and one that replaces another.
pub const READ_ONLY_TOKENS_MAX: usize = 8;

impl Role {
    /// The largest number of tokens of the role that an account has.
    pub fn tokens_max(self) -> usize {
        match self {
            Self::Full => TOKENS_MAX,
            Self::ReadOnly => READ_ONLY_TOKENS_MAX,
        }
    }
}
