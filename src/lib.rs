//! A conference call control engine: a call runs an XML flow, `<Conference>` moves it, with its
//! script, into a conference, and a kick lets the script go on at the next element.
//!
//! # The one idea
//!
//! A [`call::Call`] is a value that lives in exactly one place: in a call worker while it plays,
//! speaks, waits or fetches; in a conference actor while it is a member. It is moved, never shared.
//! So "kicked but still in the room", "resumed twice" and "flow lost" cannot be written down.
//!
//! # Floors
//!
//! A module uses its own floor and those below it; `tests/it/tidy.rs` checks it.
//!
//! | floor | modules | what they do |
//! |---|---|---|
//! | 0 base | [`base`] | serve every floor |
//! | 1 ports | [`media`], [`store`], [`documents`], [`speech`] | say what the world must do |
//! | 2 machines | [`flow`] < [`call`] < [`conference`]; [`group`], [`events`], [`trace`], [`audio`], [`rtp`] | decide: time is an argument; no IO |
//! | 3 adapters | [`accounts`], [`credentials`], [`fetch`], [`sound`], [`cdr`], [`webhooks`], [`sip`], [`rtp_engine`], [`sim_phones`] | do IO |
//! | 4 engine | [`engine`] | waits, runs machines |
//! | 5 edges | [`api`], [`cli`], [`simulate`] | speak to people and programs |
//! | 6 program | [`app`], [`mod@bench`], [`check`], [`config`], [`log`], [`watch`] | build it all, drain it on a signal |
//!
//! # Where to start
//!
//! [`call::Call`], then [`conference::Conference::handle`], then [`engine::registry::Registry`],
//! which has every move of a call between places.

pub mod accounts;
pub mod api;
pub mod app;
pub mod audio;
pub mod base;
pub mod bench;
pub mod call;
pub mod cdr;
pub mod check;
pub mod cli;
pub mod conference;
pub mod config;
pub mod credentials;
pub mod documents;
pub mod engine;
pub mod events;
pub mod fetch;
pub mod flow;
pub mod group;
pub mod log;
pub mod media;
pub mod rtp;
pub mod rtp_engine;
pub mod sim_phones;
pub mod simulate;
pub mod sip;
pub mod sound;
pub mod speech;
pub mod store;
pub mod trace;
pub mod watch;
pub mod webhooks;
