//! Session timers: end calls whose far end has vanished (RFC 4028).

use std::time::{Duration, Instant};

use super::{
    error::SipError, header_value::parse_number, message::SipMessage, name::HeaderName,
    request::SipRequest,
};

/// The session timer that was agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Session interval: the call ends if it is not refreshed in this time.
    pub interval: Duration,
    /// Whether we send the refreshes.
    pub is_ours: bool,
}

/// A running session timer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionTimer {
    /// The interval and the refresher, as negotiated.
    pub terms: Terms,
    /// When we refresh. None if the far end does, or while our refresh awaits its answer.
    pub refresh_at: Option<Instant>,
    /// When the call ends without a refresh.
    pub ends_at: Instant,
}

impl Terms {
    /// Reads the timer that an INVITE or UPDATE asks us for. None if it asks for none, or for one
    /// that cannot be read: a call does without.
    ///
    /// # Errors
    ///
    /// 422, to be sent with Min-SE, if the interval is too short.
    pub fn asked(request: &SipRequest, shortest: Duration) -> Result<Option<Self>, SipError> {
        let Some((interval, refresher)) = read(&request.message) else { return Ok(None) };
        let has_timer = request
            .message
            .words(&HeaderName::Supported)
            .any(|it| it.eq_ignore_ascii_case("timer"));
        if interval < shortest && has_timer {
            return Err(SipError { code: 422, reason: "Session Interval Too Small" });
        }
        // A caller without timers cannot refresh: a proxy asked for the timer.
        let is_ours = !has_timer || refresher == Some(Refresher::Callee);
        Ok(Some(Self { interval: interval.max(shortest), is_ours }))
    }

    /// Reads the timer from the answer to our refresh. None if the far end has no timers. An
    /// interval below the 90 s of RFC 4028 is kept to, but not one that asks for refreshes without a pause.
    pub fn granted(response: &SipMessage) -> Option<Self> {
        let (interval, refresher) = read(response)?;
        let interval = interval.max(GRANTED_MIN);
        Some(Self { interval, is_ours: refresher != Some(Refresher::Callee) })
    }

    /// Adds the timer to our reply.
    pub fn write(&self, reply: &mut SipMessage) {
        let (refresher, seconds) = match self.is_ours {
            true => ("uas", self.interval.as_secs()),
            false => ("uac", self.interval.as_secs()),
        };
        reply.push(HeaderName::SessionExpires, format!("{seconds};refresher={refresher}"));
        if !self.is_ours {
            reply.push(HeaderName::Require, "timer");
        }
    }

    /// Starts the timer at a refresh.
    pub fn begin(self, now: Instant) -> SessionTimer {
        let early = (self.interval / 3).min(MARGIN_MAX);
        let ends_at = now + self.interval - early;
        let refresh_at = self.is_ours.then(|| now + self.interval / 2);
        SessionTimer { terms: self, refresh_at, ends_at }
    }
}

/// The shortest interval that we keep to: a refresh every two seconds.
const GRANTED_MIN: Duration = Duration::from_secs(4);
/// Margin by which the BYE is sent before the interval ends (RFC 4028, section 10).
const MARGIN_MAX: Duration = Duration::from_secs(32);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refresher {
    Caller,
    Callee,
}

fn read(message: &SipMessage) -> Option<(Duration, Option<Refresher>)> {
    let mut parts = message.get(&HeaderName::SessionExpires)?.split(';').map(str::trim);
    let seconds = parts.next().filter(|it| !it.is_empty()).and_then(parse_number)?;
    let refresher = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("refresher").then(|| value.trim().to_ascii_lowercase())
    });
    let refresher = match refresher.as_deref() {
        Some("uac") => Some(Refresher::Caller),
        Some("uas") => Some(Refresher::Callee),
        Some(_) | None => None,
    };
    Some((Duration::from_secs(seconds.into()), refresher))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_secs(90);

    fn asked(headers: &str) -> Result<Option<(u64, bool)>, u16> {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 7 INVITE\r\n{headers}\r\n"
        );
        let request =
            SipRequest::read(SipMessage::parse(text.as_bytes()).unwrap().unwrap()).unwrap();
        let terms = Terms::asked(&request, SHORTEST).map_err(|error| error.code)?;
        Ok(terms.map(|it| (it.interval.as_secs(), it.is_ours)))
    }

    #[test]
    fn who_refreshes_is_settled_as_the_rfc_says() {
        for (headers, expected) in [
            ("", Ok(None)),
            ("Supported: timer\r\n", Ok(None)),
            ("k: path, timer\r\nx: 1800\r\n", Ok(Some((1800, false)))),
            (
                "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n",
                Ok(Some((1800, false))),
            ),
            (
                "Supported: timer\r\nSession-Expires: 1800 ; Refresher=UAS\r\n",
                Ok(Some((1800, true))),
            ),
            ("Session-Expires: 1800\r\n", Ok(Some((1800, true)))),
            ("Session-Expires: 30\r\n", Ok(Some((90, true)))),
            ("Supported: timer\r\nSession-Expires: 89\r\n", Err(422)),
            ("Supported: timer\r\nSession-Expires: soon\r\n", Ok(None)),
            ("Supported: timer\r\nSession-Expires:\r\n", Ok(None)),
            (
                "Supported: timer\r\nSession-Expires: 1800;refresher=me;;\r\n",
                Ok(Some((1800, false))),
            ),
        ] {
            assert_eq!(asked(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_interval_that_is_too_short_is_made_longer() {
        for (seconds, expected) in [(0, 4), (1, 4), (27, 27), (1_800, 1_800)] {
            let text =
                format!("SIP/2.0 200 OK\r\nSession-Expires: {seconds};refresher=uac\r\n\r\n");
            let response = SipMessage::parse(text.as_bytes()).unwrap().unwrap();
            let terms = Terms::granted(&response).unwrap();
            assert_eq!((terms.interval.as_secs(), terms.is_ours), (expected, true));
        }
    }

    #[test]
    fn a_refresh_comes_at_half_time_and_the_end_a_little_before_the_interval() {
        let now = Instant::now();
        let terms = Terms { interval: Duration::from_secs(1800), is_ours: true };
        let timer = terms.begin(now);
        assert_eq!(timer.refresh_at, Some(now + Duration::from_secs(900)));
        assert_eq!(timer.ends_at, now + Duration::from_secs(1768));
        let timer = Terms { interval: SHORTEST, is_ours: false }.begin(now);
        assert_eq!((timer.refresh_at, timer.ends_at), (None, now + Duration::from_secs(60)));
    }
}
