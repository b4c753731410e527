//! Requests to record: finds the call or room in the registry, and has [`super::recordings`] record it.

use std::sync::Arc;

use super::{
    inbound::wall_clock,
    observed::Observed,
    recordings::{BegunRecording, NewRecording, RecordError, RecordingPorts, Recordings},
    registry::Registry,
};
use crate::{
    base::ids::{CallId, Incarnation, RoomId, RoomKey},
    conference::MemberInfo,
    flow::RecordingFormat,
    media::{RecordingChannels, RecordingSource},
    recording::{
        Recording, RecordingEndReason,
        active::{LENGTH_MAX, RecordedSubject},
    },
};

impl Registry {
    /// Keeps recordings from now on. To be called once.
    pub fn keep_recordings(self: &Arc<Self>, ports: RecordingPorts) -> &Arc<Recordings> {
        let itself = Arc::downgrade(self);
        let observer = Box::new(move |event: Observed| {
            if let Some(it) = itself.upgrade() {
                it.observe(event);
            }
        });
        let itself = Arc::downgrade(self);
        let on_end = Box::new(move |recording: &Recording| {
            if let Some(it) = itself.upgrade() {
                it.element_recorded(recording);
            }
        });
        let media = self.links.media.clone();
        self.recordings.get_or_init(|| Recordings::new(ports, media, observer, on_end))
    }

    /// The recordings, if this process keeps any.
    pub fn recordings(&self) -> Option<&Arc<Recordings>> {
        self.recordings.get()
    }

    /// Records a call, wherever it is.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn record_call(&self, new: NewRecording) -> Result<BegunRecording, RecordError> {
        let recordings = self.recordings().ok_or(RecordError::Off)?;
        let call = new.call;
        let places = self.places.of_call(call);
        if !places.is_up(call) {
            return Err(RecordError::Gone);
        }
        recordings.begin(new, RecordedSubject::Call(call))
    }

    /// Records a room, or returns the recording of it that runs.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn record_room(
        &self,
        key: &RoomKey,
        new: NewRecording,
    ) -> Result<BegunRecording, RecordError> {
        let recordings = self.recordings().ok_or(RecordError::Off)?;
        let names = self.names.of(key);
        let room = names.find(key).ok_or(RecordError::Gone)?;
        recordings.begin(new, RecordedSubject::Room(room.incarnation.clone()))
    }

    /// Stops all recordings of a call, or the one that is meant. Returns how many.
    pub fn stop_recording_call(
        &self,
        call: CallId,
        only: impl Fn(&Recording) -> bool,
        reason: RecordingEndReason,
    ) -> usize {
        let Some(recordings) = self.recordings() else { return 0 };
        let source = RecordingSource::Call(call);
        let meant = recordings.of(source).into_iter().filter(|it| only(it));
        meant.map(|it| recordings.stop_of(source, Some(it.id), reason)).sum()
    }

    /// Stops the recording of a room. Returns false if there is no such room.
    pub fn stop_recording_room(&self, key: &RoomKey, reason: RecordingEndReason) -> bool {
        let id = self.names.of(key).find(key).map(|it| it.incarnation.id);
        let (Some(id), Some(recordings)) = (id, self.recordings()) else { return id.is_some() };
        recordings.stop_of(RecordingSource::Room(id), None, reason);
        true
    }

    /// Makes the recordings of a call silent from the next tick on, or ends that. Returns how many.
    pub fn pause_recording_call(&self, call: CallId, on: bool) -> usize {
        self.recordings().map_or(0, |it| it.pause_of(RecordingSource::Call(call), on))
    }

    /// As [`Self::pause_recording_call`], for a room. None if there is no such room.
    pub fn pause_recording_room(&self, key: &RoomKey, on: bool) -> Option<usize> {
        let room = self.names.of(key).find(key).map(|it| it.incarnation.id)?;
        Some(self.recordings().map_or(0, |it| it.pause_of(RecordingSource::Room(room), on)))
    }

    /// Records a room for a member that asks for it, or adds them to those who are told.
    pub(super) fn record_for_member(
        &self,
        room: &Arc<Incarnation>,
        who: MemberInfo,
        format: RecordingFormat,
    ) {
        let call = who.call;
        let Some(recordings) = self.recordings() else {
            return tracing::warn!(%call, "record: this server keeps no recordings");
        };
        let new = NewRecording {
            id: recordings.new_id(),
            account: room.key.account.clone(),
            call,
            from: who.party.from.clone(),
            to: who.party.to.clone(),
            api_id: recordings.new_id().0,
            started_at: wall_clock(),
            channels: RecordingChannels::Mono,
            format,
            length: LENGTH_MAX,
            callback: None,
        };
        if let Err(error) = recordings.begin_for(new, room, who) {
            tracing::warn!(%call, "the conference is not recorded: {error}");
        }
    }

    /// Leaves time out of the recording that members of a room have asked for, or ends that.
    pub(super) fn cut_recording(&self, room: RoomId, on: bool) {
        self.recordings().into_iter().for_each(|it| it.cut(RecordingSource::Room(room), on));
    }

    /// Ends the recordings of a call that has left the table of calls.
    pub(super) fn recorded_call_ended(&self, call: CallId) {
        self.recordings().into_iter().for_each(|it| it.source_ended(RecordingSource::Call(call)));
    }

    /// Ends the recording of a room whose name is free.
    pub(super) fn recorded_room_ended(&self, room: RoomId) {
        self.recordings().into_iter().for_each(|it| it.source_ended(RecordingSource::Room(room)));
    }
}
