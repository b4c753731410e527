//! SIP: signalling of real phones (RFC 3261): calls that come in, to phones, and through trunks.
//!
//! [`SipBackend`] is a [`SignallingBackend`](crate::media::SignallingBackend). An RTP engine takes
//! the audio orders; all that signalling needs of it is the narrow port [`crate::media::legs`].
//!
//! ```text
//! UDP, TCP ─ SipMessage ──▶ ┌───────┐ ─ Effect::Send ────────▶ UDP, TCP
//! orders ─── Command ─────▶ │ Agent │ ─ Open, Agree, Close ──▶ Legs
//! clock ──── Tick ────────▶ └───────┘ ─ Arrive, Report ──────▶ Exchange
//! ```
//!
//! [`Agent`](agent::Agent) is a machine without sockets, clock or randomness of its own, so tests
//! need not wait for the timers of the RFCs. [`SipDriver`] is the loop around it, one task. Other
//! tasks read the sockets, throttle and parse.
//!
//! # Why no SIP crate
//!
//! The stack considered first (rsipstack 0.7; 0.7.14 is the latest) adds 7 packages, and has defects
//! that a server open to the world cannot have, from its parser (a line that is not UTF-8 silently
//! ends the headers, lines without a colon vanish, a datagram without Content-Length has no body) to
//! its transactions. Calls need little of it, and here it is a machine like the others. The defects,
//! and the tests that show that we do not have them (in `tests/it/sip`, unless named):
//!
//! | defect | here | test |
//! |---|---|---|
//! | digest wrong from the tenth nonce count on | [`digest`] | `any_nonce_count_is_counted_right` |
//! | no session timers | [`session_timer`] | `we_refresh_a_session_by_update_or_by_re_invite` |
//! | reliable 1xx half implemented; `Require` unchecked | 420 | `an_invite_with_a_defect_is_refused` |
//! | overlapping re-INVITEs both get 200 | 500, 491 | `overlapping_changes_are_put_off`, `changes_from_both_sides_at_once_are_put_off` |
//! | unknown methods are dropped | 405 | `requests_outside_of_a_call_are_refused` |
//! | confirmed again by each re-INVITE | one arrival | `a_phone_holds_resumes_and_moves` |
//! | BYE before ACK | legal | `a_bye_may_come_before_the_ack_and_before_the_answer` |
//! | messages and passwords in the log | none is logged | `a_password_is_not_shown` |
//! | small socket buffers | 4 MiB | [`sockets`] |
//! | a missing Contact fails badly | 400 | `an_invite_with_a_defect_is_refused` |
//! | orders in the wrong state pretend to work | they do nothing | `a_caller_cancels` |
//! | its maker's name in every Call-ID | random digits | `a_registered_phone_is_called_and_hangs_up` |
//!
//! Other crates today: ezk-sip-core 0.9, sip-core 0.3, rvoip-sip-core 0.4 and rsip 0.4. They have
//! not been tried.
//!
//! # No state for strangers
//!
//! A request that is refused outside of a call is answered without a transaction, so a flood leaves
//! nothing. The limits are named where they apply. Each source has a [rate](throttle::Rate), which
//! is checked before parsing.

pub mod admission;
pub mod agent;
pub mod attempt;
pub mod body;
pub mod call;
pub mod call_table;
mod caller_id;
mod cause;
mod destination;
pub mod dialog;
pub mod dialog_row;
pub mod digest;
pub mod digest_client;
pub mod driver;
pub mod effect;
pub mod ending;
pub mod error;
mod failover;
mod head;
pub mod header_value;
pub mod ids;
pub mod in_dialog;
pub mod info_digits;
pub mod invite;
pub mod keep_alive;
mod keep_up;
pub mod liveness;
pub mod message;
pub mod name;
pub mod network;
pub mod nonce_cache;
pub mod note;
mod outgoing;
pub mod probe;
pub mod recovery;
pub mod registrar;
pub mod registrar_row;
pub mod registration;
pub mod request;
pub mod resolve;
pub mod resolver;
mod responses;
pub mod ringing_row;
pub mod route;
pub mod session_timer;
pub mod settings;
pub mod sockets;
pub mod stream;
mod text;
pub mod throttle;
pub mod timers;
pub mod transaction;
mod transport;
pub mod trunk;
mod trunk_plan;
mod trunk_queue;
pub mod trunk_usage;
pub mod upkeep;
pub mod uri;

pub use digest::SipPassword;
pub use driver::{BindError, SipBackend, SipDriver};
pub use ids::SipSecret;
pub use settings::{Settings, SipEndpoint};
pub use trunk::SipTrunk;

/// Our name in Server and User-Agent headers.
const SERVER: &str = concat!("conflow/", env!("CARGO_PKG_VERSION"));

/// The methods that we support.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REGISTER, REFER";

/// The default SIP port (RFC 3261, 19.1.2).
pub const PORT_DEFAULT: u16 = 5060;
