//! A conference call control engine: a call runs an XML flow, `<Conference>` moves it, with its
//! script, into a conference, and a kick lets the script go on at the next element.
//!
//! # The one idea
//!
//! A [`call::Call`] is a value that lives in exactly one place: in a ward's actor, with others,
//! while it speaks or waits; in a conference's while it is a member. It is moved, never shared; so
//! "kicked but still in the room", "resumed twice" and "script lost" cannot be written down.
//!
//! # The floors
//!
//! A module uses its own floor and those below it; `tests/it/tidy.rs` keeps it so.
//!
//! | floor | modules | what they do |
//! |---|---|---|
//! | 0 words | [`by_call`], [`ids`], [`meter`], [`traceparent`], [`utc`] | are used by all |
//! | 1 ports | [`media`], [`media::legs`], [`store`], [`library`], [`records`], [`speech`] | say what the world must do |
//! | 2 machines | [`group`] < [`flow`] < [`call`] < [`conference`] < [`news`]; [`bans`], [`directory`], [`numbers`], [`events`], [`delivery`], [`signature`], [`trace`], [`watch`], and of [`media`] the mixer, RTP and SDP, beside | decide: time is an argument, there is no IO, no clock, no tokio |
//! | 3 tools and adapters | [`accounts`], [`fetch`], [`sound`], [`sound::web`], [`callback`], [`documents::folder`], [`documents::web`], [`store::member_ids`], [`cdr::store`], [`store::idempotency`], [`store::sqlite`], [`store::inspect`], [`credentials`], [`speech::pico`], [`sim_phones`], [`sip`], [`rtp_engine`] | do IO |
//! | 4 actors | [`actor`] | wait, and run machines |
//! | 5 edges | [`api`], [`cli`], [`simulate`] | speak to callers |
//! | 6 program | [`app`], [`config`], `main.rs` | build it all, and drain it on a signal |
//!
//! # Where to start
//!
//! [`call::Call`], then [`conference::Conference::handle`], then [`engine::registry::House`], which
//! has every move of a call between places. Machines take commands and give ordered effects;
//! shells ([`actor`]) perform them in turns. The simulation in `tests/it/simulation` takes turns
//! of the real shells in an order that a seed picks, and checks what must always hold.

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
