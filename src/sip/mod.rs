//! Real phones: signalling by SIP (RFC 3261), as the callee of inbound calls.
//!
//! [`SipBackend`] is a [`SignallingBackend`](crate::media::SignallingBackend). The RTP engine takes
//! the audio orders; what signalling needs of it is the narrow port [`crate::media::legs`].
//!
//! ```text
//! wire, stream ─ Message ─▶ ┌───────┐ ─ Effect::Send ─▶ wire, stream
//! Sip (orders) ─ Command ─▶ │ Agent │ ─ Open, Agree, Close ─▶ Legs
//! clock ───────── Tick ───▶ └───────┘ ─ Arrive, Report ─▶ Exchange
//! ```
//!
//! [`Agent`](agent::Agent) is a machine: no socket, no clock, no randomness of its own, so all
//! timers of the RFCs are tested in no time. [`SipDriver`] is the loop around it, one task; sockets
//! are read, throttled and parsed by tasks of their own.
//!
//! # Why no SIP crate
//!
//! The stack looked at first (rsipstack 0.7) is faulty where a server open to the world must not
//! be, from its parser (a line that is no UTF-8 ends the headers silently, lines without a colon
//! vanish, a datagram without Content-Length has no body) to its transactions. What a callee needs
//! is small, and here it is a machine like the others. Its faults, and the tests that show that
//! they are not ours (in `tests/it/sip_agent`, unless named):
//!
//! | fault | here | test |
//! |---|---|---|
//! | digest wrong from the tenth nonce count on | [`digest`] | `any_nonce_count_is_counted_right` |
//! | no session timers | [`session_timer`] | `we_refresh_a_session_by_update_or_by_re_invite` |
//! | reliable 1xx half there; `Require` unchecked | 420 | `what_an_invite_must_be` |
//! | overlapping re-INVITEs both get 200 | 500, 491 | `overlapping_changes_are_put_off`, `changes_from_both_sides_at_once_are_put_off` |
//! | unknown methods are dropped | 405 | `requests_that_are_not_of_a_call_are_refused` |
//! | confirmed again by each re-INVITE | one arrival | `a_phone_holds_resumes_and_moves` |
//! | BYE before ACK | legal | `a_bye_may_come_before_the_ack_and_before_the_answer` |
//! | messages and passwords in the log | none is logged | `a_password_is_not_shown` |
//! | small socket buffers | 4 MiB | [`sockets`] |
//! | a missing Contact fails badly | 400 | `what_an_invite_must_be` |
//! | orders in the wrong state pretend to work | they do nothing | `a_caller_cancels` |
//! | its maker's name in every Call-ID | we begin no dialogs | – |
//!
//! # What it refuses to keep
//!
//! A request that is refused outside of a call is answered without a transaction: a flood leaves
//! nothing behind. Within limits that are named where they stand, each source has a
//! [rate](throttle::Rate), counted before anything is parsed.

pub mod admission;
pub mod agent;
pub mod body;
pub mod call;
pub mod dialog;
pub mod digest;
pub mod driver;
pub mod effect;
pub mod ending;
pub mod error;
pub mod ids;
pub mod info;
pub mod invite;
pub mod message;
pub mod name;
pub mod network;
pub mod registrar;
pub mod request;
pub mod session_timer;
pub mod settings;
pub mod sockets;
pub mod stream;
pub mod throttle;
pub mod timers;
pub mod transaction;
pub mod uri;
pub mod value;
pub mod within;

pub use driver::{BindError, SipBackend, SipDriver};
pub use ids::SipSecret;
pub use settings::{Settings, SipEndpoint, SipPassword, SipTrunk};

/// What we call ourselves.
const SERVER: &str = concat!("conflow/", env!("CARGO_PKG_VERSION"));

/// RFC 3261, 19.1.2.
pub const PORT_DEFAULT: u16 = 5060;
