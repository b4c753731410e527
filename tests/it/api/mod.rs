//! The REST API, over the real router and without a socket: a line for each request.

mod conferences;
mod errors;
pub(crate) mod office;
mod phones;
mod server;
