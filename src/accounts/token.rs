//! Tokens of an account: what one is good for, and how many there are.

/// What a token is good for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// Everything in its account; signs what its receivers get.
    #[default]
    Full,
    /// To look at everything in its account, and to change nothing.
    ReadOnly,
}

/// One in use, and one that takes its place: a token is changed without a gap.
pub const TOKENS_MAX: usize = 2;
