//! Recording over HTTP: calls and conferences of simulated phones, their files and callbacks.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use conflow::{
    base::ids::RecordingId,
    engine::recordings::{RecordingPorts, Recordings, tokio_clock},
    recording::{
        RecordingStore, audio_url,
        mp3::Mp3Encoder,
        port::RecordingListener,
        store::StoredRecordings,
        writer::{RecordingWriter, WriterSettings},
    },
};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use crate::api::engine::{TestEngine, TestEngineOptions, account};

/// An engine that keeps recordings in a folder of its own.
pub(super) struct RecordingEngine {
    pub(super) engine: TestEngine,
    pub(super) store: Arc<StoredRecordings>,
    folder: TempDir,
}

impl RecordingEngine {
    pub(super) fn new() -> Self {
        Self::with(|settings| settings)
    }

    pub(super) fn with(change: impl FnOnce(WriterSettings) -> WriterSettings) -> Self {
        Self::of(TestEngineOptions::default(), change)
    }

    pub(super) fn of(
        options: TestEngineOptions,
        change: impl FnOnce(WriterSettings) -> WriterSettings,
    ) -> Self {
        let engine = TestEngine::new(options);
        let (folder, store) = (tempdir().unwrap(), Arc::new(StoredRecordings::in_memory()));
        let settings = WriterSettings {
            free_min_mb: 0,
            free_stop_mb: 0,
            ..WriterSettings::new(folder.path().join("recordings"))
        };
        let files = Arc::new(RecordingWriter::start(change(settings)).unwrap());
        let recordings = engine.registry().keep_recordings(RecordingPorts {
            store: store.clone(),
            files: files.clone(),
            audio_url: Box::new(|dialect, it| audio_url("http://conflow.example", dialect, it)),
            new_id: Box::new(|| RecordingId(Uuid::new_v4())),
            recordings_max: 6,
            clock: Box::new(tokio_clock),
        });
        let listener: Arc<dyn RecordingListener> = recordings.clone();
        files.connect(Arc::downgrade(&listener));
        tokio::spawn(Recordings::run(Arc::downgrade(recordings)));
        Self { engine, store, folder }
    }

    /// Sends the request of a line; returns its status, its body, and its warnings.
    pub(super) async fn ask(&self, line: &str) -> (u16, Value, String) {
        let response = self.engine.send(self.engine.request(line)).await;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let shown = ["conflow-warning", "retry-after"].iter().flat_map(|it| headers.get_all(*it));
        let shown: Vec<_> = shown.map(|it| it.to_str().unwrap().to_owned()).collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default(), shown.join("; "))
    }

    /// Waits for a callback to `http://app.example/PATH`, and returns these fields of it.
    pub(super) async fn told(&self, path: &str, names: &str) -> String {
        let names: Vec<_> = names.split(',').collect();
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
            let told = self.engine.receiver.received(path, &names);
            if told != "nothing" {
                return told;
            }
            // The files are written by a thread in real time.
            std::thread::sleep(Duration::from_millis(2));
        }
        "nothing".to_owned()
    }

    pub(super) async fn wait(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// The complete recordings: channels and samples per channel of each file.
    pub(super) fn files(&self) -> Vec<(u16, usize)> {
        let mut found = Vec::new();
        visit(self.folder.path(), &mut found);
        found.sort_unstable();
        found
    }

    pub(super) async fn close(self) {
        self.engine.close().await;
    }
}

fn visit(folder: &Path, found: &mut Vec<(u16, usize)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|it| it == "wav") {
            let bytes = fs::read(path).unwrap();
            let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            assert_eq!(&bytes[..4], b"RIFF");
            let length = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
            assert_eq!(length, bytes.len() - 44, "the header says how much there is");
            found.push((word(22), length / 2 / usize::from(word(22))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_recorded_for_as_long_as_it_was_and_its_callback_tells_the_url() {
    let mut world = RecordingEngine::new();
    world.engine.dial("weekly").await;
    let line =
        r#"POST P/Call/{1}/Record/ {"callback_url":"http://app.example/done","file_format":"wav"}"#;
    let (status, body, warnings) = world.ask(line).await;
    assert_eq!((status, &body["message"]), (202, &"call recording started".into()), "{body}");
    assert_eq!(warnings, "");
    let (id, url) = (body["recording_id"].as_str().unwrap(), body["url"].as_str().unwrap());
    assert_eq!(url, format!("http://conflow.example/v1/Account/MA1/Recording/{id}.wav"));
    let row = world.store.find(&account(), id.parse().unwrap()).unwrap().unwrap();
    assert_eq!((row.end.is_none(), &*row.from, &*row.to), (true, "14155550100", "weekly"));

    world.wait(1_500).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
    assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204, "there is none any more");
    let call = world.engine.calls[0].to_string();
    let names =
        "signed,api_id,call_uuid,record_url,recording_id,recording_duration,recording_duration_ms";
    let api_id = body["api_id"].as_str().unwrap();
    let expected = format!("plivo {api_id} {call} {url} {id} 1 1500");
    assert_eq!(world.told("/done", names).await, expected);
    let row = world.store.find(&account(), id.parse().unwrap()).unwrap().unwrap();
    let end = row.end.as_ref().unwrap();
    assert_eq!(
        (end.reason.text(), end.duration.as_millis(), end.lost_samples),
        ("Stopped", 1_500, 0)
    );
    assert_eq!(end.bytes, 44 + 4 * 12_000);
    assert_eq!(world.files(), [(2, 12_000)], "stereo, 8 kHz");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_recording_ends_at_its_limit_at_the_hang_up_and_with_the_conference() {
    let mut world = RecordingEngine::new();
    world.engine.dial("weekly").await;
    let record = |more: &str| {
        format!(r#"POST V/Call/{{1}}/Record/ {{"callback_url":"http://app.example/done"{more}}}"#)
    };
    let (status, body, warnings) = world.ask(&record(r#","time_limit":2"#)).await;
    assert_eq!(status, 200, "{body}");
    assert!(warnings.starts_with("file_format: this server has no MP3 encoder"), "{warnings}");
    world.wait(3_000).await;
    let fields = "signed,recording_duration_ms,conference_name,call_uuid";
    let call = world.engine.calls[0].to_string();
    assert_eq!(world.told("/done", fields).await, format!("vobiz 2000 - {call}"));

    let line = r#"POST V/Conference/weekly/Record/ {"callback_url":"http://app.example/room"}"#;
    let (status, first, _) = world.ask(line).await;
    assert_eq!((status, &first["message"]), (200, &"conference recording started".into()));
    let (_, second, _) = world.ask(line).await;
    assert_eq!(second["recording_id"], first["recording_id"], "it runs already");
    assert_eq!(world.ask(&record("")).await.0, 200);
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE V/Conference/weekly/").await.0, 204);
    assert_eq!(world.told("/done", fields).await, format!("vobiz 1000 - {call}"));
    assert_eq!(world.told("/room", fields).await, "vobiz 1000 weekly -");
    let rows = world.store.list(&account(), &Default::default(), 0, 9).unwrap().recordings;
    let mut reasons: Vec<_> =
        rows.iter().map(|it| it.end.as_ref().unwrap().reason.text()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["HungUp", "HungUp", "maxLength"]);
    assert_eq!(world.files(), [(1, 8_000), (1, 8_000), (1, 16_000)], "mono at Vobiz");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn one_of_several_recordings_is_stopped_by_its_url() {
    let mut world = RecordingEngine::new();
    world.engine.dial("weekly").await;
    let line = r#"POST P/Call/{1}/Record/ {"callback_url":"http://app.example/done"}"#;
    let (_, first, _) = world.ask(line).await;
    let (_, second, _) = world.ask(line).await;
    world.wait(1_000).await;
    let url = second["url"].as_str().unwrap();
    let stop = format!(r#"DELETE P/Call/{{1}}/Record/ {{"URL":"{url}?exp=1&sig=x"}}"#);
    assert_eq!(world.ask(&stop).await.0, 204);
    assert_eq!(world.told("/done", "recording_id").await, second["recording_id"].as_str().unwrap());
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/").await.0, 204);
    let expected = format!("{} 2000", first["recording_id"].as_str().unwrap());
    assert_eq!(world.told("/done", "recording_id,recording_duration_ms").await, expected);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_is_refused() {
    let mut world = RecordingEngine::new();
    world.engine.dial("weekly").await;
    let check = async |line: &str, status: u16, error: &str| {
        let (found, body, headers) = world.ask(line).await;
        assert_eq!((found, body["error"].as_str().unwrap_or_default()), (status, error), "{line}");
        assert_eq!(headers == "60", status == 503, "{line}: {headers}");
    };
    let nobody = "00000000-0000-0000-0000-000000000009";
    check(&format!("POST P/Call/{nobody}/Record/"), 404, "call not found").await;
    check(&format!("DELETE P/Call/{nobody}/Record/"), 404, "call not found").await;
    check("POST P/Conference/none/Record/", 404, "conference not found").await;
    check("DELETE V/Conference/none/Record/", 404, "conference not found").await;
    let bad = "time_limit: give a whole number from 1 to 86400";
    check(r#"POST P/Call/{1}/Record/ {"time_limit":0}"#, 400, bad).await;
    check(r#"POST P/Call/{1}/Record/ {"file_format":"ogg"}"#, 400, "file_format: give mp3 or wav")
        .await;
    let bad = "record_channel_type: give stereo or mono";
    check(r#"POST P/Call/{1}/Record/ {"record_channel_type":"both"}"#, 400, bad).await;
    for _ in 0..4 {
        check("POST P/Call/{1}/Record/", 202, "").await;
    }
    let full = "no recording: the call has 4 recordings at a time already: stop one";
    check("POST P/Call/{1}/Record/", 503, full).await;
    check("DELETE P/Call/{1}/Record/", 204, "").await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn no_recording_starts_while_the_disk_is_nearly_full() {
    let mut world = RecordingEngine::with(|it| WriterSettings { free_min_mb: u64::MAX, ..it });
    world.engine.dial("weekly").await;
    for line in ["POST P/Call/{1}/Record/", "POST V/Conference/weekly/Record/"] {
        let (status, body, headers) = world.ask(line).await;
        assert_eq!((status, &*headers), (503, "60"));
        assert!(body["error"].as_str().unwrap().contains("delete recordings"), "{body}");
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_runs_full_ends_recordings_and_no_call() {
    let mut world = RecordingEngine::with(|it| WriterSettings { free_stop_mb: u64::MAX, ..it });
    world.engine.dial("weekly").await;
    let line = r#"POST V/Conference/weekly/Record/ {"callback_url":"http://app.example/done"}"#;
    let (status, body, _) = world.ask(line).await;
    assert_eq!(status, 200, "{body}");
    let id = body["recording_id"].as_str().unwrap();
    assert_eq!(world.told("/done", "recording_id,conference_name").await, format!("{id} weekly"));
    let row = world.store.find(&account(), id.parse().unwrap()).unwrap().unwrap();
    assert_eq!(row.end.as_ref().unwrap().reason.text(), "DiskFull");
    assert_eq!(world.ask("GET V/Conference/weekly/").await.0, 200, "the conference goes on");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_paused_and_its_file_as_long_as_the_time() {
    let mut world = RecordingEngine::new();
    world.engine.dial("weekly").await;
    for path in ["Call/{1}", "Conference/weekly"] {
        let pause = format!("POST P/{path}/Record/Pause/");
        let (status, body, _) = world.ask(&pause).await;
        let error = "recording not found: nothing is recorded here";
        assert_eq!((status, &body["error"]), (404, &error.into()));
        let start =
            format!(r#"POST P/{path}/Record/ {{"callback_url":"http://app.example/done"}}"#);
        assert_eq!(world.ask(&start).await.0, 202);
        assert_eq!([world.ask(&pause).await.0, world.ask(&pause).await.0], [204, 204]);
        world.wait(1_000).await;
        assert_eq!(world.ask(&format!("POST P/{path}/Record/Resume/")).await.0, 204);
        world.wait(500).await;
        assert_eq!(world.ask(&format!("DELETE P/{path}/Record/")).await.0, 204);
        assert_eq!(world.told("/done", "recording_duration_ms").await, "1500");
    }
    assert_eq!(world.ask("POST P/Conference/none/Record/Pause/").await.0, 404);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_completes_recordings_and_says_so() {
    let mut world = RecordingEngine::new();
    world.engine.dial("weekly").await;
    let line = r#"POST P/Conference/weekly/Record/ {"callback_url":"http://app.example/done"}"#;
    let (_, body, _) = world.ask(line).await;
    world.wait(1_000).await;
    world.engine.registry().close();
    assert_eq!(world.told("/done", "recording_duration").await, "1");
    let id = body["recording_id"].as_str().unwrap();
    let row = world.store.find(&account(), id.parse().unwrap()).unwrap().unwrap();
    assert_eq!(row.end.as_ref().unwrap().reason.text(), "Drained");
    let recordings = world.engine.registry().recordings().unwrap().clone();
    assert!(recordings.is_idle());
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_flow_records_its_conference_while_nobody_is_alone() {
    let mut world = RecordingEngine::new();
    let flow = r#"<Response><Conference record="true" stayAlone="true" callbackUrl="http://app.example/room">team</Conference></Response>"#;
    world.engine.line(&format!("has /answer {flow}")).await;
    world.engine.dial("web").await;
    world.wait(1_000).await;
    assert!(world.store.list(&account(), &Default::default(), 0, 9).unwrap().recordings.is_empty());
    let fields = "Event,ConferenceMemberID,ConferenceAction,ConferenceName,RecordingDurationMs";
    assert_eq!(world.told("/room", fields).await, "ConferenceEnter 1 enter team -");

    world.engine.dial("web").await;
    world.wait(1_000).await;
    let began = "ConferenceRecordStart 1 record team -1 | ConferenceRecordStart 2 record team -1";
    assert_eq!(
        world.told("/room", fields).await,
        format!("ConferenceEnter 2 enter team - | {began}")
    );
    // Alone for two seconds, which are not in the file.
    assert_eq!(world.ask("DELETE V/Conference/team/Member/2/").await.0, 204);
    world.wait(2_000).await;
    assert_eq!(world.told("/room", fields).await, "ConferenceExit 2 exit team -");
    world.engine.dial("web").await;
    world.wait(500).await;
    let began = "ConferenceEnter 3 enter team - | ConferenceRecordStart 3 record team -1";
    assert_eq!(world.told("/room", fields).await, began);
    assert_eq!(world.ask("DELETE V/Conference/team/").await.0, 204);
    let mut told = String::new();
    while told.matches("RecordStop").count() < 3 {
        told += &(world.told("/room", fields).await + " | ");
        assert!(!told.contains("nothing"), "{told}");
    }
    let (_, stops) = told.split_once("ConferenceRecordStop").unwrap();
    let ms = stops.split(" | ").next().unwrap().rsplit(' ').next().unwrap();
    let ms: u32 = ms.parse().unwrap();
    assert!((1_500..1_520).contains(&ms), "{told}");
    assert_eq!(world.files().len(), 1);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn mp3_is_made_by_a_program_and_a_wav_file_is_never_called_mp3() {
    // The last two arguments are the input and the output.
    let good = "for it; do in=$out; out=$it; done; head -c 4 $in > $out; echo encoded >> $out";
    for (program, format) in [(good, "mp3"), ("exit 3", "wav"), ("exit 0", "wav")] {
        let scripts = tempdir().unwrap();
        let lame = scripts.path().join("lame");
        fs::write(&lame, format!("#!/bin/sh\n{program}\n")).unwrap();
        fs::set_permissions(&lame, fs::Permissions::from_mode(0o755)).unwrap();
        let encoder = Mp3Encoder::find(scripts.path().as_os_str());
        assert_eq!(encoder, Some(Mp3Encoder::at(lame)));
        let mut world = RecordingEngine::with(|it| WriterSettings { mp3: encoder, ..it });
        world.engine.dial("weekly").await;
        let line = r#"POST P/Call/{1}/Record/ {"callback_url":"http://app.example/done"}"#;
        let (status, body, warnings) = world.ask(line).await;
        assert_eq!((status, &*warnings), (202, ""));
        assert!(body["url"].as_str().unwrap().ends_with(".mp3"), "{body}");
        world.wait(1_000).await;
        assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
        let id = body["recording_id"].as_str().unwrap();
        let url = format!("http://conflow.example/v1/Account/MA1/Recording/{id}.{format}");
        let told = world.told("/done", "record_url,recording_duration_ms").await;
        assert_eq!(told, format!("{url} 1000"), "{program}");
        let row = world.store.find(&account(), id.parse().unwrap()).unwrap().unwrap();
        let path = world.folder.path().join("recordings").join(row.path());
        let bytes = fs::read(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        assert_eq!(bytes.len() as u64, row.end.as_ref().unwrap().bytes);
        assert_eq!(format == "mp3", bytes == b"RIFFencoded\n", "{}", path.display());
        // It is removed after the callback.
        for _ in 0..1_000 {
            if world.files().is_empty() == (format == "mp3") {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(world.files().len(), usize::from(format == "wav"));
        world.close().await;
    }
}
