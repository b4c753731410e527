//! Webhooks: callbacks that conflow sends, and their delivery.

pub mod delivery;
pub mod dispatcher;
pub mod history;
