//! Recordings that flows of calls ask for: starts them, and tells the calls of their ends.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{
    inbound::wall_clock,
    recordings::{BegunRecording, NewRecording, RecordError, Recordings},
    registry::Registry,
    waited_recordings::{EndedCallAction, WaitedRecording},
    worker_queue::CallMessage,
};
use crate::{
    base::ids::{AccountId, CallId, Dialect, RecordingId},
    call::{Call, CallStatus, Party},
    conference::MemberInfo,
    documents::{DocumentFetch, DocumentRecipient},
    flow::{PendingRecording, RecordKind, RecordOptions, RecordReport, RecordStop, RecordedFacts},
    media::RecordingSource,
    recording::{
        Recording, RecordingCallback, RecordingEndReason, active::LENGTH_MAX, event::RecordingEvent,
    },
};

impl Registry {
    /// Starts the recording that an element of a call asks for, and reports to the call.
    pub(super) fn record_element(&self, call: &Call, number: u32, options: &RecordOptions) {
        let report = self.begin_element(call, number, options).unwrap_or_else(|error| {
            tracing::warn!(call = %call.id, "<Record>: {error}");
            RecordReport::Refused
        });
        self.deliver(call.id, CallMessage::Recorded(Box::new((number, report))));
    }

    fn begin_element(
        &self,
        call: &Call,
        number: u32,
        options: &RecordOptions,
    ) -> Result<RecordReport, RecordError> {
        let recordings = self.recordings().ok_or(RecordError::Off)?;
        let dialect = call.party.dialect;
        let new = of_element(recordings, None, &call.account, call.id, &call.party, options);
        if options.kind == RecordKind::OnDial {
            let planned = recordings.planned(new);
            let facts = facts(recordings, dialect, &planned);
            return Ok(RecordReport::Begun(RecordedFacts { start_ms: None, ..facts }));
        }
        let is_message = options.kind == RecordKind::Message;
        if is_message {
            // Before the start: its file may be full at once.
            let recording = new.id;
            let entry = WaitedRecording { recording, number, dialect, facts: None, action: None };
            self.elements.waiting.lock().insert(call.id, entry);
        }
        match self.record_call(new) {
            Ok(BegunRecording { recording, .. }) => {
                Ok(RecordReport::Begun(facts(recordings, dialect, &recording)))
            }
            Err(error) => {
                if is_message {
                    self.elements.waiting.lock().remove(&call.id);
                }
                Err(error)
            }
        }
    }

    /// Ends the recording that the flow of a call waits for.
    pub(super) fn stop_element(&self, call: CallId, number: u32, why: RecordStop) {
        let Some(recordings) = self.recordings() else { return };
        let waited = self.elements.waiting.lock().get(&call).map(|it| (it.number, it.recording));
        let Some((_, recording)) = waited.filter(|it| it.0 == number) else { return };
        let reason = match why {
            RecordStop::Key => RecordingEndReason::FinishedOnKey,
            RecordStop::Length => RecordingEndReason::MaxLength,
            RecordStop::Silence => RecordingEndReason::Timeout,
            RecordStop::Transfer => RecordingEndReason::Stopped,
        };
        recordings.stop_of(RecordingSource::Call(call), Some(recording), reason);
    }

    /// Records a call that a `<Dial>` has connected.
    pub(super) fn record_dialled(
        &self,
        account: &AccountId,
        who: &MemberInfo,
        pending: PendingRecording,
    ) {
        let PendingRecording { id, options } = pending;
        let (call, is_dial) = (who.call, options.kind == RecordKind::Dial);
        let begun = self.recordings().ok_or(RecordError::Off).and_then(|recordings| {
            let new = of_element(recordings, id, account, call, &who.party, &options);
            self.record_call(new)
        });
        match begun {
            Ok(begun) if is_dial => {
                let mut dialled = self.elements.dialled.lock();
                dialled.entry(call).or_default().push(begun.recording.id);
            }
            Ok(_) => (),
            Err(error) => tracing::warn!(%call, "the conversation is not recorded: {error}"),
        }
    }

    /// Ends the recordings of a conversation, whose caller this is.
    pub(super) fn stop_dialled(&self, call: CallId) {
        let Some(recordings) = self.recordings() else { return };
        let ids = self.elements.dialled.lock().remove(&call).unwrap_or_default();
        let has_hung_up = self.places.of_call(call).hang_up_cause(call).is_some();
        let reason = match has_hung_up {
            true => RecordingEndReason::HungUp,
            false => RecordingEndReason::Stopped,
        };
        for id in ids {
            recordings.stop_of(RecordingSource::Call(call), Some(id), reason);
        }
    }

    /// Tells a call that its recording is complete, or makes the request of a call that has ended.
    pub(super) fn element_recorded(self: &Arc<Self>, recording: &Recording) {
        let Some(recordings) = self.recordings() else { return };
        let call = recording.call;
        let mut waiting = self.elements.waiting.lock();
        let waited = waiting.get_mut(&call).filter(|it| it.recording == recording.id);
        let Some(waited) = waited else { return };
        let (number, facts) = (waited.number, facts(recordings, waited.dialect, recording));
        let Some(action) = waited.action.take() else {
            waited.facts = Some(facts.clone());
            drop(waiting);
            let report = RecordReport::Over(facts);
            return self.deliver(call, CallMessage::Recorded(Box::new((number, report))));
        };
        waiting.remove(&call);
        drop(waiting);
        self.tell_action(*action, &facts);
    }

    /// Notes that a call ends: the `action` of the recording that its flow waits for is told once,
    /// and its response ignored. To be called before the recording is stopped.
    pub(super) fn element_call_ends(self: &Arc<Self>, call: &Call) {
        let mut waiting = self.elements.waiting.lock();
        let Some(waited) = waiting.get_mut(&call.id) else { return };
        let action = call.recording_action().filter(|(number, _)| *number == waited.number);
        let Some((_, action)) = action else {
            waiting.remove(&call.id);
            return;
        };
        let (account, party) = (call.account.clone(), call.party.clone());
        let runtime = Handle::try_current().ok();
        let action = EndedCallAction { call: call.id, account, party, action, runtime };
        match waited.facts.take() {
            Some(facts) => {
                waiting.remove(&call.id);
                drop(waiting);
                self.tell_action(action, &facts);
            }
            None => waited.action = Some(Box::new(action)),
        }
    }

    fn tell_action(self: &Arc<Self>, action: EndedCallAction, facts: &RecordedFacts) {
        let EndedCallAction { call, account, party, action, runtime } = action;
        // Requests are tasks.
        let _entered = runtime.as_ref().map(Handle::enter);
        let request = action.request(facts, party.dialect);
        let (recipient, status) = (DocumentRecipient::Nobody, CallStatus::Completed);
        let attempt = 1;
        self.fetch(DocumentFetch { account, call, party, status, recipient, request, attempt });
    }
}

fn facts(recordings: &Recordings, dialect: Dialect, recording: &Recording) -> RecordedFacts {
    RecordingEvent::of(recording, None, recordings.audio_url(dialect, recording)).facts()
}

fn of_element(
    recordings: &Recordings,
    id: Option<RecordingId>,
    account: &AccountId,
    call: CallId,
    party: &Arc<Party>,
    options: &RecordOptions,
) -> NewRecording {
    let callback = options.callback.as_ref().map(|it| RecordingCallback {
        url: it.url.clone(),
        method: it.method,
        dialect: party.dialect,
        party: Some(party.clone()),
    });
    NewRecording {
        id: id.unwrap_or_else(|| recordings.new_id()),
        account: account.clone(),
        call,
        from: party.from.clone(),
        to: party.to.clone(),
        api_id: recordings.new_id().0,
        started_at: wall_clock(),
        channels: options.channels,
        format: options.format,
        length: options.length.unwrap_or(LENGTH_MAX),
        callback,
    }
}
