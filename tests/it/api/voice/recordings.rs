//! Recordings: lists, single ones, deletion, and the audio by credentials or a signature.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use conflow::{
    base::ids::{CallId, Dialect, RecordingId},
    engine::inbound::wall_clock,
    flow::RecordingFormat,
    media::RecordingChannels,
    recording::{
        Recording, RecordingEnd, RecordingEndReason, RecordingStore, archive::RecordingArchive,
        files, store::StoredRecordings, url::UrlSigner,
    },
    store::{rows::RowStore, sqlite::Sqlite},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use crate::api::engine::{StoredAccounts, TestEngine, TestEngineOptions};

/// A number of bytes that needs more than one chunk.
const BYTES: u64 = 100_044;

/// 2026-08-31 20:08:21.073308.
fn began(n: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(1_788_206_901_073_308) + hours(n)
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3_600)
}

fn id(n: u64) -> String {
    RecordingId::of(n.into()).to_string()
}

/// A WAV file of 345.1 seconds of an account, which began `n` hours late.
fn recording(account: &str, n: u64) -> Recording {
    Recording {
        id: RecordingId::of(n.into()),
        account: account.parse().unwrap(),
        call: CallId::of(u128::from(n) + 100),
        from: format!("1415555010{n}").into(),
        to: "weekly".into(),
        conference: None,
        api_id: Uuid::from_u128(7),
        channels: RecordingChannels::Stereo,
        format: RecordingFormat::Mp3,
        started_at: began(n),
        callback: None,
        audience: None,
        end: Some(RecordingEnd {
            at: began(n) + Duration::from_millis(345_100),
            duration: Duration::from_millis(345_100),
            bytes: BYTES,
            lost_samples: 0,
            format: RecordingFormat::Wav,
            reason: RecordingEndReason::HungUp,
        }),
    }
}

/// A recording that runs.
fn running(account: &str, n: u64) -> Recording {
    Recording { end: None, format: RecordingFormat::Wav, ..recording(account, n) }
}

/// A recording of a conference.
fn of_room(account: &str, n: u64, room: &str) -> Recording {
    Recording { conference: Some(room.parse().unwrap()), ..recording(account, n) }
}

/// An engine with recordings and their files.
struct RecordingsBench {
    engine: TestEngine,
    archive: Arc<RecordingArchive>,
    _temp: TempDir,
}

impl RecordingsBench {
    fn new(recordings: impl IntoIterator<Item = Recording>) -> Self {
        let temp = tempdir().unwrap();
        let path = temp.path().join("conflow.db");
        let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).unwrap());
        let store = Arc::new(StoredRecordings::open(rows, &path).unwrap());
        let signer = UrlSigner::new(&[1; 32], "https://conflow.example", Duration::from_secs(60));
        let archive = RecordingArchive::new(store, temp.path().join(files::FOLDER), signer);
        let archive = Arc::new(archive);
        for recording in recordings {
            let path = file(&archive, &recording);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content()).unwrap();
            let (tell, stored) = mpsc::channel();
            let done = Box::new(move |it| tell.send(it).unwrap());
            archive.store().put(Arc::new(recording), done);
            stored.recv().unwrap().unwrap();
        }
        let recordings = Some(archive.clone());
        let engine =
            TestEngine::new(TestEngineOptions { recordings, ..TestEngineOptions::default() });
        Self { engine, archive, _temp: temp }
    }

    /// The status and the JSON of an answer.
    async fn ask(&self, line: &str) -> (u16, Value) {
        let response = self.engine.send(self.engine.request(line)).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The numbers of the recordings in a list, and how many there are in all.
    async fn list(&self, path: &str) -> (Vec<u64>, u64) {
        let (status, body) = self.ask(&format!("GET {path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        let number = |it: &Value| {
            let id: RecordingId = it["recording_id"].as_str().unwrap().parse().unwrap();
            id.0.as_u128() as u64
        };
        let objects = body["objects"].as_array().unwrap().iter().map(number).collect();
        (objects, body["meta"]["total_count"].as_u64().unwrap())
    }

    /// Status, headers and body of a request without credentials, but for these headers.
    async fn fetch(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.engine.send(request.body(Body::empty()).unwrap()).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (head.status.as_u16(), head.headers, body)
    }

    /// [`fetch`](Self::fetch) with the credentials of `MA1`.
    async fn download(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Vec<u8>) {
        self.fetch(
            method,
            uri,
            &[&[("x-auth-id", "MA1"), ("x-auth-token", "one")], headers].concat(),
        )
        .await
    }
}

fn file(archive: &RecordingArchive, recording: &Recording) -> PathBuf {
    archive.root().join(recording.path())
}

fn content() -> Vec<u8> {
    (0..BYTES).map(|it| (it % 251) as u8).collect()
}

fn audio(n: u64) -> String {
    format!("/v1/Account/MA1/Recording/{}.wav", id(n))
}

/// Takes the parts out that depend on the clock, after a look at them.
fn settled(mut recording: Value) -> Value {
    let days = recording["recording_storage_duration"].take();
    assert!(days.as_u64().is_some_and(|it| 1 <= it), "{days}");
    let url = recording["recording_url"].as_str().unwrap().to_owned();
    let (bare, query) = url.split_once('?').unwrap();
    assert!(query.starts_with("exp=") && query.contains("&sig="), "{url}");
    recording["recording_url"] = bare.into();
    recording
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_shown_with_the_fields_and_types_of_each_dialect() {
    let bench = RecordingsBench::new([recording("MA1", 1), of_room("MA1", 2, "weekly")]);
    let common = json!({
        "add_time": "2026-08-31 21:08:21.073308+00:00",
        "call_uuid": CallId::of(101).to_string(),
        "conference_name": null,
        "from_number": "14155550101",
        "monthly_recording_storage_amount": 0,
        "recording_format": "wav",
        "recording_id": id(1),
        "recording_storage_duration": null,
        "rounded_recording_duration": 360,
        "to_number": "weekly",
    });
    let plivo = json!({
        "conference_uuid": null, "mpc_name": null, "mpc_uuid": null,
        "recording_duration_ms": "345100.00000",
        "recording_start_ms": "1788210501073.00000",
        "recording_end_ms": "1788210846173.00000",
        "recording_storage_rate": 0,
        "recording_type": "normal",
        "recording_url": format!("https://conflow.example{}", audio(1)),
        "resource_uri": format!("/v1/Account/MA1/Recording/{}/", id(1)),
    });
    let vobiz = json!({
        "recording_duration_ms": "345100",
        "recording_start_ms": "1788210501073",
        "recording_end_ms": "1788210846173",
        "recording_storage_rate": 0.0,
        "recording_type": "call",
        "recording_url": format!("https://conflow.example/api{}", audio(1)),
        "resource_uri": format!("/api/v1/Account/MA1/Recording/{}/", id(1)),
    });
    for (root, own) in [("P", plivo), ("V", vobiz)] {
        let mut expected = common.clone();
        expected.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let (status, mut shown) = bench.ask(&format!("GET {root}/Recording/{}/", id(1))).await;
        let api_id = shown.as_object_mut().unwrap().remove("api_id").unwrap();
        assert_eq!((status, api_id.as_str().map(str::len)), (200, Some(36)));
        assert_eq!(settled(shown), expected, "{root}");
        // An object of a list has no `api_id`: the strict client refuses it.
        let (_, list) = bench.ask(&format!("GET {root}/Recording/?conference_name=weekly")).await;
        assert_eq!(list["objects"][0]["conference_name"], "weekly");
        assert_eq!(list["objects"][0]["recording_type"], "conference");
        let (_, list) = bench.ask(&format!("GET {root}/Recording/?offset=1")).await;
        assert_eq!(settled(list["objects"][0].clone()), expected, "{root}");
    }
    // A float that is written as an integer is none for the strict client.
    let line = format!("GET V/Recording/{}/", id(1));
    let response = bench.engine.send(bench.engine.request(&line)).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("\"recording_storage_rate\":0.0,"), "{text}");
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_has_pages_and_filters_and_nothing_of_another_account() {
    let all = (0..5).map(|n| recording("MA1", n));
    let rooms = [of_room("MA1", 5, "weekly"), of_room("MA1", 6, "daily"), running("MA1", 7)];
    let bench = RecordingsBench::new(all.chain(rooms).chain([recording("MA2", 8)]));
    let check = async |path: &str, expected: &[u64], total| {
        assert_eq!(bench.list(path).await, (expected.to_vec(), total), "{path}");
    };
    check("P/Recording/", &[7, 6, 5, 4, 3, 2, 1, 0], 8).await;
    check("P/Recording/?limit=2&offset=3", &[4, 3], 8).await;
    check("V/Recording/?limit=100&offset=6", &[1, 0], 8).await;
    check("P/Recording/?offset=9", &[], 8).await;
    check("P/Recording/?from_number=14155550103", &[3], 1).await;
    check("P/Recording/?to_number=weekly&limit=1", &[7], 8).await;
    check(&format!("P/Recording/?call_uuid={}", CallId::of(102)), &[2], 1).await;
    check("P/Recording/?conference_name=weekly", &[5], 1).await;
    check("P/Recording/?conference_name=%01", &[], 0).await;
    check("V/Recording/?recording_type=conference", &[6, 5], 2).await;
    check("V/Recording/?recording_type=call&limit=1", &[7], 6).await;
    check("V/Recording/?recording_type=trunk", &[], 0).await;
    for never in ["conference_uuid", "mpc_name", "mpc_uuid", "subaccount"] {
        check(&format!("P/Recording/?{never}=x"), &[], 0).await;
    }
    // The second one began at 21:08:21.073308.
    check("P/Recording/?add_time__lt=2026-08-31+21:08:21", &[0], 1).await;
    check("P/Recording/?add_time__lte=2026-08-31+21:08:21", &[1, 0], 2).await;
    check("P/Recording/?add_time__gt=2026-09-01+01:08:21", &[7, 6], 2).await;
    check("P/Recording/?add_time__gte=2026-09-01+01:08:21", &[7, 6, 5], 3).await;
    check("P/Recording/?add_time=2026-08-31+21:08:21", &[1], 1).await;
    // As `add_time` has it: from one page to the next, nothing is left out.
    check("P/Recording/?add_time__lt=2026-08-31+21:08:21.073308%2B00:00", &[0], 1).await;
    check("P/Recording/?add_time__gte=2026-09-01+02:08:21.073308+00:00", &[7, 6], 2).await;
    // All of them are of the same day, some while ago.
    let days = wall_clock().duration_since(began(0)).unwrap().as_secs() / 86_400;
    if 2 < days {
        check(
            &format!("P/Recording/?recording_storage_duration__gte={}", days - 1),
            &[7, 6, 5, 4, 3, 2, 1, 0],
            8,
        )
        .await;
        check("P/Recording/?recording_storage_duration=1", &[], 0).await;
        check(&format!("P/Recording/?recording_storage_duration__gt={}", days + 1), &[], 0).await;
    }
    check("P/Recording/?recording_storage_duration__lt=1", &[], 0).await;

    for bad in [
        "P/Recording/?limit=21",
        "P/Recording/?limit=0",
        "V/Recording/?limit=101",
        "P/Recording/?offset=-1",
        "P/Recording/?call_uuid=1",
        "P/Recording/?add_time=yesterday",
        "P/Recording/?recording_storage_duration__gt=x",
        "V/Recording/?recording_type=video",
    ] {
        let (status, body) = bench.ask(&format!("GET {bad}")).await;
        assert_eq!(status, 400, "{bad}: {body}");
    }
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_links_of_a_list_lead_through_it_and_vobiz_has_no_null_at_the_end() {
    let bench = RecordingsBench::new((0..3).map(|n| recording("MA1", n)));
    let meta = async |line: &str| bench.ask(line).await.1["meta"].clone();
    let (plivo, vobiz) = ("/v1/Account/MA1/Recording/", "/api/v1/Account/MA1/Recording/");
    let first = meta("GET P/Recording/?limit=2&to_number=weekly").await;
    let next = format!("{plivo}?limit=2&offset=2&to_number=weekly");
    let expected = json!({
        "limit": 2, "next": next, "offset": 0, "previous": null, "total_count": 3,
    });
    assert_eq!(first, expected);
    let last = meta("GET P/Recording/?limit=2&offset=2").await;
    let previous = format!("{plivo}?limit=2&offset=0");
    let expected = json!({
        "limit": 2, "next": null, "offset": 2, "previous": previous, "total_count": 3,
    });
    assert_eq!(last, expected);
    let last = meta("GET V/Recording/?limit=2&offset=2").await;
    let previous = format!("{vobiz}?limit=2&offset=0");
    let expected =
        json!({ "limit": 2, "next": "", "offset": 2, "previous": previous, "total_count": 3 });
    assert_eq!(last, expected);
    assert_eq!(meta("GET V/Recording/?recording_type=trunk").await["next"], "");
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn parameters_without_effect_are_told() {
    let bench = RecordingsBench::new([]);
    let warned = async |line: &str| {
        let response = bench.engine.send(bench.engine.request(line)).await;
        let values = response.headers().get_all("conflow-warning").iter();
        values.map(|it| it.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(warned("GET P/Recording/?add_time__lt=2026-08-31&limit=3").await, [""; 0]);
    let of_vobiz = ["recording_type: no such parameter, so it is ignored"];
    assert_eq!(warned("GET P/Recording/?recording_type=call").await, of_vobiz);
    assert_eq!(warned("GET V/Recording/?recording_type=call").await, [""; 0]);
    let never = ["mpc_name: no recording of conflow has one, so there is none in this list"];
    assert_eq!(warned("GET P/Recording/?mpc_name=x").await, never);
    let (status, body) = bench.ask("POST V/Recording/export {}").await;
    assert_eq!(status, 400);
    assert_eq!(body["error"], "the export of recordings is not implemented yet");
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_runs_has_no_length_and_no_audio_and_is_not_deleted() {
    let bench = RecordingsBench::new([running("MA1", 1)]);
    let (_, plivo) = bench.ask(&format!("GET P/Recording/{}/", id(1))).await;
    let (_, vobiz) = bench.ask(&format!("GET V/Recording/{}/", id(1))).await;
    let shown = |it: &Value| {
        let names = ["recording_duration_ms", "recording_end_ms", "rounded_recording_duration"];
        names.map(|name| it[name].clone())
    };
    assert_eq!(shown(&plivo), [json!("0.00000"), Value::Null, json!(0)]);
    assert_eq!(shown(&vobiz), [json!("0"), Value::Null, json!(0)]);
    for root in ["P", "V"] {
        let line = format!("DELETE {root}/Recording/{}/", id(1));
        let (status, body) = bench.ask(&line).await;
        assert_eq!(status, 409, "{body}");
        assert!(body["error"].as_str().unwrap().contains("stop it first"), "{body}");
        let (status, body) = bench.ask(&format!("GET {root}/Recording/{}.wav", id(1))).await;
        assert_eq!((status, &body["error"]), (404, &json!("recording in progress")));
    }
    assert_eq!(bench.list("P/Recording/").await, (vec![1], 1));
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_recording_is_gone_with_its_file_and_others_stay() {
    let all = [recording("MA1", 1), recording("MA1", 2), recording("MA2", 3)];
    let paths = all.clone();
    let bench = RecordingsBench::new(all);
    let there = || paths.iter().map(|it| file(&bench.archive, it).exists()).collect::<Vec<_>>();
    let (_, shown) = bench.ask(&format!("GET P/Recording/{}/", id(1))).await;
    let url = shown["recording_url"].as_str().unwrap().to_owned();
    // The recording of another account, one that is not there, and no id at all.
    for unknown in [id(3), id(9), "BulkDelete".to_owned(), "1".to_owned()] {
        for (root, expected) in [("P", "recording not found"), ("V", "Recording not found")] {
            for method in ["GET", "DELETE"] {
                let (status, body) =
                    bench.ask(&format!("{method} {root}/Recording/{unknown}/")).await;
                assert_eq!((status, &body["error"]), (404, &json!(expected)), "{unknown}");
            }
        }
    }
    assert_eq!(there(), [true; 3]);
    let (status, _) = bench.ask(&format!("DELETE V/Recording/{}/", id(1))).await;
    assert_eq!((status, there()), (204, vec![false, true, true]));
    let (status, body) = bench.ask(&format!("DELETE V/Recording/{}/", id(1))).await;
    assert_eq!((status, &body["error"]), (404, &json!("Recording not found")));
    assert_eq!(bench.list("P/Recording/").await, (vec![2], 1));
    assert_eq!(bench.fetch("GET", &url, &[]).await.0, 404);
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn audio_comes_whole_or_in_part() {
    let bench = RecordingsBench::new([recording("MA1", 1)]);
    let (status, headers, body) = bench.download("GET", &audio(1), &[]).await;
    assert_eq!((status, body.len()), (200, content().len()));
    assert!(body == content());
    let tag = format!("\"{}\"", id(1));
    for (name, expected) in [
        ("accept-ranges", "bytes"),
        ("cache-control", "private"),
        ("content-length", "100044"),
        ("content-type", "audio/wav"),
        ("etag", &tag),
    ] {
        assert_eq!(headers[name], expected, "{name}");
    }
    assert!(headers.get("content-range").is_none());

    let (status, of_head, body) =
        bench.download("HEAD", &audio(1), &[("range", "bytes=0-9")]).await;
    assert_eq!(
        (status, body.len(), &of_head["content-length"]),
        (200, 0, &headers["content-length"])
    );
    assert_eq!(of_head["etag"], tag);

    let part = async |range: &str, more: &[(&str, &str)]| {
        let headers = [&[("range", range)][..], more].concat();
        let (status, headers, body) = bench.download("GET", &audio(1), &headers).await;
        let about = headers.get("content-range").map(|it| it.to_str().unwrap().to_owned());
        if status != 416 {
            assert_eq!(headers["content-length"], body.len().to_string());
        }
        (status, about.unwrap_or_default(), body)
    };
    let all = content();
    for (range, about, expected) in [
        ("bytes=0-0", "bytes 0-0/100044", &all[..1]),
        ("bytes=44-", "bytes 44-100043/100044", &all[44..]),
        ("bytes=65530-65545", "bytes 65530-65545/100044", &all[65_530..65_546]),
        ("bytes=-44", "bytes 100000-100043/100044", &all[100_000..]),
    ] {
        let (status, found, body) = part(range, &[]).await;
        assert_eq!((status, &*found), (206, about));
        assert!(body == expected, "{range}");
    }
    let (status, about, body) = part("bytes=100044-", &[]).await;
    assert_eq!((status, &*about), (416, "bytes */100044"));
    assert!(String::from_utf8(body).unwrap().contains("the file has 100044 bytes"));
    for ignored in ["bytes=0-1,3-4", "lines=0-1", "bytes=9-1"] {
        assert_eq!(part(ignored, &[]).await.0, 200, "{ignored}");
    }
    assert_eq!(part("bytes=0-1", &[("if-range", &tag)]).await.0, 206);
    assert_eq!(part("bytes=0-1", &[("if-range", "\"other\"")]).await.0, 200);

    let mp3 = audio(1).replace(".wav", ".mp3");
    let (status, _, body) = bench.download("GET", &mp3, &[]).await;
    assert!(String::from_utf8(body).unwrap().contains("the other format"));
    assert_eq!(status, 404);
    for unknown in [audio(2), audio(1).replace(".wav", ".ogg"), audio(1).replace(".wav", "/wav")] {
        assert_eq!(bench.download("GET", &unknown, &[]).await.0, 404, "{unknown}");
    }
    assert_eq!(bench.download("DELETE", &audio(1), &[]).await.0, 405);
    assert!(file(&bench.archive, &recording("MA1", 1)).exists());
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn audio_is_opened_by_credentials_or_by_a_signature_and_by_nothing_else() {
    let bench =
        RecordingsBench::new([recording("MA1", 1), recording("MA1", 2), recording("MA2", 3)]);
    for root in ["P", "V"] {
        let (_, shown) = bench.ask(&format!("GET {root}/Recording/{}/", id(1))).await;
        let url = shown["recording_url"].as_str().unwrap();
        let (status, _, body) = bench.fetch("GET", url, &[]).await;
        assert_eq!((status, body.len()), (200, content().len()), "{url}");
        let (status, headers, _) = bench.fetch("HEAD", url, &[]).await;
        assert_eq!((status, &headers["content-length"]), (200, &"100044".parse().unwrap()));
        assert_eq!(bench.fetch("GET", url, &[("range", "bytes=0-1")]).await.0, 206);

        // The signature is good for nothing else.
        let status = async |uri: &str| bench.fetch("GET", uri, &[]).await.0;
        let (bare, query) = url.split_once('?').unwrap();
        assert_eq!(status(bare).await, 401);
        assert_eq!(status(&url.replace(&id(1), &id(2))).await, 403);
        assert_eq!(status(&url.replace("MA1", "MA2")).await, 403);
        assert_eq!(status(&url.replace("exp=", "exp=9")).await, 403);
        assert_eq!(status(&format!("{bare}?sig=AAAA")).await, 403);
        assert_eq!(status(&format!("{bare}?{query}x")).await, 403);
        for other in ["", "/"] {
            let shown = url.replace(".wav", other);
            assert_eq!(status(&shown).await, 401, "{shown}");
        }
        assert_eq!(bench.fetch("DELETE", url, &[]).await.0, 405);

        // After its time, with credentials.
        let past = wall_clock() - Duration::from_secs(120);
        let dialect = if root == "P" { Dialect::Plivo } else { Dialect::Vobiz };
        let old = bench.archive.url(past, dialect, &recording("MA1", 1));
        let (refused, _, body) = bench.fetch("GET", &old, &[]).await;
        assert_eq!(refused, 403);
        assert!(String::from_utf8(body).unwrap().contains("another time or path"));
        assert_eq!(bench.download("GET", &old, &[]).await.0, 200);
        let wrong = [("x-auth-id", "MA1"), ("x-auth-token", "guess")];
        assert_eq!(bench.fetch("GET", url, &wrong).await.0, 401, "wrong ones are not ignored");
        let other = [("x-auth-id", "MA2"), ("x-auth-token", "two")];
        assert_eq!(bench.fetch("GET", bare, &other).await.0, 404);
    }
    // An account that does not exist has no recordings, also with a good signature.
    let gone = bench.archive.url(wall_clock(), Dialect::Plivo, &recording("MA9", 3));
    assert_eq!(bench.fetch("GET", &gone, &[]).await.0, 404);
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_download_ends_with_the_token_or_the_account_that_opened_it() {
    let bench = RecordingsBench::new([recording("MA3", 1)]);
    let stored = StoredAccounts::new(&bench.engine);
    let token = stored.add("MA3");
    let path = format!("/v1/Account/MA3/Recording/{}.wav", id(1));
    let signed = bench.archive.url(wall_clock(), Dialect::Plivo, &recording("MA3", 1));
    let mut bodies = Vec::new();
    for (uri, headers) in
        [(path, vec![("x-auth-id", "MA3"), ("x-auth-token", &*token)]), (signed, vec![])]
    {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = bench.engine.send(request.body(Body::empty()).unwrap()).await;
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first == content()[..first.len()] && first.len() < content().len());
        bodies.push(body);
    }
    stored.remove("MA3");
    for mut body in bodies {
        body.frame().await.unwrap().unwrap_err();
    }
    bench.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_is_not_found() {
    let bench = RecordingsBench::new([recording("MA1", 1)]);
    fs::remove_file(file(&bench.archive, &recording("MA1", 1))).unwrap();
    let (status, _, body) = bench.download("GET", &audio(1), &[]).await;
    assert_eq!(status, 404);
    assert!(String::from_utf8(body).unwrap().contains("its file is gone"));
    bench.engine.close().await;
}
