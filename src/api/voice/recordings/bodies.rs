//! Bodies of recordings: the keys of contract recording 4, one type for each dialect.
//!
//! Vobiz's strict client refuses unknown keys, numbers where it has texts, and an integer where it has
//! a float.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    api::{
        openapi::Schemas,
        voice::{ApiClient, calls::Meta},
    },
    base::{
        ids::{CallId, ConferenceName, Dialect, RecordingId},
        utc,
    },
    recording::{Recording, format_name},
};

/// Recordings are stored for whole days.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// The schemas of these bodies.
pub(in crate::api::voice) fn schemas(schemas: &mut Schemas) {
    schemas.put::<PlivoRecordingBody>();
    schemas.put::<VobizRecordingBody>();
}

/// A page of recordings.
#[derive(Serialize)]
pub(super) struct RecordingListBody {
    pub(super) api_id: Uuid,
    pub(super) meta: Meta,
    pub(super) objects: Vec<RecordingBody>,
}

/// A recording in a dialect.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum RecordingBody {
    Plivo(PlivoRecordingBody),
    Vobiz(VobizRecordingBody),
}

/// A recording in Plivo's form.
#[derive(Serialize, ToSchema)]
#[schema(as = PlivoRecording)]
pub(super) struct PlivoRecordingBody {
    add_time: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    api_id: Option<Uuid>,
    /// Of a conference: the call that started the recording, or a member's.
    #[schema(value_type = Uuid)]
    call_uuid: CallId,
    #[schema(value_type = Option<String>, required = true)]
    conference_name: Option<ConferenceName>,
    #[schema(value_type = Option<String>, required = true)]
    conference_uuid: (),
    from_number: String,
    monthly_recording_storage_amount: u32,
    #[schema(value_type = Option<String>, required = true)]
    mpc_name: (),
    #[schema(value_type = Option<String>, required = true)]
    mpc_uuid: (),
    recording_duration_ms: String,
    #[schema(required = true)]
    recording_end_ms: Option<String>,
    recording_format: &'static str,
    #[schema(value_type = Uuid)]
    recording_id: RecordingId,
    recording_start_ms: String,
    recording_storage_duration: u64,
    recording_storage_rate: u32,
    recording_type: &'static str,
    recording_url: String,
    resource_uri: String,
    rounded_recording_duration: u64,
    to_number: String,
}

/// A recording in Vobiz' form.
#[derive(Serialize, ToSchema)]
#[schema(as = VobizRecording)]
pub(super) struct VobizRecordingBody {
    add_time: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    api_id: Option<Uuid>,
    /// Of a conference: the call that started the recording, or a member's.
    #[schema(value_type = Uuid)]
    call_uuid: CallId,
    #[schema(value_type = Option<String>, required = true)]
    conference_name: Option<ConferenceName>,
    from_number: String,
    monthly_recording_storage_amount: u32,
    recording_duration_ms: String,
    #[schema(required = true)]
    recording_end_ms: Option<String>,
    recording_format: &'static str,
    #[schema(value_type = Uuid)]
    recording_id: RecordingId,
    recording_start_ms: String,
    recording_storage_duration: u64,
    recording_storage_rate: f64,
    recording_type: &'static str,
    recording_url: String,
    resource_uri: String,
    rounded_recording_duration: u64,
    to_number: String,
}

/// A recording in the client's dialect, with a URL that is signed now. Objects of a list have no
/// `api_id`.
pub(super) fn body(
    client: &ApiClient,
    now: SystemTime,
    recording: &Recording,
    api_id: Option<Uuid>,
) -> RecordingBody {
    match client.dialect {
        Dialect::Plivo => RecordingBody::Plivo(plivo(client, now, recording, api_id)),
        Dialect::Vobiz => RecordingBody::Vobiz(vobiz(client, now, recording, api_id)),
    }
}

fn plivo(
    client: &ApiClient,
    now: SystemTime,
    recording: &Recording,
    api_id: Option<Uuid>,
) -> PlivoRecordingBody {
    let decimal = |millis: u128| format!("{millis}.00000");
    let Recording { id, call, from, to, conference, started_at, end, .. } = recording;
    PlivoRecordingBody {
        add_time: add_time(*started_at),
        api_id,
        call_uuid: *call,
        conference_name: conference.clone(),
        conference_uuid: (),
        from_number: from.to_string(),
        monthly_recording_storage_amount: 0,
        mpc_name: (),
        mpc_uuid: (),
        recording_duration_ms: decimal(duration(recording).as_millis()),
        recording_end_ms: end.as_ref().map(|it| decimal(unix_millis(it.at))),
        recording_format: format_name(recording.file_format()),
        recording_id: *id,
        recording_start_ms: decimal(unix_millis(*started_at)),
        recording_storage_duration: days_stored(now, recording),
        recording_storage_rate: 0,
        recording_type: if conference.is_some() { "conference" } else { "normal" },
        recording_url: client.state.recordings.url(now, Dialect::Plivo, recording),
        resource_uri: format!("{}{id}/", uri(client)),
        rounded_recording_duration: rounded(recording),
        to_number: to.to_string(),
    }
}

fn vobiz(
    client: &ApiClient,
    now: SystemTime,
    recording: &Recording,
    api_id: Option<Uuid>,
) -> VobizRecordingBody {
    let Recording { id, call, from, to, conference, started_at, end, .. } = recording;
    VobizRecordingBody {
        add_time: add_time(*started_at),
        api_id,
        call_uuid: *call,
        conference_name: conference.clone(),
        from_number: from.to_string(),
        monthly_recording_storage_amount: 0,
        recording_duration_ms: duration(recording).as_millis().to_string(),
        recording_end_ms: end.as_ref().map(|it| unix_millis(it.at).to_string()),
        recording_format: format_name(recording.file_format()),
        recording_id: *id,
        recording_start_ms: unix_millis(*started_at).to_string(),
        recording_storage_duration: days_stored(now, recording),
        recording_storage_rate: 0.0,
        recording_type: if conference.is_some() { "conference" } else { "call" },
        recording_url: client.state.recordings.url(now, Dialect::Vobiz, recording),
        resource_uri: format!("{}{id}/", uri(client)),
        rounded_recording_duration: rounded(recording),
        to_number: to.to_string(),
    }
}

/// A time with microseconds and its offset from UTC.
fn add_time(time: SystemTime) -> String {
    format!("{}+00:00", utc::precise(time))
}

/// The length of the audio; zero while the recording runs.
fn duration(recording: &Recording) -> Duration {
    recording.end.as_ref().map(|it| it.duration).unwrap_or_default()
}

/// The length in seconds, up to the next minute.
fn rounded(recording: &Recording) -> u64 {
    let millis = duration(recording).as_millis();
    u64::try_from(millis.div_ceil(60_000) * 60).unwrap_or(u64::MAX)
}

fn unix_millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// The days since a recording began, at least 1.
fn days_stored(now: SystemTime, recording: &Recording) -> u64 {
    let age = now.duration_since(recording.started_at).unwrap_or_default();
    (age.as_secs() / DAY.as_secs()).max(1)
}

/// The path of the account's recordings.
pub(super) fn uri(client: &ApiClient) -> String {
    let root = match client.dialect {
        Dialect::Plivo => "/v1",
        Dialect::Vobiz => "/api/v1",
    };
    format!("{root}/Account/{}/Recording/", client.account)
}
