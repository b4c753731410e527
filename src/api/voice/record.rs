//! Endpoints that record a call or a conference (contract of recording, sections 1 and 2).

use std::{sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ApiClient, InAccount, VobizForm, calls, params::RequestParams, warnings::Warnings};
use crate::{
    api::{
        context::{PathNames, RequestBody},
        failure::Failure,
        openapi::Schemas,
        reply,
    },
    base::ids::{CallId, Dialect, RecordingId, RoomKey},
    call::{Hook, Party},
    conference::{Ask, ConferenceAnswer, Refusal, RosterEntry},
    engine::{
        inbound::wall_clock,
        recordings::{BegunRecording, NewRecording, RecordError},
        registry::AskError,
    },
    flow::RecordingFormat,
    media::RecordingChannels,
    recording::{Recording, RecordingCallback, RecordingEndReason, active::LENGTH_MAX},
};

/// The parameters of a start.
const START: [&str; 6] = [
    "time_limit",
    "file_format",
    "record_channel_type",
    "callback_url",
    "callback_method",
    "transcription_type",
];

/// Parameters about transcriptions, which have no effect.
const TRANSCRIPTION: [&str; 3] =
    ["transcription_type", "transcription_url", "transcription_method"];

/// The length of a call's recording without `time_limit`, as at the vendors.
const CALL_LENGTH: Duration = Duration::from_secs(60);

/// The schemas of these bodies.
pub(super) fn schemas(schemas: &mut Schemas) {
    schemas.put::<RecordStarted>();
}

/// The success of a start.
#[derive(Serialize, ToSchema)]
pub(super) struct RecordStarted {
    api_id: Uuid,
    message: &'static str,
    #[schema(value_type = Uuid)]
    recording_id: RecordingId,
    url: String,
}

/// The answer of Vobiz' servers to the start of a conference's recording.
#[derive(Serialize)]
struct RecordSpawned {
    api_id: Uuid,
    message: &'static str,
}

/// `POST Call/{call_uuid}/Record/`
pub(super) async fn start_call(
    client: ApiClient,
    PathNames([call]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let call = calls::id(&call)?;
    let wanted = WantedRecording::read(&client, &body)?;
    let live = calls::find(&client, call, calls::is_answered)?;
    client.state.registry.note_request(call, client.api_id, "Record");
    let new = wanted.recording(&client, call, &live.party, CALL_LENGTH);
    let registry = &client.state.registry;
    let stopped = RecordingEndReason::Stopped;
    let undo = |id: RecordingId| _ = registry.stop_recording_call(call, |it| it.id == id, stopped);
    let begun = stored(registry.record_call(new), "call not found", undo).await?;
    let warnings = wanted.warnings.note_in_traces(&client, &[call]);
    let status = by_form(&client, StatusCode::OK, StatusCode::ACCEPTED);
    let body = started(&client, &begun.recording, "call recording started");
    let answer = warnings.add_to(&client, reply::json(status, &body));
    Ok(kept(&client, answer))
}

/// `DELETE Call/{call_uuid}/Record/`: all its recordings, or the one that `URL` names.
pub(super) async fn stop_call(
    client: ApiClient,
    PathNames([call]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let call = calls::id(&call)?;
    let params = client.params(&body)?;
    let warnings = Warnings::of(&client, &params, &["URL", "url"]);
    let url = match params.text("URL")? {
        Some(url) => Some(url),
        None => params.text("url")?,
    };
    calls::find(&client, call, |_| true)?;
    let is_meant = |it: &Recording| url.as_ref().is_none_or(|url| names(url, it));
    client.state.registry.stop_recording_call(call, is_meant, RecordingEndReason::Stopped);
    let answer = warnings.add_to(&client, reply::empty(StatusCode::NO_CONTENT));
    Ok(kept(&client, answer))
}

/// `POST Conference/{name}/Record/`
pub(super) async fn start_room(
    client: ApiClient,
    PathNames([name]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let key = client.key(&name)?;
    let wanted = WantedRecording::read(&client, &body)?;
    let RosterEntry { call, party, .. } = first_member(&client, &key).await?;
    let new = wanted.recording(&client, call, &party, LENGTH_MAX);
    let registry = &client.state.registry;
    let undo = |_: RecordingId| _ = registry.stop_recording_room(&key, RecordingEndReason::Stopped);
    let begun = stored(registry.record_room(&key, new), "conference not found", undo).await?;
    let answer = match (client.dialect, client.state.voice.vobiz) {
        (Dialect::Vobiz, VobizForm::Live) => {
            let body = RecordSpawned { api_id: client.api_id, message: "async api spawned" };
            reply::json(StatusCode::OK, &body)
        }
        (Dialect::Plivo, _) | (Dialect::Vobiz, VobizForm::Documented) => {
            let status = by_form(&client, StatusCode::OK, StatusCode::OK);
            let body = started(&client, &begun.recording, "conference recording started");
            reply::json(status, &body)
        }
    };
    let answer = wanted.warnings.add_to(&client, answer);
    Ok(kept(&client, answer))
}

/// `DELETE Conference/{name}/Record/`
pub(super) async fn stop_room(
    client: ApiClient,
    PathNames([name]): InAccount,
) -> Result<Response, Failure> {
    let key = client.key(&name)?;
    first_member(&client, &key).await?;
    match client.state.registry.stop_recording_room(&key, RecordingEndReason::Stopped) {
        true => Ok(kept(&client, reply::empty(StatusCode::NO_CONTENT))),
        false => Err(AskError::Gone.into()),
    }
}

/// `POST Call/{call_uuid}/Record/Pause/`: silence is recorded from now on. An extension.
pub(super) async fn pause_call(client: ApiClient, at: InAccount) -> Result<Response, Failure> {
    silence_call(&client, at, true)
}

/// `POST Call/{call_uuid}/Record/Resume/`
pub(super) async fn resume_call(client: ApiClient, at: InAccount) -> Result<Response, Failure> {
    silence_call(&client, at, false)
}

/// `POST Conference/{name}/Record/Pause/`: silence is recorded from now on. An extension.
pub(super) async fn pause_room(client: ApiClient, at: InAccount) -> Result<Response, Failure> {
    silence_room(&client, at, true)
}

/// `POST Conference/{name}/Record/Resume/`
pub(super) async fn resume_room(client: ApiClient, at: InAccount) -> Result<Response, Failure> {
    silence_room(&client, at, false)
}

fn silence_call(
    client: &ApiClient,
    PathNames([call]): InAccount,
    on: bool,
) -> Result<Response, Failure> {
    let call = calls::id(&call)?;
    calls::find(client, call, |_| true)?;
    silenced(client, client.state.registry.pause_recording_call(call, on))
}

fn silence_room(
    client: &ApiClient,
    PathNames([name]): InAccount,
    on: bool,
) -> Result<Response, Failure> {
    let key = client.key(&name)?;
    let count = client.state.registry.pause_recording_room(&key, on).ok_or(AskError::Gone)?;
    silenced(client, count)
}

fn silenced(client: &ApiClient, count: usize) -> Result<Response, Failure> {
    match count {
        0 => Err(Failure::NotFound("recording not found: nothing is recorded here".into())),
        _ => Ok(kept(client, reply::empty(StatusCode::NO_CONTENT))),
    }
}

/// The parameters of a start.
struct WantedRecording {
    length: Option<Duration>,
    channels: RecordingChannels,
    format: RecordingFormat,
    callback: Option<RecordingCallback>,
    warnings: Warnings,
}

impl WantedRecording {
    fn read(client: &ApiClient, body: &[u8]) -> Result<Self, Failure> {
        let params = client.params(body)?;
        let known: Vec<_> = START.into_iter().chain(TRANSCRIPTION).collect();
        let mut warnings = Warnings::of(client, &params, &known);
        for name in TRANSCRIPTION.into_iter().filter(|it| params.has(it)) {
            warnings.ignored(name, "recordings are not transcribed, so it is ignored");
        }
        let format = match params.choice("file_format", &["mp3", "wav"])? {
            "mp3" => RecordingFormat::Mp3,
            _ => RecordingFormat::Wav,
        };
        let has_mp3 = client.state.registry.recordings().is_some_and(|it| it.has_mp3());
        if format == RecordingFormat::Mp3 && !has_mp3 {
            let why = "this server has no MP3 encoder (lame, ffmpeg), so the file is WAV";
            warnings.ignored("file_format", why);
        }
        let stereo = RecordingChannels::Stereo;
        let (first, second) = match client.dialect {
            Dialect::Plivo => (("stereo", stereo), ("mono", RecordingChannels::Mono)),
            Dialect::Vobiz => (("mono", RecordingChannels::Mono), ("stereo", stereo)),
        };
        let name = params.choice("record_channel_type", &[first.0, second.0])?;
        let channels = if name == first.0 { first.1 } else { second.1 };
        let length = params.number("time_limit", 1..=LENGTH_MAX.as_secs() as u32)?;
        let length = length.map(|it| Duration::from_secs(it.into()));
        let callback = callback(client, &params)?;
        Ok(Self { length, channels, format, callback, warnings })
    }

    fn recording(
        &self,
        client: &ApiClient,
        call: CallId,
        party: &Party,
        length_default: Duration,
    ) -> NewRecording {
        NewRecording {
            id: RecordingId(Uuid::new_v4()),
            account: client.account.clone(),
            call,
            from: party.from.clone(),
            to: party.to.clone(),
            api_id: client.api_id,
            started_at: wall_clock(),
            channels: self.channels,
            format: self.format,
            length: self.length.unwrap_or(length_default),
            callback: self.callback.clone(),
        }
    }
}

fn callback(
    client: &ApiClient,
    params: &RequestParams,
) -> Result<Option<RecordingCallback>, Failure> {
    let hook = params.hook("callback")?;
    let dialect = client.dialect;
    let callback =
        |it: Hook| RecordingCallback { url: it.url, method: it.method, dialect, party: None };
    Ok(hook.map(callback))
}

/// Waits until the row of a recording is kept: what is acknowledged is not lost. A recording whose row
/// cannot be kept ends.
async fn stored(
    begun: Result<BegunRecording, RecordError>,
    not_found: &'static str,
    undo: impl FnOnce(RecordingId),
) -> Result<BegunRecording, Failure> {
    let refused = |error: RecordError| match error {
        RecordError::Gone => Failure::NotFound(not_found.into()),
        RecordError::Off
        | RecordError::Refused(_)
        | RecordError::NoSpace(_)
        | RecordError::NotStored(_) => Failure::NoRecording(error.to_string()),
    };
    let mut begun = begun.map_err(refused)?;
    match begun.stored().await {
        Ok(()) => Ok(begun),
        Err(error) => {
            undo(begun.recording.id);
            Err(refused(error.into()))
        }
    }
}

/// A member of a conference, whose call stands for it in the row.
async fn first_member(client: &ApiClient, key: &RoomKey) -> Result<RosterEntry, Failure> {
    match client.state.ask(Some(client.api_id).into(), key, Ask::Roster).await {
        Ok(ConferenceAnswer::Roster(roster)) => {
            let first = roster.members.into_iter().next();
            first.ok_or_else(|| AskError::Gone.into())
        }
        Ok(
            ConferenceAnswer::Banned { .. }
            | ConferenceAnswer::Callee(_)
            | ConferenceAnswer::Departures(_)
            | ConferenceAnswer::Members(_),
        ) => unreachable!("a roster was asked for"),
        Err(AskError::Refused(Refusal::NoMember)) => Err(AskError::Gone.into()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a URL is that of a recording, in whatever form and with whatever signature.
fn names(url: &str, recording: &Recording) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().is_some_and(|it| it == recording.id.to_string())
}

/// The status of a success: 202 at Plivo, one of these at Vobiz.
fn by_form(client: &ApiClient, documented: StatusCode, live: StatusCode) -> StatusCode {
    match (client.dialect, client.state.voice.vobiz) {
        (Dialect::Plivo, _) => StatusCode::ACCEPTED,
        (Dialect::Vobiz, VobizForm::Documented) => documented,
        (Dialect::Vobiz, VobizForm::Live) => live,
    }
}

fn started(client: &ApiClient, recording: &Arc<Recording>, message: &'static str) -> RecordStarted {
    let url = client.state.registry.recordings();
    let url = url.map(|it| it.audio_url(client.dialect, recording)).unwrap_or_default();
    RecordStarted { api_id: client.api_id, message, recording_id: recording.id, url }
}

/// Keeps the answer of a request that may be repeated.
fn kept(client: &ApiClient, answer: Response) -> Response {
    let (answer, receipt) = client.receipt(answer);
    client.state.registry.record_answer(receipt.as_ref());
    answer
}
