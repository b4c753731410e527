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

/// One in use, and one that replaces it: so a token is changed without a gap.
pub const TOKENS_MAX: usize = 2;
