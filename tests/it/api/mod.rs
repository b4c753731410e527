//! The REST API, over the real router and without a socket: a line for each request.

mod callbacks;
mod calls;
mod conferences;
mod errors;
mod events;
pub(crate) mod office;
mod phones;
mod receiver;
mod server;
mod traces;
