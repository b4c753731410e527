//! Watch: a live screen of rooms, callers and what each hears, made from the public API.
//!
//! [`Model`] takes responses, events and keys, and returns the next queries
//! ([`Model::next_queries`]); [`draw()`] draws it into a buffer of cells. Time is an argument: the
//! age of the watch. Only [`terminal`] does IO.

pub mod answers;
mod cursor;
mod draw;
mod keys;
mod layout;
mod model;
mod queries;
mod query;
mod sound_text;
pub mod terminal;

#[cfg(test)]
mod tests;

pub use self::{
    draw::{draw, text},
    keys::WatchKey,
    model::{CallerPhone, CallerState, FeedState, Model, WatchedCaller},
    queries::QueryResult,
    query::{PendingQuery, Query},
};
