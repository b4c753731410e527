//! Kept call: what a call whose row is in the state log knows of that row.

/// What a call with a row knows of it.
#[derive(Debug, Default, PartialEq)]
pub struct KeptCall {
    /// The key of the document that the row names.
    pub document: Option<u128>,
}
