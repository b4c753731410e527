//! A conference call control engine.

pub mod actor;
pub mod api;
pub mod call;
pub mod conference;
pub mod directory;
pub mod flow;
pub mod ids;
pub mod library;
pub mod media;
pub mod numbers;
pub mod store;
