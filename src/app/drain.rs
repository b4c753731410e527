//! Drain, the planned shutdown: calls may end by themselves, then are asked to leave, then are hung
//! up.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    engine::{inbound::Inbound, registry::Registry},
    flow::Cause,
};

/// Maximum time for the conferences to let all members out: far more than a large one needs.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Maximum duration of the goodbyes, which begin then.
const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(5);
/// A call that is hung up waits for nothing. Once none has ended for this time, none will.
const HANG_UP_WAIT_MAX: Duration = Duration::from_secs(1);
/// The files of recordings are closed, which takes a disk some time, and their ends told.
const RECORDINGS_WAIT_MAX: Duration = Duration::from_secs(3);
/// Delay that nobody notices at a shutdown.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Refuses new calls, and returns when none are left. Calls may continue undisturbed for
/// `drain_time`.
pub(super) async fn drain(registry: &Registry, inbound: &Inbound, drain_time: Duration) {
    inbound.close();
    if !drain_time.is_zero() && 0 < registry.call_count() {
        let (calls, seconds) = (registry.call_count(), drain_time.as_secs());
        tracing::info!("{calls} calls have {seconds} seconds to end by themselves");
        wait(drain_time, || registry.call_count() == 0).await;
    }

    // From here on, no call enters a room.
    if 0 < registry.call_count() {
        tracing::info!("{} calls are asked to leave", registry.call_count());
    }
    registry.close();
    wait(LEAVE_WAIT_MAX, || registry.room_count() == 0).await;
    wait(GOODBYE_WAIT_MAX, || registry.call_count() == 0).await;

    let calls = registry.calls();
    if !calls.is_empty() {
        tracing::info!("{} calls are hung up", calls.len());
        calls.into_iter().for_each(|call| registry.hang_up(call, Cause::Drained));
        while 0 < registry.call_count() {
            let before = registry.call_count();
            wait(HANG_UP_WAIT_MAX, || registry.call_count() == 0).await;
            if before <= registry.call_count() {
                break;
            }
        }
    }
    wait(RECORDINGS_WAIT_MAX, || registry.recordings().is_none_or(|it| it.is_idle())).await;
    match registry.call_count() {
        0 => tracing::info!("all calls have ended"),
        calls => tracing::error!("{calls} calls do not end: they are cut off"),
    }
}

/// Waits until it is done, or the time is over.
async fn wait(time_max: Duration, is_done: impl Fn() -> bool) {
    let end = Instant::now() + time_max;
    while !is_done() && Instant::now() < end {
        sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, net::Ipv4Addr, sync::Arc};

    use axum::{
        body::{Body, to_bytes},
        http::{Request, header::CONTENT_TYPE},
    };
    use serde_json::Value;
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::{
        app::{
            Engine, accounts, flows_folder,
            kept_sockets::KeptSockets,
            provisioner::Provisioner,
            rows::ConfigRows,
            store::{Stores, rows},
        },
        cli::serve::ServeArgs,
        config::{Config, DEVELOPMENT_ACCOUNT},
        holder::HeldSockets,
        log,
        store::folder::DataFolder,
    };

    /// Speech lasts 60 ms for each character.
    const FLOWS: &[(&str, &str)] = &[
        ("short", "<Speak>1234567890</Speak>"),
        ("room", "<Conference>weekly</Conference><Speak>Goodbye</Speak>"),
        (
            "rooms",
            "<Conference>weekly</Conference><Conference>other</Conference><Speak>Bye</Speak>",
        ),
        ("long", "<Conference>weekly</Conference><Wait length=\"60\"/>"),
    ];

    /// An engine with these flows.
    struct DrainWorld {
        engine: Engine,
        _temp: TempDir,
    }

    impl DrainWorld {
        fn new() -> Self {
            let temp = tempdir().unwrap();
            for (name, flow) in FLOWS {
                let text = format!("<Response>{flow}</Response>");
                fs::write(temp.path().join(format!("{name}.xml")), text).unwrap();
            }
            let token = Some("secret".to_owned());
            let mut config = Config::load(ServeArgs::default(), token, temp.path()).unwrap();
            config.flows = temp.path().to_owned();
            config.sip.bind.0.clear();
            config.data = temp.path().join("data");
            let folder = DataFolder::hold(&config.data).unwrap();
            let rows = rows(&folder).unwrap();
            let documents = Arc::new(flows_folder(&config));
            let (_, accounts, key) = accounts::open(&config.data, rows.clone(), &config).unwrap();
            let parts = (&config, config.http.0);
            let (stores, remains) = Stores::open(&folder, &rows, parts, &key).unwrap();
            let rows = Arc::new(ConfigRows::new(rows, key));
            let provisioner = Provisioner::new(rows, accounts.clone(), &config).0;
            let sockets = Arc::new(KeptSockets::new(HeldSockets::default()));
            let shared = (documents, accounts, provisioner, sockets);
            let (mut engine, _) =
                Engine::build(&config, config.http.0, stores, shared, log::LogSender::disabled())
                    .unwrap();
            drop(engine.recovery.recover(&engine.api, remains, true));
            Self { engine, _temp: temp }
        }

        /// Sends a request; returns the status, and the body if it is JSON.
        async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
            let request = Request::builder()
                .method(method)
                .uri(path.replace("~", &format!("/sim/v1/Account/{DEVELOPMENT_ACCOUNT}/Phone")))
                .header("X-Auth-ID", DEVELOPMENT_ACCOUNT)
                .header("X-Auth-Token", "secret")
                .header(CONTENT_TYPE, "application/json");
            let request = request.body(Body::from(body.to_owned())).unwrap();
            let response = self.engine.api.answer(Ipv4Addr::LOCALHOST.into(), request).await;
            let status = response.status().as_u16();
            let bytes = to_bytes(response.into_body(), 1_000_000).await.unwrap();
            (status, serde_json::from_slice(&bytes).unwrap_or_default())
        }

        async fn dial(&self, to: &str) -> String {
            let (status, body) = self.ask("POST", "~/", &format!("{{\"to\":\"{to}\"}}")).await;
            assert_eq!(status, 201, "{body}");
            body["call_uuid"].as_str().unwrap().to_owned()
        }

        /// The hang-up cause of a phone's call, and the last words that it heard.
        async fn end_of(&self, phone: &str) -> (String, String) {
            let (_, body) = self.ask("GET", &format!("~/{phone}/"), "").await;
            let cause = format!("{} {}", body["hangup_cause_name"], body["hangup_source"]);
            let heard = body["timeline"].as_array().unwrap().iter();
            let mut texts = heard.filter_map(|it| it["text"].as_str());
            (cause.replace('"', ""), texts.next_back().unwrap_or_default().to_owned())
        }

        /// Drains the engine; returns the duration in milliseconds.
        async fn drain(&self, patience: Duration) -> u128 {
            let begin = Instant::now();
            drain(&self.engine.registry, &self.engine.inbound, patience).await;
            assert_eq!(self.engine.registry.call_count(), 0);
            begin.elapsed().as_millis()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_end_takes_no_time() {
        assert_eq!(DrainWorld::new().drain(Duration::from_secs(60)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_end_by_themselves_while_there_is_patience() {
        let world = DrainWorld::new();
        let phone = world.dial("short").await;
        let millis = world.drain(Duration::from_secs(60)).await;
        assert!((600..700).contains(&millis), "{millis}");
        let end = ("End Of XML Instructions Vobiz".to_owned(), "1234567890".to_owned());
        assert_eq!(world.end_of(&phone).await, end);
    }

    #[tokio::test(start_paused = true)]
    async fn members_are_let_out_and_hear_their_goodbyes_but_get_into_no_other_room() {
        let world = DrainWorld::new();
        let (one, two) = (world.dial("room").await, world.dial("rooms").await);
        let millis = world.drain(Duration::from_secs(3)).await;
        assert!((3_420..3_500).contains(&millis), "{millis}");
        for (phone, words) in [(one, "Goodbye"), (two, "Bye")] {
            let end = ("End Of XML Instructions Vobiz".to_owned(), words.to_owned());
            assert_eq!(world.end_of(&phone).await, end);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_too_long_is_hung_up() {
        let world = DrainWorld::new();
        let phone = world.dial("long").await;
        let millis = world.drain(Duration::ZERO).await;
        assert!((5_000..5_200).contains(&millis), "{millis}");
        assert_eq!(world.end_of(&phone).await.0, "Normal Hangup Vobiz");
    }

    #[tokio::test(start_paused = true)]
    async fn no_new_call_is_taken_and_the_engine_says_that_it_is_not_ready() {
        let world = DrainWorld::new();
        world.dial("long").await;
        assert_eq!(world.ask("GET", "/readyz", "").await.0, 200);
        let asking = async {
            sleep(Duration::from_millis(10)).await;
            assert_eq!(world.ask("GET", "/readyz", "").await.0, 503);
            assert_eq!(world.ask("GET", "/healthz", "").await.0, 200);
            let (status, body) = world.ask("POST", "~/", "{\"to\":\"room\"}").await;
            assert!(body["error"].as_str().unwrap().contains("shutting down"), "{status} {body}");
        };
        tokio::join!(world.drain(Duration::from_secs(1)), asking);
    }
}
