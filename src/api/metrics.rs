//! `/metrics`: figures for Prometheus, for whoever has the ops token.

use std::{
    fmt,
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

use super::{Desk, Visit, auth, failure::Failure, reply, traffic::Traffic};
use crate::{
    base::histogram::{Kind, Page},
    call::Direction,
    engine::counters::Tally,
    fetch::Results,
    flow::Cause,
    rtp_engine,
    sip::Sip,
    webhooks::{delivery::Why, dispatcher},
};

/// What `/metrics` tells, and whom.
pub struct Ops {
    /// Shown as `Authorization: Bearer`. None, and the path names nothing, or only for accounts.
    pub token: Option<String>,
    /// Without a token, whoever has an account's credentials sees it: in development, on loopback.
    pub is_open_to_accounts: bool,
    /// What has happened in the house.
    pub tally: Arc<Tally>,
    /// What has become of requests that went out.
    pub results: Arc<Results>,
    /// Real phones, if there are any.
    pub phones: Option<(Arc<Sip>, Arc<rtp_engine::Gauges>)>,
    /// When the process began.
    pub began_at: SystemTime,
}

impl Ops {
    pub(super) fn answer(
        &self,
        desk: &Desk,
        traffic: &Traffic,
        visit: &Visit<'_>,
    ) -> Result<Response, Failure> {
        if self.token.is_none() && !self.is_open_to_accounts {
            return Err(Failure::NoRoute);
        }
        reply::get(visit.method)?;
        if let Some(failures) = &desk.failures {
            let check = failures.check(visit.now, visit.peer);
            check.map_err(|wait| Failure::TooManyGuesses { wait })?;
        }
        let is_let_in = match &self.token {
            Some(token) => is_bearer(visit.headers, token),
            None => auth::is_known(desk, visit.headers),
        };
        if !is_let_in {
            if let (Some(failures), true) = (&desk.failures, has_credentials(visit.headers)) {
                failures.failed(visit.now, visit.peer);
            }
            return Ok(self.refuse(visit.api_id));
        }
        let mut response = Response::new(Body::from(self.page(desk, traffic)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Page::TYPE));
        Ok(response)
    }

    fn refuse(&self, api_id: Uuid) -> Response {
        #[derive(Serialize)]
        struct Wrong {
            api_id: Uuid,
            error: &'static str,
        }

        let (error, challenge) = match self.token {
            Some(_) => ("send the ops token: Authorization: Bearer", "Bearer realm=\"conflow\""),
            None => ("send an account's id and token", "Basic realm=\"conflow\""),
        };
        let mut response = reply::json(StatusCode::UNAUTHORIZED, &Wrong { api_id, error });
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }

    fn page(&self, desk: &Desk, traffic: &Traffic) -> String {
        let mut page = Page::default();
        let since = self.began_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.family("conflow_build_info", Kind::Gauge, "The program.").figure(&version, 1);
        page.family("conflow_start_time_seconds", Kind::Gauge, "When it began, in Unix time.")
            .figure(&[], since.as_secs());
        self.house(&mut page);
        page.family("conflow_event_streams", Kind::Gauge, "Event streams that are open.")
            .figure(&[], desk.streams.count());
        page.family(
            "conflow_http_request_duration_seconds",
            Kind::Histogram,
            "Requests answered, and how long it took until the head of the answer.",
        );
        traffic.write(&mut page);
        let help = "Requests made for documents and sounds, and tries of callbacks, by result.";
        page.family("conflow_outgoing_requests_total", Kind::Counter, help);
        self.results.each(|what, result, count| {
            page.figure(&[("for", what), ("result", result)], count);
        });
        callbacks(&mut page, desk.callbacks.counters());
        if let Some((sip, gauges)) = &self.phones {
            phones(&mut page, sip, gauges);
        }
        page.into_text()
    }

    fn house(&self, page: &mut Page) {
        let tally = &self.tally;
        page.family("conflow_calls", Kind::Gauge, "Calls that are up.")
            .figure(&[], tally.calls_now());
        page.family("conflow_calls_total", Kind::Counter, "Calls that have begun.")
            .figure(&[("direction", "inbound")], tally.calls(Direction::Inbound))
            .figure(&[("direction", "outbound")], tally.calls(Direction::Outbound));
        page.family("conflow_conferences", Kind::Gauge, "Conferences that are on.")
            .figure(&[], tally.conferences_now());
        page.family("conflow_conferences_total", Kind::Counter, "Conferences that have started.")
            .figure(&[], tally.conferences());
        page.family("conflow_members", Kind::Gauge, "Members of conferences.")
            .figure(&[], tally.members_now());
        page.family("conflow_members_total", Kind::Counter, "Members that have come in.")
            .figure(&[], tally.entered());
        page.family("conflow_exits_total", Kind::Counter, "Members that have left, by cause.");
        for cause in Cause::ALL {
            page.figure(&[("cause", cause.text())], tally.exited(*cause));
        }
        let help = "Calls that were not let into a conference, by cause.";
        page.family("conflow_refusals_total", Kind::Counter, help);
        for cause in Cause::ALL {
            page.figure(&[("cause", cause.text())], tally.refused(*cause));
        }
    }
}

/// The token is a secret.
impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

fn callbacks(page: &mut Page, counters: &dispatcher::Counters) {
    page.family("conflow_callbacks_queued", Kind::Gauge, "Callbacks that wait, or are under way.")
        .figure(&[], counters.queued.load(Relaxed));
    page.family("conflow_callbacks_flying", Kind::Gauge, "Callbacks that are under way.")
        .figure(&[], counters.flying.load(Relaxed));
    let help = "How long the oldest callback has waited, looked at every five seconds.";
    page.family("conflow_callbacks_oldest_seconds", Kind::Gauge, help)
        .figure(&[], seconds(counters.oldest_millis.load(Relaxed)));
    page.family("conflow_callbacks_delivered_total", Kind::Counter, "Callbacks that have arrived.")
        .figure(&[], counters.delivered.load(Relaxed));
    let help = "From the notices to the arrivals of all callbacks that have arrived.";
    page.family("conflow_callbacks_lag_seconds_total", Kind::Counter, help)
        .figure(&[], seconds(counters.lag_millis.load(Relaxed)));
    page.family("conflow_callbacks_failed_total", Kind::Counter, "Tries that have failed.")
        .figure(&[], counters.failed.load(Relaxed));
    page.family("conflow_callbacks_dropped_total", Kind::Counter, "Callbacks that were given up.");
    for (label, why) in [
        ("closed", Why::Closed),
        ("exhausted", Why::Exhausted),
        ("full", Why::Full),
        ("refused", Why::Refused),
    ] {
        page.figure(&[("why", label)], counters.dropped(why).load(Relaxed));
    }
}

fn phones(page: &mut Page, sip: &Sip, plane: &rtp_engine::Gauges) {
    let signalling = sip.gauges();
    page.family("conflow_sip_calls", Kind::Gauge, "Calls that SIP knows.")
        .figure(&[], signalling.calls);
    page.family("conflow_sip_transactions", Kind::Gauge, "SIP transactions that are open.")
        .figure(&[], signalling.transactions);
    page.family("conflow_sip_registered", Kind::Gauge, "Phones that are registered.")
        .figure(&[], signalling.registered);
    page.family("conflow_sip_streams", Kind::Gauge, "TCP connections of SIP.")
        .figure(&[], sip.streams());
    page.family("conflow_media_legs", Kind::Gauge, "Calls whose sound is open.")
        .figure(&[], plane.legs.load(Relaxed));
    page.family("conflow_media_sockets", Kind::Gauge, "Sockets that are bound for sound.")
        .figure(&[], plane.sockets.load(Relaxed));
    page.family("conflow_media_rooms", Kind::Gauge, "Rooms that are mixed.")
        .figure(&[], plane.rooms.load(Relaxed));
    page.family("conflow_media_packets_total", Kind::Counter, "Packets, by what became of them.")
        .figure(&[("what", "sent")], plane.sent.load(Relaxed))
        .figure(&[("what", "unsent")], plane.unsent.load(Relaxed))
        .figure(&[("what", "received")], plane.received.load(Relaxed))
        .figure(&[("what", "dropped")], plane.dropped.load(Relaxed));
    page.family("conflow_media_tick_late_seconds", Kind::Gauge, "How late ticks begin, of all.");
    for (label, share) in [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999)] {
        // `quantile` is for summaries, which have sums and counts.
        page.figure(&[("share", label)], plane.late.quantile(share).as_secs_f64());
    }
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("x-auth-token")
}

/// In constant time, as every [`blake3::Hash`] is compared.
fn is_bearer(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (scheme, sent) = sent.split_once(' ').unwrap_or_default();
    let is_same = blake3::hash(sent.trim().as_bytes()) == blake3::hash(token.as_bytes());
    scheme.eq_ignore_ascii_case("bearer") && is_same
}
