//! Client: what the commands share that talk to a running server, or wait for a signal.

pub mod feed;
pub(crate) mod login;
pub(crate) mod printable;
pub(crate) mod server;
pub(crate) mod signals;
