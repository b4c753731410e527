//! Recordings that flows start: voicemail, sessions, and conversations of `<Dial>`, of simulated
//! phones; and what happens to them (contract of recording, sections 1, 3 and 12).

use conflow::recording::{RecordingStore, writer::WriterSettings};

use super::record::RecordingEngine;
use crate::api::engine::account;

const MESSAGE: &str = r##"<Record action="http://app.example/done" redirect="true" callbackUrl="http://app.example/file" timeout="5" maxLength="20" finishOnKey="#" fileFormat="wav"/><Speak>next</Speak>"##;

const SESSION: &str = r#"<Record recordSession="true" action="http://app.example/begun" callbackUrl="http://app.example/file" fileFormat="wav"/>"#;

/// What both the `action` and the callback have, but for times.
const FIELDS: &str = "signed,Event,CallStatus,Digits,RecordingEndReason";

/// A phone that calls a number whose document has these elements.
async fn called(elements: &str) -> RecordingEngine {
    called_in(RecordingEngine::new(), elements).await
}

async fn called_in(mut world: RecordingEngine, elements: &str) -> RecordingEngine {
    let document = format!("has /answer <Response>{elements}</Response>");
    world.engine.line(&document).await;
    world.engine.line("has /done <Response><Speak>thanks</Speak></Response>").await;
    world.engine.dial("web").await;
    world
}

impl RecordingEngine {
    /// Waits until a path is told of something that has this word; returns all that it was told.
    async fn told_of(&self, path: &str, names: &str, word: &str) -> String {
        let mut all = String::new();
        while !all.contains(word) {
            let more = self.told(path, names).await;
            assert_ne!(more, "nothing", "{all}");
            all += &(more + " | ");
        }
        all
    }

    /// Checks the number of channels, and the length of the one file.
    #[track_caller]
    fn has_file(&self, channels: u16, ms: usize) {
        let files = self.files();
        assert!(files.len() == 1 && files[0].0 == channels, "{files:?}");
        // Simulated phones are some milliseconds late.
        let late = (files[0].1 / 8).abs_diff(ms);
        assert!(late <= 20, "{ms} ms: {files:?}");
    }

    async fn heard(&mut self) -> String {
        let heard = self.engine.line("heard 1").await;
        heard.split_once(" => ").unwrap().1.to_owned()
    }

    /// Reasons of the recordings that have ended.
    fn reasons(&self) -> Vec<&'static str> {
        let rows = self.store.list(&account(), &Default::default(), 0, 20).unwrap().recordings;
        rows.iter().filter_map(|it| it.end.as_ref()).map(|it| it.reason.text()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_begins_after_the_beep_and_ends_by_a_key() {
    let mut world = called(MESSAGE).await;
    world.wait(2_699).await;
    world.engine.line(r##"POST S/Phone/{1}/Press/ {"digits":"5#"}"##).await;
    world.wait(300).await;
    let done = world.told("/done", "*").await;
    for name in ["RecordUrl", "RecordFile", "RecordingID", "RecordingStartMs", "From", "CallUUID"] {
        assert!(done.split(' ').any(|it| it == name), "{name} is missing: {done}");
    }
    let file = world.told("/file", "signed,Event,CallStatus,RecordingEndReason,Digits,From").await;
    assert_eq!(file, "vobiz RecordStop in-progress FinishedOnKey - 14155550100");
    assert_eq!(world.reasons(), ["FinishedOnKey"]);
    // The beep takes 200 ms, and the key is pressed after 100 ms of another one.
    world.has_file(1, 2_600);
    world.wait(100).await;
    let heard = world.heard().await;
    assert!(heard.starts_with("0-200 beep, 200-"), "{heard}");
    assert!(heard.contains("speech \"thanks\""), "the document of the action runs: {heard}");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_field_is_told_in_both_dialects() {
    let world = called(&MESSAGE.replace("timeout=\"5\"", "timeout=\"2\"")).await;
    world.wait(2_500).await;
    let names = "RecordUrl,RecordingID,RecordingDuration,Digits,RecordFile,RecordingEndReason";
    let file = world.told("/file", &format!("{names},RecordingID")).await;
    let mut words: Vec<_> = file.split(' ').collect();
    let id = words.pop().unwrap().to_owned();
    let url = format!("http://conflow.example/api/v1/Account/MA1/Recording/{id}.wav");
    assert_eq!(words.join(" "), format!("{url} {id} 2 - {url} RecordingTimeout"));
    let done = world.told("/done", names).await;
    assert_eq!(done, format!("{url} {id} 2  {url} RecordingTimeout"));
    world.has_file(1, 2_000);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_ends_at_its_length_however_long_one_talks() {
    let mut world = called(MESSAGE).await;
    world.engine.line(r#"POST S/Phone/{1}/Talk/ {"ms":60000}"#).await;
    world.wait(20_300).await;
    assert_eq!(world.told("/done", "RecordingEndReason").await, "maxLength");
    world.has_file(1, 20_000);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_ends_a_message_and_its_action_is_told_once() {
    let mut world = called(MESSAGE).await;
    world.wait(1_199).await;
    world.engine.line("DELETE P/Call/{1}/").await;
    let told = world.told("/done", FIELDS).await;
    assert_eq!(told, "vobiz Redirect completed  HungUp");
    let told = world.told("/file", FIELDS).await;
    assert_eq!(told, "vobiz RecordStop completed - HungUp");
    world.has_file(1, 1_000);
    assert_eq!(world.engine.receiver.received("/done", &["Digits"]), "nothing");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_ends_a_message_without_its_action() {
    let mut world = called(MESSAGE).await;
    world
        .engine
        .line("has /other <Response><Speak>other</Speak><Wait length=\"60\"/></Response>")
        .await;
    world.wait(1_199).await;
    let transfer = r#"POST P/Call/{1}/ {"legs":"aleg","aleg_url":"http://app.example/other"}"#;
    let answer = world.engine.line(transfer).await;
    assert!(answer.contains("=> 202"), "{answer}");
    assert_eq!(world.told("/file", FIELDS).await, "vobiz RecordStop in-progress - Stopped");
    world.wait(1_000).await;
    assert_eq!(world.engine.receiver.received("/done", &["Digits"]), "nothing");
    assert!(world.heard().await.contains("speech \"other\""));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_a_message_and_the_flow_goes_on() {
    let mut world = called(MESSAGE).await;
    world.wait(1_199).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
    let told = world.told("/done", FIELDS).await;
    assert_eq!(told, "vobiz Redirect in-progress  Stopped");
    world.wait(500).await;
    assert!(world.heard().await.contains("thanks"));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_paused_keeps_its_length() {
    let world = called(MESSAGE).await;
    world.wait(1_199).await;
    assert_eq!(world.ask("POST P/Call/{1}/Record/Pause/").await.0, 204);
    world.wait(1_000).await;
    assert_eq!(world.ask("POST P/Call/{1}/Record/Resume/").await.0, 204);
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
    assert_eq!(world.told("/done", "RecordingEndReason").await, "Stopped");
    world.has_file(1, 3_000);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn without_space_a_message_ends_at_once_and_the_flow_goes_on() {
    let world = RecordingEngine::with(|it| WriterSettings { free_min_mb: u64::MAX, ..it });
    let mut world = called_in(world, MESSAGE).await;
    world.wait(300).await;
    let names = "RecordUrl,RecordingID,RecordingDuration,RecordingEndReason,Digits";
    assert_eq!(world.told("/done", names).await, "  0  ");
    world.wait(300).await;
    assert!(world.heard().await.contains("thanks"));
    assert_eq!(world.engine.receiver.received("/file", &["Event"]), "nothing");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_a_message_and_the_flow_goes_on() {
    let world = RecordingEngine::with(|it| WriterSettings { free_stop_mb: u64::MAX, ..it });
    let mut world = called_in(world, MESSAGE).await;
    world.wait(300).await;
    assert_eq!(world.told("/done", "RecordingEndReason").await, "DiskFull");
    world.wait(500).await;
    assert!(world.heard().await.contains("thanks"));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_messages_and_sessions_as_drained() {
    let session = SESSION.replace("/file", "/session");
    let mut world = called(&format!("{session}{MESSAGE}")).await;
    world.wait(1_199).await;
    world.engine.registry().close();
    world.engine.line("DELETE P/Call/{1}/").await;
    for path in ["/done", "/file", "/session"] {
        assert_eq!(world.told(path, "RecordingEndReason").await, "Drained", "{path}");
    }
    assert_eq!(world.reasons(), ["Drained", "Drained"]);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_is_recorded_over_a_kick_a_transfer_and_a_second_room_until_the_hang_up() {
    let elements = format!(
        "{SESSION}<Conference stayAlone=\"true\">team</Conference><Conference stayAlone=\"true\">next</Conference>"
    );
    let mut world = called(&elements).await;
    let names = "RecordingDuration,RecordingDurationMs,RecordingEndMs,Digits,RecordingEndReason";
    assert_eq!(world.told("/begun", names).await, "-1 -1 -1  -");
    world.wait(1_000).await;
    assert_eq!(world.ask("POST V/Conference/team/Member/1/Kick/").await.0, 200);
    world.wait(1_000).await;
    assert_eq!(world.ask("GET V/Conference/next/").await.0, 200, "in the next room");
    world.engine.line("has /other <Response><Wait length=\"60\"/></Response>").await;
    world
        .engine
        .line(r#"POST P/Call/{1}/ {"legs":"aleg","aleg_url":"http://app.example/other"}"#)
        .await;
    world.wait(1_000).await;
    assert_eq!(world.reasons(), [""; 0], "it goes on");
    world.engine.line("DELETE P/Call/{1}/").await;
    assert_eq!(world.told("/file", "Event,RecordingEndReason").await, "RecordStop HungUp");
    world.has_file(1, 3_000);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_at_its_stated_length_and_by_a_request() {
    let session = SESSION.replace("fileFormat", "maxLength=\"2\" fileFormat");
    let world = called(&format!("{session}{SESSION}<Wait length=\"60\"/>")).await;
    world.wait(3_000).await;
    let told = world.told("/file", "RecordingEndReason,CallStatus").await;
    assert_eq!(told, "maxLength in-progress");
    world.has_file(1, 2_000);
    assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
    let told = world.told("/file", "RecordingEndReason,CallStatus").await;
    assert_eq!(told, "Stopped in-progress");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_the_dial_begins_when_the_two_are_connected() {
    let session = SESSION.replace("fileFormat", "startOnDialAnswer=\"true\" fileFormat");
    let dial = "<Dial>sim:bob?ring_ms=3000</Dial><Wait length=\"60\"/>";
    let mut world = called(&format!("{session}{dial}")).await;
    let begun = world.told("/begun", "RecordingID,RecordingStartMs,RecordingDurationMs").await;
    let (id, rest) = begun.split_once(' ').unwrap();
    assert_eq!(rest, "-1 -1");
    world.wait(2_000).await;
    assert_eq!(world.files().len(), 0);
    let page = world.store.list(&account(), &Default::default(), 0, 9).unwrap();
    assert_eq!(page.total, 0, "it has not begun");
    world.wait(2_998).await;
    world.engine.line("DELETE P/Call/{1}/").await;
    let told = world.told("/file", "RecordingID,RecordingEndReason").await;
    assert_eq!(told, format!("{id} HungUp"), "the id that the action was told");
    world.has_file(1, 2_000);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_recorded_until_the_two_are_separated() {
    for dial in [
        r#"<Dial record="true" recordFileFormat="wav" callbackUrl="http://app.example/file">"#,
        r#"<Dial><Record fileFormat="wav" callbackUrl="http://app.example/file"/>"#,
    ] {
        let number = "<Number>sim:bob?ring_ms=1000</Number></Dial><Wait length=\"60\"/>";
        let mut world = called(&format!("{dial}{number}")).await;
        world.wait(2_000).await;
        let bob = world.engine.registry().calls();
        let bob = bob.into_iter().find(|it| *it != world.engine.calls[0]).unwrap();
        world.engine.calls.push(bob);
        world.engine.line("DELETE P/Call/{2}/").await;
        world.wait(1).await;
        let names = "Event,RecordingEndReason,CallStatus";
        let told = world.told_of("/file", names, "RecordStop").await;
        assert!(told.contains("RecordStop Stopped in-progress"), "{told}");
        world.has_file(1, 1_000);
        assert!(world.engine.registry().is_up(world.engine.calls[0]), "the caller goes on");
        world.close().await;
    }
}
