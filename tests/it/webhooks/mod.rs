//! TODO first line.

mod delivery;
mod dispatcher;
