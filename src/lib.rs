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
//! | floor | modules | may |
//! |---|---|---|
//! | 0 base | [`base`] | use std and serde |
//! | 1 ports | [`media`], `rtp::sdp`, [`store`], [`speech`], `audio::clip` | say what the world must do: traits and plain data |
//! | 2 machines | [`flow`] < [`call`] < [`conference`]; [`group`], [`trace`], [`cdr`], [`documents`], [`events`], [`webhooks`], `fetch::signature`, [`audio`], [`rtp`] | decide: time and randomness are arguments; no IO |
//! | 2 machines | in the adapters: `sip`, `rtp_engine::{room}`, `sim_phones` | the same |
//! | 3 adapters | [`fetch`] < `documents::web`, `sound`, `webhooks::dispatcher` | do IO, one driver each; they do not know each other |
//! | 3 adapters | [`accounts`], [`credentials`], `cdr::store`, `documents::{cache, folder, folder_index}`, `media::router`, [`rtp_engine`], `sim_phones::backend`, `sip::{driver, sockets, stream}`, `speech::{command, pico, process}`, `store::{folder, idempotency, inspect, member_ids, queue, rows_memory, sqlite}` | the same |
//! | 4 engine | [`engine`] | wait, run machines |
//! | 5 edges | [`api`], [`cli`], [`simulate`] | speak to people and programs; decide nothing |
//! | 6 program | [`app`], [`mod@bench`], [`check`], [`config`], [`log`], `main`, `simulate::command`, [`watch`] | build it all, drain it on a signal |
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
pub mod client;
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
