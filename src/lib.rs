//! A conference call control engine.

pub mod ids;
pub mod sound;
pub mod speech;
