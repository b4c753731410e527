//! Audio of a recording: the file, whole or a part of it, in chunks (contract recording 10).

use std::{
    io::{ErrorKind, Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};

use axum::{
    body::Bytes,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
            IF_RANGE, RANGE,
        },
    },
    response::Response,
};
use futures_util::{Stream, stream};
use tokio::task::spawn_blocking;

use super::{find, range::WantedRange};
use crate::{
    api::{
        context::PathNames,
        failure::Failure,
        streams::{self, OpenEventStream},
        voice::{ApiClient, InAccount},
    },
    flow::RecordingFormat,
    recording::{Recording, archive::OpenAudio},
};

/// Bytes in memory for each download: four seconds of one channel.
const CHUNK: u64 = 64 * 1024;

/// `GET Recording/{recording_id}.wav`
pub(in crate::api::voice) async fn wav(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    audio(client, &id, RecordingFormat::Wav).await
}

/// `GET Recording/{recording_id}.mp3`
pub(in crate::api::voice) async fn mp3(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    audio(client, &id, RecordingFormat::Mp3).await
}

async fn audio(client: ApiClient, id: &str, format: RecordingFormat) -> Result<Response, Failure> {
    let recording = find(&client, id).await?;
    if recording.end.is_none() {
        return Err(Failure::NotFound("recording in progress".into()));
    }
    if recording.file_format() != format {
        let why = "recording not found: its file has the other format, as recording_url says";
        return Err(Failure::NotFound(why.into()));
    }
    let open = client.state.downloads.open(&client.account).ok_or(Failure::TooManyDownloads)?;
    let OpenAudio { file, length } = open_file(&client, recording.clone()).await?;
    let headers = &client.context.headers;
    let tag = format!("\"{}\"", recording.id);
    // For other methods than GET, a range has no meaning.
    let range = headers.get(RANGE).filter(|_| client.context.method == Method::GET);
    let range = range.and_then(|it| it.to_str().ok()).filter(|_| is_of(headers, &tag));
    let (status, part) = match range.map(|it| WantedRange::of(it, length)) {
        None | Some(WantedRange::Whole) => (StatusCode::OK, 0..length),
        Some(WantedRange::Part(part)) => (StatusCode::PARTIAL_CONTENT, part),
        Some(WantedRange::Beyond) => return Err(Failure::NoRange { length }),
    };
    let bytes = part.end - part.start;
    // The body of a HEAD is dropped unread.
    let chunks = chunks(AudioDownload { file, part: part.clone(), _open: open });
    let mut response = Response::new(streams::body(client.validity(), chunks));
    *response.status_mut() = status;
    let text = |it: String| HeaderValue::try_from(it).expect("ids and digits are visible");
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    headers.insert(CONTENT_LENGTH, bytes.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(format)));
    headers.insert(ETAG, text(tag));
    if status == StatusCode::PARTIAL_CONTENT {
        let Range { start, end } = part;
        headers.insert(CONTENT_RANGE, text(format!("bytes {start}-{}/{length}", end - 1)));
    }
    Ok(response)
}

/// Whether a range is wanted of this file: `If-Range` names another one if the file has changed.
fn is_of(headers: &HeaderMap, tag: &str) -> bool {
    headers.get(IF_RANGE).is_none_or(|it| it == tag)
}

async fn open_file(client: &ApiClient, recording: Arc<Recording>) -> Result<OpenAudio, Failure> {
    let (archive, id) = (client.state.recordings.clone(), recording.id);
    let opened = spawn_blocking(move || archive.open(&recording)).await;
    match opened.map_err(|_| Failure::Internal)? {
        Ok(opened) => Ok(opened),
        Err(error) => {
            tracing::error!(recording = %id, "the file of a recording cannot be read: {error}");
            Err(match error.kind() == ErrorKind::NotFound {
                true => Failure::NotFound("recording not found: its file is gone".into()),
                false => Failure::Unavailable("the file cannot be read: try again".to_owned()),
            })
        }
    }
}

fn media_type(format: RecordingFormat) -> &'static str {
    match format {
        RecordingFormat::Mp3 => "audio/mpeg",
        RecordingFormat::Wav => "audio/wav",
    }
}

/// A file on its way.
struct AudioDownload {
    file: std::fs::File,
    /// The bytes that are left.
    part: Range<u64>,
    _open: OpenEventStream,
}

/// The bytes of a file. A thread reads each chunk once the client has taken the one before, so a slow
/// client holds no thread. A file that is shorter than it was breaks the connection off, since the
/// length was promised.
fn chunks(download: AudioDownload) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(download, |mut download| async move {
        let Range { start, end } = download.part;
        if start == end {
            return None;
        }
        let read = spawn_blocking(move || {
            let mut bytes = Vec::new();
            download.file.seek(SeekFrom::Start(start))?;
            let wanted = (end - start).min(CHUNK);
            Read::by_ref(&mut download.file).take(wanted).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>((bytes, download))
        });
        match read.await {
            Ok(Ok((bytes, mut download))) if !bytes.is_empty() => {
                download.part.start += bytes.len() as u64;
                Some((Bytes::from(bytes), download))
            }
            Ok(Ok(_)) => {
                tracing::error!("the file of a recording has become shorter during its download");
                None
            }
            Ok(Err(error)) => {
                tracing::error!("the file of a recording cannot be read: {error}");
                None
            }
            Err(_) => None,
        }
    })
}
