//! The finder on made-up crates.
