//! The stream of events: from where it was left, with what it is asked for, until the end.

use axum::body::Body;
use conflow::api::STREAMS_MAX;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::api::engine::{Office, Plan, account};

/// A stream that is read.
struct Stream {
    body: Body,
    id_last: String,
}

impl Stream {
    async fn open(office: &Office, line: &str) -> Self {
        let response = office.send(office.request(&format!("GET {line}"))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), id_last: String::new() }
    }

    /// The events of the next pieces, until there is nothing for a while; `end` if it has ended.
    async fn read(&mut self, fields: &[&str]) -> String {
        let mut lines = Vec::new();
        let wait = std::time::Duration::from_secs(1);
        while let Ok(frame) = tokio::time::timeout(wait, self.body.frame()).await {
            let Some(frame) = frame else {
                lines.push("end".to_owned());
                break;
            };
            let bytes = frame.unwrap().into_data().unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            for event in text.split("\n\n").filter(|it| !it.is_empty() && !it.starts_with(':')) {
                lines.push(self.show(event, fields));
            }
        }
        lines.join(" | ")
    }

    fn show(&mut self, event: &str, fields: &[&str]) -> String {
        let part = |name: &str| event.lines().find_map(|it| it.strip_prefix(name));
        if let Some(id) = part("id: ") {
            self.id_last = id.to_owned();
        }
        let data: Value = serde_json::from_str(part("data: ").unwrap()).unwrap();
        let value = |name: &&str| {
            let value = &data[*name];
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let values: Vec<_> = fields.iter().map(value).collect();
        format!("{} {}", part("event: ").unwrap(), values.join(" ")).trim_end().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_sees_all_from_where_it_comes_in_and_misses_nothing_when_it_returns() {
    let mut office = Office::new(Plan::default());
    office.dial("daily").await;
    let mut all = Stream::open(&office, "P/Events/").await;
    let mut weekly = Stream::open(&office, "V/Events/?conference=weekly").await;
    office.dial("weekly").await;
    let fields = ["ConferenceName", "ConferenceSequence", "ConferenceMemberID"];
    assert_eq!(
        all.read(&fields).await,
        "CallStart null null null | Answer null null null | ConferenceEnter weekly 1 2 \
         | ConferenceStart weekly 2 null | ConferenceFloor weekly 3 2"
    );
    let expected =
        "ConferenceEnter weekly 1 2 | ConferenceStart weekly 2 null | ConferenceFloor weekly 3 2";
    assert_eq!(weekly.read(&fields).await, expected);

    let (id, call) = (weekly.id_last.clone(), office.request("GET P/Call/{2}/").uri().to_string());
    drop(weekly);
    office.line("POST P/Conference/weekly/Member/2/Kick/").await;
    office.line("wait 5000").await;
    let again = format!("P/Events/?conference=weekly [Last-Event-ID: {id}]");
    let mut weekly = Stream::open(&office, &again).await;
    assert_eq!(
        weekly.read(&["ConferenceExitCause", "From", "ConferenceSequence"]).await,
        "ConferenceExit kicked 14155550100 4 | ConferenceEnd null null 5"
    );
    let call = call.rsplit('/').nth(1).unwrap();
    let mut of_call =
        Stream::open(&office, &format!("P/Events/?call={call} [Last-Event-ID: {id}]")).await;
    assert_eq!(
        of_call.read(&["CallSequence", "HangupCauseCode"]).await,
        "ConferenceExit 5 null | Hangup 6 4010"
    );

    office.api.close();
    assert!(all.read(&[]).await.ends_with("end"));
    assert_eq!(weekly.read(&[]).await, "end");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_events_is_woken_by_the_next() {
    let mut office = Office::new(Plan::default());
    let mut more = office.journal.more(&account());
    assert!(!more.has_changed().unwrap());
    office.dial("weekly").await;
    assert!(more.has_changed().unwrap());
    more.mark_unchanged();
    office.dial("weekly").await;
    assert!(more.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_account_has_so_many_streams_open_and_one_more_when_one_is_closed() {
    let office = Office::new(Plan::default());
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        open.push(Stream::open(&office, "V/Events/").await);
    }
    // A stream that is open has no end to wait for.
    let refused = async |office: &Office| {
        let response = office.send(office.request("GET P/Events/")).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let why = format!("the account has {STREAMS_MAX} event streams open: close one");
        assert!(String::from_utf8_lossy(&body).contains(&why), "{body:?}");
    };
    refused(&office).await;
    let other = "/v1/Account/MA2/Events/ [X-Auth-ID: MA2] [X-Auth-Token: two]";
    drop(Stream::open(&office, other).await);
    refused(&office).await;
    drop(open.pop());
    open.push(Stream::open(&office, "P/Events/").await);
    refused(&office).await;
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_said_and_nonsense_is_refused() {
    let office = Office::new(Plan::default());
    let mut lost = Stream::open(&office, "P/Events/ [Last-Event-ID: 1-99]").await;
    assert_eq!(lost.read(&["missed"]).await, "gap null");
    let mut office = office;
    let line = office.line("GET P/Events/ [Last-Event-ID: x]").await;
    assert!(line.contains("400") && line.contains("Last-Event-ID: not the id"), "{line}");
    let line = office.line("GET P/Events/?room=x").await;
    assert!(line.ends_with(r#"{"api_id":"*","error":"room: there are conference and call"}"#));
    let line = office.line("GET /v1/Account/MA2/Events/").await;
    assert!(line.contains("404"), "{line}");
    assert!(office.journal.live_calls(&account()).is_empty());
    office.close().await;
}
