//! `conflow watch` without its terminal: what the public API tells becomes a picture of rooms,
//! callers and what each hears, and the picture becomes a screen.
//!
//! [`Model`] takes answers, events and keys, and says what should be asked next
//! ([`Model::next_queries`]); [`draw()`] puts it into a buffer of cells. Time is an argument: the age of
//! the watch.

pub mod answers;
mod cursor;
mod draw;
mod hears;
mod keys;
mod layout;
mod model;
mod queries;
mod query;
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
