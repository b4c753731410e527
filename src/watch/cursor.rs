//! Cursor: which room is selected, and who in it.

use crate::base::ids::{CallId, ConferenceName};

/// What is selected.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchCursor {
    pub(super) is_in_room: bool,
    /// The room, once there is one.
    pub(super) place: Option<WatchedPlace>,
    /// Somebody in it; the first unless somebody has been selected.
    pub(super) call: Option<CallId>,
    /// The room that was asked for, until it is there.
    pub(super) awaited: Option<ConferenceName>,
}

/// A room, or None: in no room.
pub(super) type WatchedPlace = Option<ConferenceName>;

impl WatchCursor {
    pub(super) fn at(room: Option<ConferenceName>) -> Self {
        Self { awaited: room, ..Self::default() }
    }
}
