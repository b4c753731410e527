//! A conference call control engine: a call runs an XML flow. `<Conference>` moves the call, with its
//! flow, into a conference; when somebody kicks it, it continues at the next element.
//!
//! # Where to start
//!
//! Read [`call::Call`], then [`conference::Conference::handle`], then [`engine::registry::Registry`],
//! which has every move of a call from one place to another. `CONTRIBUTING.md` says which test goes
//! with which folder.
//!
//! # The one idea
//!
//! A [`call::Call`] is a value that lives in exactly one place: in a call worker while it plays,
//! speaks, waits or fetches; in a conference actor while it is a member. It is moved, never shared,
//! and not `Clone`. So "kicked but still in the room", "resumed twice" and "flow lost" cannot be
//! written down.
//!
//! # Floors
//!
//! A module uses modules of its own floor and of those below it. `tests/it/tidy.rs` reads this table
//! and checks it: the longest name that a module begins with gives its floor. `a < b` means that a
//! is below b on the same floor. Modules that use each other in a circle are refused, too.
//!
//! | floor | modules | what they may do |
//! |---|---|---|
//! | 0 base | [`base`] | use std and serde |
//! | 1 ports | [`media`], [`store`], [`speech`]; plain data: `audio::clip`, `rtp::{g711, sdp}` | say what the world must do: traits and data |
//! | 2 machines | [`flow`] < [`call`] < [`conference`]; [`group`], [`provisioning`], [`trace`], [`events`] | decide: time and randomness are arguments; no IO |
//! | 2 formats | [`audio`], [`rtp`] | compute; no IO |
//! | 2 ports of machines | [`cdr`], [`documents`], [`recording`], [`webhooks`] | as floor 1, in terms of calls and flows |
//! | 2 pure parts of adapters | [`sip`], [`sim_phones`], `fetch::signature`, `rtp_engine::gauges` | decide, as machines do |
//! | 3 adapters | [`holder`], [`tls`] < [`fetch`], [`rtp_engine`], `sip::{driver, resolver, sockets, stream, transport}`, [`accounts`], [`descriptors`] < [`credentials`], `documents::{folder, folder_index, web}`, [`sound`], `webhooks::dispatcher` | do IO, one driver each; they do not know each other, except as `<` says |
//! | 3 adapters | `cdr::{store, table}`, `documents::cache`, `media::router`, `provisioning::memory`, `recording::{archive, encoders, files, mp3, store, table, wav_file, writer, writer_queue, writer_shared}`, `sim_phones::backend`, `speech::{command, pico, process}`, [`state_log`], `store::{folder, idempotency, inspect, member_ids, queue, rows_memory, sqlite, trunk_minutes}`, `trace::archive` | the same |
//! | 4 engine | [`engine`] | wait, and run machines |
//! | 5 edges | [`console`] < [`api`], [`cli`], `client`, [`simulate`] | speak to people and programs; decide nothing |
//! | 6 program | [`app`], [`mod@bench`], [`check`], [`config`], [`log`], `main`, `simulate::command`, [`watch`] | build it all, and drain it on a signal |
//!
//! On floors 0 to 2 there is no tokio, no `async`, no clock, no randomness, no lock, no file, socket,
//! thread or process, and no hash table: its order differs from run to run, and a simulation could
//! not be replayed. ([`base::call_map`] hashes, and never shows the order.)
//!
//! # Invariants
//!
//! - A call has one owner. A refused join and a failed send hand it straight back.
//! - The directory has two tables, calls by id and rooms by name. A delivery or a move holds the lock
//!   of the name, then that of the call, and no other; it sends and does not wait. What is delivered
//!   after a move therefore queues after the arrival.
//! - Only asks can be refused as too many. Arrivals, hang-ups and reports are bounded by the number of
//!   calls.
//! - One ask has one reply, refusals included. Asks and answers are plain data.
//! - A machine changes in `handle(now, command, effects)` and nowhere else. Its effects are complete
//!   and in order; they never wait. What takes time is an order, and its result comes back as a
//!   command.
//! - A machine cannot fail. A refusal is data; an impossible state is a bug that `check()` finds.
//! - No actor awaits another actor. Edges do.
//! - A panic costs one call or one room its life: its members go on.
//! - A limit is enforced in the machine that makes the change, not in a handler before it.
//!
//! # Glossary
//!
//! | term | meaning |
//! |---|---|
//! | account, call, leg, flow, element, member, conference (room), group | as the vendors use them |
//! | verb | the code of an element |
//! | machine | decides: `handle(now, command, effects)`; no IO, no clock |
//! | command, effect | the input of a machine, and what it wants done, in order |
//! | ask, outcome, refusal | a request to an actor, and its one reply: done, or not and why |
//! | notice | a numbered event of a room, for callbacks, subscribers and the log |
//! | registry | every call and room of the process, and every move between them |
//! | call worker | runs the calls that are not in a room |
//! | ban list | who may not enter a room for a while |
//! | access list | who may enter a room guarded by a group |
//! | admission | the proof that a call was on the access list when it joined; in `sip`: whether a request is let in |
//! | spawner, scheduler | give actors their turns: the one on tokio, and the one for tests |
//! | inbound | accepts a call that comes in and finds its flow |
//! | counters | figures about calls and rooms |
//! | journal | numbers events and appends them to the account's log |
//! | recorder, receipt | what a turn writes before it is seen; the answer of a repeatable request in it |
//! | backlog | callbacks of earlier processes that are not queued yet |
//! | restore | builds a live call or room from its rows, at a start after a crash |
//! | trunk, target | another server that calls us, or that our calls leave through; one of its addresses |
//! | provisioning, application | what an account may add while the engine runs: endpoints, and what their calls run |
//! | upkeep, probe | what `sip` does for trunks by itself: registrations, and OPTIONS to their servers |
//! | callee, attempt | a call that `<Dial>` makes; one INVITE of a call that we make |
//! | call detail record (CDR) | what remains of a call |
//! | recording | audio kept in a file; never a CDR or a row |
//! | row | what the store keeps of one thing; in the state log, what a turn keeps of what is under way; in `config`, one `[[…]]` of the file |
//! | state log; frame, turn | the log of the data folder; what it writes at once; one run of an actor, whose effects follow its frame |
//! | tap, feed | takes the audio of a leg or a room in the media engine; its way into a recording's file |
//! | document store, folder index | where flows come from |
//! | webhooks; delivery, queue, in-flight limit, failing endpoint, dispatcher | callbacks on their way |
//! | idempotency keys | stored answers of repeated requests |
//! | member id blocks | reserved ranges of member ids |
//! | order, report, exchange | what the engine tells a backend, what a backend tells the engine, and the trait that takes reports |
//! | holder | keeps our sockets while one process takes the place of another: systemd, or `conflow supervise` |
//! | handover | the planned end of a process whose calls the next one goes on with |
//! | media engine (`rtp_engine`) | carries the sound of real calls over RTP |
//! | mixer thread | owns legs and rooms, and mixes every 20 ms |
//! | mailbox | the queue of commands of a mixer thread; a command holds from the moment it is posted |
//! | demultiplexer | takes the orders of the media engine to the mixer thread that has the call |
//! | sound loader | decodes files and texts off the mixer threads |
//! | app state, request context, audit entry, route, client | what a handler of the API gets |
//! | caller, endpoint, receiver | the person on the phone; a SIP phone (in `api`: a method and a path); the target of a webhook |
//! | error, warning, hint | findings of `check`, and what a response header lists |
//! | roster entry | one member in the list of a room |
//! | requester | the call or request that started an announcement |
//! | kick target | where a kicked member continues: as its flow says, at a named element, in another document, or nowhere (the call ends) |
//! | fault injection | panics that tests cause on purpose |
//! | floor | who speaks in a room (and, above, a rank of modules) |
//! | incarnation | one life of a room: the next room of the same name is another |
//!
//! # Names that recur by design
//!
//! A type's name is unique in the crate, but for those that have the same role in each machine:
//! `Effect`, `Command`, `Ask`, `Refusal`, `Settings`.
//!
//! # How to add something
//!
//! - **An element**: one file in `flow/verbs/` and one line in the list there. The parser, `check`, the
//!   reference and the schema follow from its row.
//! - **A backend** (media, speech, store): implement the port, and pass the suite that the others pass.
//! - **Something that must survive a crash**: a field of a row.

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
pub mod console;
pub mod credentials;
pub mod descriptors;
pub mod documents;
pub mod engine;
pub mod events;
pub mod fetch;
pub mod flow;
pub mod group;
pub mod holder;
pub mod log;
pub mod media;
pub mod provisioning;
pub mod recording;
pub mod rtp;
pub mod rtp_engine;
pub mod sim_phones;
pub mod simulate;
pub mod sip;
pub mod sound;
pub mod speech;
pub mod state_log;
pub mod store;
pub mod tls;
pub mod trace;
pub mod watch;
pub mod webhooks;
