//! REST API over the real router, without sockets: transcripts with a line for each request.

mod audit;
mod body;
mod branches;
mod callbacks;
mod console;
pub(crate) mod dial;
mod engine;
mod failure;
mod groups;
mod metrics;
mod openapi;
mod receiver;
mod recovering;
mod restart;
mod server;
mod sim;
mod traceparent;
mod trust;
mod variables;
mod voice;
