//! Client: what the commands share that talk to a running server, or wait for a signal.

pub(crate) mod api;
pub mod feed;
pub(crate) mod login;
pub(crate) mod signals;
