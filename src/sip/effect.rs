//! What goes into the signalling machine, and what comes out of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{message::Message, request::Hop};
use crate::{
    base::ids::CallId,
    media::{
        Arrival, Ending, Report,
        legs::{NoPort, Session},
    },
};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A message has come.
    Received {
        /// Over this.
        hop: Hop,
        /// As it was read.
        message: Message,
    },
    /// [`Effect::Open`] has been done, or not.
    Opened {
        /// The call.
        call: CallId,
        /// The port of its sound.
        port: Result<SocketAddr, NoPort>,
    },
    /// [`Effect::Arrive`] has been done.
    Arrived {
        /// The call.
        call: CallId,
        /// Whether there is a flow for it.
        has_flow: bool,
    },
    /// The engine answers a call.
    Answer(CallId),
    /// The engine opens early media.
    EarlyMedia(CallId),
    /// The engine ends a call.
    End(CallId, Ending),
    /// From now on no call is taken in.
    Drain,
    /// Time has passed.
    Tick,
}

/// Something to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Sends a message.
    Send {
        /// Over this. If the stream is gone, a new one to `remote` will do.
        hop: Hop,
        /// The message.
        bytes: Arc<[u8]>,
    },
    /// Takes a port for a call's sound; [`Command::Opened`] must follow.
    Open {
        /// The call.
        call: CallId,
        /// On this address of ours.
        local: IpAddr,
    },
    /// Tells the sound of a call what has been agreed.
    Agree {
        /// The call.
        call: CallId,
        /// What.
        session: Session,
    },
    /// Ends the sound of a call.
    Close {
        /// The call.
        call: CallId,
    },
    /// Tells the engine of a call; [`Command::Arrived`] must follow.
    Arrive(Arrival),
    /// Tells the engine what has happened on a call.
    Report(Report),
}
