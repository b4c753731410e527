//! TODO first line.

mod jitter;
mod mix;
mod playout;
