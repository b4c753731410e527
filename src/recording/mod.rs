//! Recordings: the port that keeps their rows, and the type of one.
//!
//! A recording is audio kept in a file. Its row is in the store from the start to the deletion; the
//! file has its final name once the row has an end.

pub mod active;
pub mod archive;
mod encoders;
pub mod event;
pub mod files;
pub mod mp3;
pub mod port;
pub mod retention;
mod row;
pub mod store;
mod table;
mod timeline;
pub mod url;
mod wav_file;
pub mod writer;
mod writer_queue;
mod writer_shared;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    base::{
        ids::{AccountId, CallId, ConferenceName, Dialect, RecordingId, RoomId},
        utc,
    },
    call::Party,
    conference::MemberInfo,
    flow::{RecordingFormat, RequestMethod},
    media::RecordingChannels,
    store::rows::{OnCommit, RowStoreError},
};

/// A recording, running or complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Random, and the name of the file.
    pub id: RecordingId,
    /// The account that it belongs to, with the call or conference.
    pub account: AccountId,
    /// The recorded call; of a conference: the call that started the recording, or a member's.
    pub call: CallId,
    /// The caller of that call.
    pub from: Arc<str>,
    /// The called number or name of that call.
    pub to: Arc<str>,
    /// The recorded conference; None if one call is recorded.
    pub conference: Option<ConferenceName>,
    /// The `api_id` of the request that started it; random for a recording that a flow started.
    pub api_id: Uuid,
    /// One or two channels.
    pub channels: RecordingChannels,
    /// The format that the file has, or will have at the end.
    pub format: RecordingFormat,
    /// The time of its first sample (`add_time`).
    pub started_at: SystemTime,
    /// Who is told of its end, also if a crash interrupts it; None: nobody.
    pub callback: Option<RecordingCallback>,
    /// The members of the conference that are told of its end, also if a crash interrupts it. None of a
    /// call, and once it has ended.
    pub audience: Option<Arc<RecordingAudience>>,
    /// How it ended; None while it runs.
    pub end: Option<RecordingEnd>,
}

/// The incarnation of a conference that is recorded, and its members whose element has `record`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RecordingAudience {
    /// The incarnation that is recorded.
    pub room: RoomId,
    /// Those who have a `callbackUrl`: the first ones, at most [`AUDIENCE_MAX`].
    pub members: Vec<MemberInfo>,
}

/// Members who are told of a recording's end after a crash. Its row is written for each of them with
/// those before; they seldom have more than one receiver.
pub const AUDIENCE_MAX: usize = 100;

/// The receiver of the callback about a recording's end (`callback_url`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordingCallback {
    /// An `http(s)://` URL, as the client wrote it.
    pub url: Arc<str>,
    /// GET puts the fields into the query.
    pub method: RequestMethod,
    /// The dialect of the request, whose signature the callback has.
    pub dialect: Dialect,
    /// The call of a recording that an element has started: its fields are told as well, and all
    /// names are those of `<Record>`. None: a request has started it.
    #[serde(default)]
    pub party: Option<Arc<Party>>,
}

impl Recording {
    /// The format of the file: once it has ended, the one that it really has.
    pub fn file_format(&self) -> RecordingFormat {
        self.end.as_ref().map_or(self.format, |it| it.format)
    }

    /// The path of its file below the folder of recordings: `2026/11/30/ID.wav`.
    pub fn path(&self) -> String {
        self.path_of(self.file_format())
    }

    /// The path of its file in a format. Until its end, each recording is a WAV file.
    pub fn path_of(&self, format: RecordingFormat) -> String {
        let day = utc::seconds(self.started_at)[..10].replace('-', "/");
        format!("{day}/{}.{}", self.id, format_name(format))
    }
}

/// The end of a recording, whose file is closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordingEnd {
    /// The time of its last sample.
    pub at: SystemTime,
    /// The length of the audio, from its number of samples.
    pub duration: Duration,
    /// The size of the file.
    pub bytes: u64,
    /// Samples of silence in place of audio that the disk was too slow to take; 0 on a good disk.
    pub lost_samples: u64,
    /// The format of the file: WAV in place of MP3 if the conversion failed.
    pub format: RecordingFormat,
    /// The first reason that there was.
    pub reason: RecordingEndReason,
}

/// The reason why a recording ended (`RecordingEndReason`, contract recording 3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum RecordingEndReason {
    /// `<Record>`: the caller was silent for `timeout` seconds.
    Timeout,
    /// `maxLength`, `time_limit` or the longest recording of all.
    MaxLength,
    /// `<Record>`: the caller pressed a key of `finishOnKey`.
    FinishedOnKey,
    /// The call ended, or the conference.
    HungUp,
    /// A request stopped it, or a transfer ended its element.
    Stopped,
    /// Too little space was left on the disk.
    DiskFull,
    /// The process ended without closing it; the next start did.
    Interrupted,
    /// The server shut down as planned.
    Drained,
}

impl RecordingEndReason {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::MaxLength,
        Self::FinishedOnKey,
        Self::HungUp,
        Self::Stopped,
        Self::DiskFull,
        Self::Interrupted,
        Self::Drained,
    ];

    /// The reason that has this text.
    pub fn of_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.text() == text)
    }

    /// The text of callbacks and rows.
    pub fn text(self) -> &'static str {
        match self {
            Self::Timeout => "RecordingTimeout",
            Self::MaxLength => "maxLength",
            Self::FinishedOnKey => "FinishedOnKey",
            Self::HungUp => "HungUp",
            Self::Stopped => "Stopped",
            Self::DiskFull => "DiskFull",
            Self::Interrupted => "Interrupted",
            Self::Drained => "Drained",
        }
    }
}

/// Filter of a list: a recording must match every field that is Some.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordingFilter {
    /// Exact number or URI of the caller.
    pub from: Option<String>,
    /// Exact number or name that was called.
    pub to: Option<String>,
    /// The recorded call, exactly.
    pub call: Option<CallId>,
    /// The recorded conference, exactly.
    pub conference: Option<ConferenceName>,
    /// True: of conferences only. False: of calls only.
    pub is_conference: Option<bool>,
    /// Earliest time of the start, inclusive.
    pub started_from: Option<SystemTime>,
    /// Latest time of the start, inclusive.
    pub started_until: Option<SystemTime>,
}

impl RecordingFilter {
    /// Whether a recording matches every field.
    pub fn matches(&self, recording: &Recording) -> bool {
        let Recording { from, to, call, conference, started_at, .. } = recording;
        self.from.as_ref().is_none_or(|it| **it == **from)
            && self.to.as_ref().is_none_or(|it| **it == **to)
            && self.call.is_none_or(|it| it == *call)
            && self.conference.as_ref().is_none_or(|it| Some(it) == conference.as_ref())
            && self.is_conference.is_none_or(|it| it == conference.is_some())
            && self.started_from.is_none_or(|it| it <= *started_at)
            && self.started_until.is_none_or(|it| *started_at <= it)
    }
}

/// One page of the matching recordings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingPage {
    /// Recordings of the page, latest first.
    pub recordings: Vec<Arc<Recording>>,
    /// Number of matching recordings on all pages.
    pub total: usize,
}

/// The URL of a recording's audio, in the form of Vobiz' and Plivo's paths, unsigned.
pub fn audio_url(base: &str, dialect: Dialect, recording: &Recording) -> String {
    let root = match dialect {
        Dialect::Plivo => "/v1",
        Dialect::Vobiz => "/api/v1",
    };
    let (Recording { account, id, .. }, name) = (recording, format_name(recording.file_format()));
    format!("{base}{root}/Account/{account}/Recording/{id}.{name}")
}

/// The name of a format in the API, and the extension of its files: `wav` or `mp3`.
pub fn format_name(format: RecordingFormat) -> &'static str {
    match format {
        RecordingFormat::Mp3 => "mp3",
        RecordingFormat::Wav => "wav",
    }
}

/// Keeps the rows of recordings. The files are the business of others.
pub trait RecordingStore: Send + Sync + 'static {
    /// Adds a recording, or replaces the row of one: with its end. It is found at once; `on_stored`
    /// is called once it outlives the process, or cannot.
    fn put(&self, recording: Arc<Recording>, on_stored: OnCommit);

    /// Removes the row of a complete recording.
    fn remove(&self, recording: &Recording, on_stored: OnCommit);

    /// A recording, if it is one of the account's. Reads the disk: call it where one may wait.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    fn find(
        &self,
        account: &AccountId,
        id: RecordingId,
    ) -> Result<Option<Arc<Recording>>, RowStoreError>;

    /// One page of an account's matching recordings: `limit` of them, after the first `offset`.
    /// Reads the disk: call it where one may wait.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    fn list(
        &self,
        account: &AccountId,
        filter: &RecordingFilter,
        offset: usize,
        limit: usize,
    ) -> Result<RecordingPage, RowStoreError>;

    /// Those without an end: at a start, the ones that an earlier process left.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the disk cannot be read.
    fn running(&self) -> Result<Vec<Arc<Recording>>, RowStoreError>;
}
