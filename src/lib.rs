//! A conference call control engine.

pub mod flow;
pub mod ids;
pub mod media;
