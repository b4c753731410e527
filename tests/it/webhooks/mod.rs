//! Webhooks: the delivery machine and the dispatcher.

mod delivery;
mod dispatcher;
