//! A conference call control engine.

pub mod ids;
pub mod speech;
