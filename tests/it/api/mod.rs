//! The REST API, over the real router and without a socket: a line for each request.

mod bans;
mod branches;
mod callbacks;
mod calls;
mod conferences;
mod errors;
mod events;
mod kick;
pub(crate) mod office;
mod openapi;
mod phones;
mod receiver;
mod restart;
mod server;
mod trace;
mod traces;
mod variables;
