//! `/metrics`: figures for Prometheus, for holders of the ops token.
//!
//! The text is written by our own [`MetricsText`], whose file says why it is not a crate's.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::Response,
};
use serde::Serialize;
use uuid::Uuid;

use super::{AppState, auth, context::RequestContext, failure::Failure, reply, traffic::Traffic};
use crate::{
    base::histogram::{MetricKind, MetricsText},
    call::CallDirection,
    descriptors::KernelDrops,
    engine::{counters::CallCounters, recording_figures::RecordingFigures},
    fetch::ResultCounters,
    flow::Cause,
    rtp_engine::{self, PacketDrop},
    sip::{SipBackend, note::MessageDrop, upkeep::TrunkStatus},
    state_log::{LogState, LogStatus, StateLog},
    store::rows::{RowStore, StoreHealth, WriteError},
    webhooks::{delivery::DropReason, dispatcher},
};

/// The sources of `/metrics`, and who may read it.
pub struct Ops {
    /// The token for `Authorization: Bearer`. None: the path does not exist, or is for accounts only.
    pub token: Option<String>,
    /// Without a token, an account's credentials are accepted: for development on loopback.
    pub is_open_to_accounts: bool,
    /// Counts of calls, conferences and members.
    pub counters: Arc<CallCounters>,
    /// Counts of outgoing requests by result.
    pub results: Arc<ResultCounters>,
    /// SIP and RTP gauges; None without real phones.
    pub phones: Option<(Arc<SipBackend>, Arc<rtp_engine::RtpGauges>)>,
    /// What the kernel has dropped for the sockets of both.
    pub kernel_drops: KernelDrops,
    /// The store, whose writes may fail.
    pub rows: Arc<dyn RowStore>,
    /// The log of events, whose writes may fail. None if nothing outlives the process.
    pub state_log: Option<Arc<StateLog>>,
    /// The start time of the process.
    pub began_at: SystemTime,
}

impl Ops {
    /// Whether anybody may read the figures.
    pub(super) fn is_on(&self) -> bool {
        self.token.is_some() || self.is_open_to_accounts
    }

    /// The reason why nothing new may begin, if the log of events cannot be written.
    pub(super) fn trouble_of_log(&self) -> Option<WriteError> {
        self.state_log.as_ref()?.trouble()
    }

    pub(super) fn answer(
        &self,
        state: &AppState,
        traffic: &Traffic,
        context: &RequestContext,
    ) -> Result<Response, Failure> {
        let admitted = match &self.token {
            Some(token) if is_bearer(&context.headers, token) => {
                context.principal.note_known();
                Ok(())
            }
            Some(_) if has_credentials(&context.headers) => {
                Err(auth::guessed(state, context, None, Failure::WrongCredentials))
            }
            Some(_) => Err(Failure::NoCredentials),
            None => auth::admit_anyone(state, context),
        };
        match admitted {
            Ok(()) => (),
            Err(failure @ Failure::TooManyGuesses { .. }) => return Err(failure),
            Err(_) => return Ok(self.refuse(context.api_id)),
        }
        let mut response = Response::new(Body::from(self.page(state, traffic)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MetricsText::TYPE));
        Ok(response)
    }

    fn refuse(&self, api_id: Uuid) -> Response {
        #[derive(Serialize)]
        struct OpsErrorBody {
            api_id: Uuid,
            error: &'static str,
        }

        let (error, challenge) = match self.token {
            Some(_) => ("send the ops token: Authorization: Bearer", "Bearer realm=\"conflow\""),
            None => ("send an account's id and token", "Basic realm=\"conflow\""),
        };
        let mut response = reply::json(StatusCode::UNAUTHORIZED, &OpsErrorBody { api_id, error });
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }

    fn page(&self, state: &AppState, traffic: &Traffic) -> String {
        let mut page = MetricsText::default();
        let since = self.began_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.family("conflow_build_info", MetricKind::Gauge, "The program.").sample(&version, 1);
        page.family(
            "conflow_start_time_seconds",
            MetricKind::Gauge,
            "When it began, in Unix time.",
        )
        .sample(&[], since.as_secs());
        self.engine_metrics(&mut page);
        page.family("conflow_event_streams", MetricKind::Gauge, "Event streams that are open.")
            .sample(&[], state.streams.count());
        recordings(&mut page, state);
        page.family(
            "conflow_http_request_duration_seconds",
            MetricKind::Histogram,
            "Requests answered, and how long it took until the head of the answer.",
        );
        traffic.write(&mut page);
        let help = "Requests made for documents and sounds, and tries of callbacks, by result.";
        page.family("conflow_outgoing_requests_total", MetricKind::Counter, help);
        self.results.each(|what, result, count| {
            page.sample(&[("for", what), ("result", result)], count);
        });
        callbacks(&mut page, state.callbacks.counters());
        let log = self.state_log.as_ref().map(|it| it.status());
        store(&mut page, &self.rows.health(), log.as_ref());
        if let Some(log) = &log {
            state_log(&mut page, log);
        }
        if let Some(recordings) = state.registry.recordings() {
            recorded(&mut page, recordings.figures());
        }
        if let Some((sip, gauges)) = &self.phones {
            phones(&mut page, sip, gauges);
            let sip: Vec<_> = sip.addresses().iter().map(SocketAddr::port).collect();
            let help = "Datagrams that the kernel dropped, since a socket's buffer was full.";
            let [sip, media] = self.kernel_drops.look(&sip);
            page.family("conflow_udp_kernel_dropped_total", MetricKind::Counter, help)
                .sample(&[("socket", "sip")], sip)
                .sample(&[("socket", "media")], media);
        }
        page.into_text()
    }

    fn engine_metrics(&self, page: &mut MetricsText) {
        let counters = &self.counters;
        page.family("conflow_calls", MetricKind::Gauge, "Calls that are up.")
            .sample(&[], counters.calls_now());
        page.family("conflow_calls_total", MetricKind::Counter, "Calls that have begun.")
            .sample(&[("direction", "inbound")], counters.calls(CallDirection::Inbound))
            .sample(&[("direction", "outbound")], counters.calls(CallDirection::Outbound));
        let help = "Calls of the last process, by what became of them at the start.";
        page.family("conflow_recovered_calls_total", MetricKind::Counter, help);
        for (result, calls) in counters.recovered_calls() {
            page.sample(&[("result", result)], calls);
        }
        let help = "Time that the start took to restore calls.";
        page.family("conflow_recovery_seconds", MetricKind::Gauge, help)
            .sample(&[], counters.recovery().as_secs_f64());
        page.family("conflow_conferences", MetricKind::Gauge, "Conferences that are on.")
            .sample(&[], counters.conferences_now());
        page.family(
            "conflow_conferences_total",
            MetricKind::Counter,
            "Conferences that have started.",
        )
        .sample(&[], counters.conferences());
        page.family("conflow_members", MetricKind::Gauge, "Members of conferences.")
            .sample(&[], counters.members_now());
        page.family("conflow_members_total", MetricKind::Counter, "Members that have come in.")
            .sample(&[], counters.entered());
        page.family(
            "conflow_exits_total",
            MetricKind::Counter,
            "Members that have left, by cause.",
        );
        for cause in Cause::ALL {
            page.sample(&[("cause", cause.text())], counters.exited(*cause));
        }
        let help = "Calls that were not let into a conference, by cause.";
        page.family("conflow_refusals_total", MetricKind::Counter, help);
        for cause in Cause::ALL {
            page.sample(&[("cause", cause.text())], counters.refused(*cause));
        }
    }
}

/// The token is a secret.
impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

fn recordings(page: &mut MetricsText, state: &AppState) {
    let (count, bytes) = state.recordings.measured();
    let help = "Recordings that are kept or run, looked at every minute.";
    page.family("conflow_recordings", MetricKind::Gauge, help).sample(&[], count);
    let help = "Size of the files of recordings, looked at every minute.";
    page.family("conflow_recordings_bytes", MetricKind::Gauge, help).sample(&[], bytes);
    let help = "Downloads of recordings that are under way.";
    page.family("conflow_recording_downloads", MetricKind::Gauge, help)
        .sample(&[], state.downloads.count());
}

fn callbacks(page: &mut MetricsText, counters: &dispatcher::WebhookCounters) {
    page.family(
        "conflow_callbacks_queued",
        MetricKind::Gauge,
        "Callbacks that wait, or are under way.",
    )
    .sample(&[], counters.queued.load(Relaxed));
    let help = "Callbacks of earlier processes that wait on disk until there is room.";
    page.family("conflow_callbacks_unread", MetricKind::Gauge, help)
        .sample(&[], counters.unread.load(Relaxed));
    page.family("conflow_callbacks_flying", MetricKind::Gauge, "Callbacks that are under way.")
        .sample(&[], counters.in_flight.load(Relaxed));
    let help = "How long the oldest callback has waited, looked at every five seconds.";
    page.family("conflow_callbacks_oldest_seconds", MetricKind::Gauge, help)
        .sample(&[], seconds(counters.oldest_millis.load(Relaxed)));
    page.family(
        "conflow_callbacks_delivered_total",
        MetricKind::Counter,
        "Callbacks that have arrived.",
    )
    .sample(&[], counters.delivered.load(Relaxed));
    let help = "From the notices to the arrivals of all callbacks that have arrived.";
    page.family("conflow_callbacks_lag_seconds_total", MetricKind::Counter, help)
        .sample(&[], seconds(counters.lag_millis.load(Relaxed)));
    page.family("conflow_callbacks_failed_total", MetricKind::Counter, "Tries that have failed.")
        .sample(&[], counters.failed.load(Relaxed));
    page.family(
        "conflow_callbacks_dropped_total",
        MetricKind::Counter,
        "Callbacks that were given up.",
    );
    for (label, why) in [
        ("closed", DropReason::Closed),
        ("exhausted", DropReason::Exhausted),
        ("full", DropReason::Full),
        ("refused", DropReason::Refused),
    ] {
        page.sample(&[("why", label)], counters.dropped(why).load(Relaxed));
    }
}

fn store(page: &mut MetricsText, health: &StoreHealth, log: Option<&LogStatus>) {
    let StoreHealth { error, failures, waiting_rows, dropped_rows } = health;
    let help = "Whether the last write of the store succeeded.";
    page.family("conflow_store_up", MetricKind::Gauge, help).sample(&[], u8::from(error.is_none()));
    let help = "Writes that failed, or were refused because the last one had failed.";
    page.family("conflow_store_write_failures_total", MetricKind::Counter, help)
        .sample(&[("store", "db")], *failures);
    if let Some(log) = log {
        page.sample(&[("store", "log")], log.failures);
    }
    let help = "Rows that nobody waits for and that are not written yet.";
    page.family("conflow_store_waiting_rows", MetricKind::Gauge, help).sample(&[], *waiting_rows);
    let help = "Such rows that were dropped, because too many waited.";
    page.family("conflow_store_dropped_rows_total", MetricKind::Counter, help)
        .sample(&[], *dropped_rows);
}

fn state_log(page: &mut MetricsText, log: &LogStatus) {
    let LogStatus { state, bytes, held, dropped, sync_lag, free_bytes, .. } = log;
    let help =
        "1 for the state of the state log: ok; low, without space for the next segment; failed.";
    page.family("conflow_store_state", MetricKind::Gauge, help)
        .sample(&[("state", "ok")], u8::from(*state == LogState::Ok))
        .sample(&[("state", "low")], u8::from(matches!(state, LogState::Low(_))))
        .sample(&[("state", "failed")], u8::from(matches!(state, LogState::Failed(_))));
    if let Some(free_bytes) = free_bytes {
        let help = "Free space of the file system of the data folder.";
        page.family("conflow_store_free_bytes", MetricKind::Gauge, help).sample(&[], *free_bytes);
    }
    page.family("conflow_log_bytes", MetricKind::Gauge, "Size of the state log.")
        .sample(&[], *bytes);
    let help = "Events that wait until the state log can be written.";
    page.family("conflow_store_unwritten_events", MetricKind::Gauge, help).sample(&[], *held);
    let help = "Such events that were dropped, because too many waited.";
    page.family("conflow_store_dropped_events_total", MetricKind::Counter, help)
        .sample(&[], *dropped);
    let help = "Age of the oldest write of the state log that a loss of power would take.";
    page.family("conflow_store_sync_lag_seconds", MetricKind::Gauge, help)
        .sample(&[], sync_lag.as_secs_f64());
}

fn recorded(page: &mut MetricsText, figures: RecordingFigures) {
    let RecordingFigures { running, bytes, lost_samples, disk_full, free_bytes } = figures;
    let help = "Recordings whose files are open.";
    page.family("conflow_recordings_running", MetricKind::Gauge, help).sample(&[], running);
    page.family(
        "conflow_recorded_bytes_total",
        MetricKind::Counter,
        "Bytes of complete recordings.",
    )
    .sample(&[], bytes);
    let help = "Samples of complete recordings that are silence, since the disk was too slow.";
    page.family("conflow_recordings_lost_samples_total", MetricKind::Counter, help)
        .sample(&[], lost_samples);
    let help = "Recordings that ended because the disk took no more.";
    page.family("conflow_recordings_disk_full_total", MetricKind::Counter, help)
        .sample(&[], disk_full);
    let help = "Free space of the file system of the recordings.";
    page.family("conflow_recordings_free_bytes", MetricKind::Gauge, help).sample(&[], free_bytes);
}

fn trunks(page: &mut MetricsText, trunks: &[TrunkStatus]) {
    if trunks.is_empty() {
        return;
    }
    let help = "Whether conflow is registered at the trunk: 1 or 0.";
    page.family("conflow_trunk_registered", MetricKind::Gauge, help);
    for TrunkStatus { trunk, is_registered, .. } in trunks {
        if let Some(is_registered) = is_registered {
            page.sample(&[("trunk", trunk)], u8::from(*is_registered));
        }
    }
    let help = "Whether an address of the trunk's target answers OPTIONS: 1 or 0.";
    page.family("conflow_trunk_target_up", MetricKind::Gauge, help);
    for TrunkStatus { trunk, targets, .. } in trunks {
        for (target, is_up) in targets {
            page.sample(&[("trunk", trunk), ("target", target)], u8::from(*is_up));
        }
    }
}

fn phones(page: &mut MetricsText, sip: &SipBackend, media: &rtp_engine::RtpGauges) {
    let signalling = sip.gauges();
    page.family("conflow_sip_calls", MetricKind::Gauge, "Calls that SIP knows.")
        .sample(&[], signalling.calls);
    page.family("conflow_sip_transactions", MetricKind::Gauge, "SIP transactions that are open.")
        .sample(&[], signalling.transactions);
    page.family("conflow_sip_registered", MetricKind::Gauge, "Phones that are registered.")
        .sample(&[], signalling.registered);
    page.family("conflow_sip_streams", MetricKind::Gauge, "Connections of SIP, TCP and TLS.")
        .sample(&[], sip.streams());
    page.family(
        "conflow_sip_dropped_total",
        MetricKind::Counter,
        "SIP messages and connections that were dropped without an answer.",
    );
    for why in MessageDrop::ALL {
        page.sample(&[("why", why.name())], sip.losses().dropped(why));
    }
    page.family("conflow_sip_unsent_total", MetricKind::Counter, "SIP messages not sent.")
        .sample(&[], sip.losses().unsent.load(Relaxed));
    let help = "Encrypted calls whose keys were exchanged without TLS.";
    page.family("conflow_sip_clear_keys_total", MetricKind::Counter, help)
        .sample(&[], sip.losses().clear_keys.load(Relaxed));
    trunks(page, &sip.trunks());
    page.family("conflow_media_legs", MetricKind::Gauge, "Calls whose sound is open.")
        .sample(&[], media.legs.load(Relaxed));
    page.family("conflow_media_sockets", MetricKind::Gauge, "Sockets that are bound for sound.")
        .sample(&[], media.sockets.load(Relaxed));
    page.family("conflow_media_rooms", MetricKind::Gauge, "Rooms that are mixed.")
        .sample(&[], media.rooms.load(Relaxed));
    page.family(
        "conflow_media_packets_total",
        MetricKind::Counter,
        "Packets, by what became of them.",
    )
    .sample(&[("what", "sent")], media.sent.load(Relaxed))
    .sample(&[("what", "unsent")], media.unsent.load(Relaxed))
    .sample(&[("what", "received")], media.received.load(Relaxed))
    .sample(
        &[("what", "dropped")],
        PacketDrop::ALL.map(|it| media.dropped(it)).iter().sum::<u64>(),
    );
    page.family(
        "conflow_media_dropped_total",
        MetricKind::Counter,
        "Datagrams for calls that were dropped.",
    );
    for why in PacketDrop::ALL {
        page.sample(&[("why", why.name())], media.dropped(why));
    }
    page.family(
        "conflow_media_tick_late_seconds",
        MetricKind::Gauge,
        "How late ticks begin, of all.",
    );
    for (label, share) in [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999)] {
        // `quantile` is for summaries, which have sums and counts.
        page.sample(&[("share", label)], media.late.quantile(share).as_secs_f64());
    }
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("x-auth-token")
}

/// Takes constant time: [`blake3::Hash`] is compared so.
fn is_bearer(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (scheme, sent) = sent.split_once(' ').unwrap_or_default();
    let is_same = blake3::hash(sent.trim().as_bytes()) == blake3::hash(token.as_bytes());
    scheme.eq_ignore_ascii_case("bearer") && is_same
}
