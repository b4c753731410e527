//! Recording of a room that its members ask for (`record="true"`), and of a `<Dial>`'s conversation.
//!
//! That of a room begins with the second member, and the time in which one is alone is cut out, unless
//! a member says otherwise (`recordWhenAlone`). It ends with the room.

use std::collections::VecDeque;

use super::{Conference, Effect, room_recording::RecordingChange};
use crate::{base::ids::MemberId, flow::PendingRecording};

impl Conference {
    /// Takes the wish of a member who has just entered.
    pub(super) fn ask_for_recording(&mut self, id: MemberId, effects: &mut VecDeque<Effect>) {
        let entry = &self.members[&id].entry;
        if entry.records && !self.is_private() {
            let when_alone = entry.records_alone;
            self.recording.get_or_insert_default().ask(id, when_alone);
        }
        self.update_recording(effects);
    }

    /// Begins, cuts or continues the recording, as the number of members says.
    pub(super) fn update_recording(&mut self, effects: &mut VecDeque<Effect>) {
        let Some(recording) = &mut self.recording else { return };
        let RecordingChange { cut, begun_for } = recording.update(self.members.len());
        effects.extend(cut.map(|on| Effect::CutRecording { on }));
        for id in begun_for {
            // Some have left meanwhile.
            if let Some(member) = self.members.get(&id) {
                let format = member.entry.recording_format;
                effects.push_back(Effect::Record { who: member.info(id), format });
            }
        }
    }

    /// Begins the recordings of a caller whom their `<Dial>` has connected.
    pub(super) fn record_dialled(&mut self, caller: MemberId, effects: &mut VecDeque<Effect>) {
        let own = self.pair().and_then(|it| it.options.recording.clone());
        let own = own.map(|options| PendingRecording { id: None, options });
        let Some(member) = self.members.get_mut(&caller) else { return };
        let waited = member.call.take_pending_recordings();
        let who = member.info(caller);
        let begin = |pending| Effect::RecordDialled { who: who.clone(), pending };
        effects.extend(waited.into_iter().chain(own).map(begin));
    }

    /// Ends the recordings of a conversation.
    pub(super) fn stop_dialled(&self, caller: MemberId, effects: &mut VecDeque<Effect>) {
        let is_recorded =
            self.pair().is_some_and(|it| it.connected.is_some() && it.options.recording.is_some());
        let leaver = self.leavers.iter().find(|it| it.id == caller).filter(|_| is_recorded);
        effects.extend(leaver.map(|it| Effect::StopDialled { call: it.member.call.id }));
    }
}
