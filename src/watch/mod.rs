//! `conflow watch` without its terminal: what the public API tells becomes a picture of rooms,
//! callers and what each hears, and the picture becomes a screen.
//!
//! [`Model`] takes answers, events and keys, and says what should be asked next
//! ([`Model::wants`]); [`draw()`] puts it into a buffer of cells. Time is an argument: the age of
//! the watch.

mod draw;
mod feed;
mod hears;
mod keys;
mod layout;
mod model;
mod queries;
pub mod terminal;
pub mod wire;

#[cfg(test)]
mod tests;

pub use self::{
    draw::{draw, text},
    feed::{Feed, FeedError, Told},
    keys::Key,
    model::{Caller, Link, Model, Phone, Standing},
    queries::{Answer, Asked, Want},
};
