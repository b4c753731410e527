//! Room recording: what members have asked for, and whether it runs.

use std::mem;

use crate::base::ids::MemberId;

/// The recording that members of a room have asked for.
#[derive(Debug, Default)]
pub(super) struct RoomRecording {
    /// Members that have asked, and are not told yet that it began.
    asked: Vec<MemberId>,
    /// A member has asked for it also while one is alone.
    when_alone: bool,
    phase: RecordingPhase,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum RecordingPhase {
    #[default]
    NotBegun,
    Runs,
    Cut,
}

/// What a change of the number of members does to a recording.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct RecordingChange {
    /// True: time is left out from now on. False: no longer.
    pub(super) cut: Option<bool>,
    /// Members for whom it runs now.
    pub(super) begun_for: Vec<MemberId>,
}

impl RoomRecording {
    /// Notes the wish of a member.
    pub(super) fn ask(&mut self, id: MemberId, when_alone: bool) {
        self.when_alone |= when_alone;
        self.asked.push(id);
    }

    /// Begins, cuts or continues it, as the number of members says.
    pub(super) fn update(&mut self, members: usize) -> RecordingChange {
        let runs = 2 <= members || self.when_alone;
        let (phase, cut) = match (self.phase, runs) {
            (RecordingPhase::NotBegun, true) => (RecordingPhase::Runs, None),
            (RecordingPhase::Cut, true) => (RecordingPhase::Runs, Some(false)),
            (RecordingPhase::Runs, false) => (RecordingPhase::Cut, Some(true)),
            (phase, true | false) => (phase, None),
        };
        self.phase = phase;
        let begun_for = if runs { mem::take(&mut self.asked) } else { Vec::new() };
        RecordingChange { cut, begun_for }
    }
}
