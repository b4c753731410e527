//! Conference: the state machine of one room, its commands, effects, asks and events.
//!
//! ```text
//!            a starter joins        the room empties, an ender leaves,
//!  Waiting ------------------> Live ------------------------------------> Over
//!     '------------------------------ or the time is up -------------------^
//! ```
//!
//! The machine is pure: commands and the time go in, effects come out. It never waits, reads no
//! clock and cannot fail. A request for something impossible gets a [`Refusal`], which is an
//! answer like any other.
//!
//! The members *are* calls. A call leaves with its [`Exit`](crate::flow::Exit) in one effect: there
//! is no other way out, and no copy remains.
mod accept;
mod asks;
pub mod ban_list;
mod call_ends;
mod callees;
mod dial;
mod digits;
mod early_media;
mod effect;
mod event;
mod floor;
mod guard;
mod hold;
mod invariants;
mod invite;
mod kick;
mod leaving;
mod member;
mod pair_row;
mod pending_sounds;
mod protocol;
mod record;
mod room_recording;
mod row;
mod sounds;
mod state;

pub use self::{
    effect::{Command, Effect, Leave, NewCallee, SoundMoment},
    event::{CalleeInfo, ConferenceEvent, DialEvent, DialStep, MemberInfo, Notice},
    pair_row::{LostCallees, PairRow},
    protocol::{
        Ask, AskTicket, ConferenceAnswer, ConferenceRoster, Departure, Kick, KickTarget,
        LegTransfer, MemberSelector, Outcome, Refusal, RosterEntry,
    },
    row::{DepartureRow, DeparturesRow, RoomRow},
    state::{Conference, INJECTED_FAULT, Settings},
};
