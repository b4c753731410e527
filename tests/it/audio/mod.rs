//! Audio: jitter buffer, mixer, playout.

mod jitter;
mod mix;
mod playout;
