//! TODO first line.

mod call_worker;
mod conference;
mod group_guard;
mod kick;
pub(crate) mod membership;
mod races;
