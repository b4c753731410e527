//! Backends: the traits that carry out orders.
//!
//! An order is in effect when the method that takes it returns. These methods never wait, and make
//! no report themselves: reports follow from another task or thread. A backend ignores orders for a
//! call that it no longer knows: the far end has hung up, and the report on that is on its way.

use std::sync::Arc;

use super::{
    ending::HangupCause,
    orders::{AudioOrder, SignallingOrder},
};
use crate::base::ids::{AccountId, CallId};

/// Makes, answers and ends calls.
pub trait SignallingBackend: Send + Sync + 'static {
    /// Carries out an order for one of this backend's calls. [`SignallingOrder::Dial`] makes the
    /// call one of them.
    fn signal(&self, order: SignallingOrder);

    /// Whether a later process can restore this call: then the engine keeps rows of it. Asked in each
    /// turn of a call that the engine has answered, or that has been, until it is true. The first time
    /// is before the order to answer: a backend says true of calls that it is about to answer, too.
    fn restores(&self, _call: CallId) -> bool {
        false
    }

    /// Whether this backend can call somebody on behalf of an account. Asked before
    /// [`SignallingOrder::Dial`].
    ///
    /// # Errors
    ///
    /// It makes no calls to this address.
    fn can_dial(&self, _account: &AccountId, to: &str) -> Result<(), CannotDial> {
        let (cause, hint) = (HangupCause::DestinationOut, "this backend makes no calls".to_owned());
        Err(CannotDial { to: to.into(), hint, cause, is_foreign: true })
    }
}

/// Carries the sound of calls.
pub trait AudioEngine: Send + Sync + 'static {
    /// Carries out an order for this engine's calls.
    fn send(&self, order: AudioOrder);

    /// Splits an order for many calls into orders that [`Self::send_part`] can take.
    fn split(&self, order: AudioOrder) -> Vec<AudioOrder> {
        vec![order]
    }

    /// Carries out part of an order: for calls from position `from` of [`AudioOrder::calls`] on.
    /// Returns the position to go on from, which is the number of calls when nothing is left.
    ///
    /// An engine that needs long for many calls does some at a time, so that others get their turn
    /// on the thread. An engine that does all calls in one step does so at position 0.
    fn send_part(&self, order: &AudioOrder, from: usize) -> usize {
        if from == 0 {
            self.send(order.clone());
        }
        order.calls().len()
    }
}

/// A backend that does both.
pub trait Backend: SignallingBackend + AudioEngine {}

impl<T: SignallingBackend + AudioEngine> Backend for T {}

/// No backend can call this address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no way to {to:?}: {hint}")]
pub struct CannotDial {
    /// The address that was to be called.
    pub to: Arc<str>,
    /// What the client can do about it.
    pub hint: String,
    /// The cause with which a call to it ends.
    pub cause: HangupCause,
    /// Whether the address is of a form that is not this backend's, so that another backend knows
    /// better what is wrong with it.
    pub is_foreign: bool,
}
