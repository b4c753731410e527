//! Cursor: which room is selected, and who in it.

use crate::base::ids::{CallId, ConferenceName};

/// The selected list, room and caller.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchCursor {
    pub(super) is_in_room: bool,
    /// The selected room, once there is one.
    pub(super) place: Option<WatchedPlace>,
    /// The selected caller; None selects the first.
    pub(super) call: Option<CallId>,
    /// Room to select as soon as it exists.
    pub(super) awaited: Option<ConferenceName>,
}

/// A room; None for callers in no room.
pub(super) type WatchedPlace = Option<ConferenceName>;

impl WatchCursor {
    pub(super) fn at(room: Option<ConferenceName>) -> Self {
        Self { awaited: room, ..Self::default() }
    }
}
