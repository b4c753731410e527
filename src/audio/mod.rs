//! Audio: decoding, mixing, playout and other work on samples. Pure: no clock, no IO.

pub mod clip;
pub mod cursor;
pub mod decode;
pub mod dtmf;
pub mod gate;
pub mod jitter;
pub mod limiter;
pub mod mix;
pub mod playout;
pub mod resample;
pub mod tone;
pub mod wav;
