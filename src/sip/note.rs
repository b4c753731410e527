//! SIP notes: what the log and the counters should know of messages that are dropped, refused or odd.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::base::{ids::CallId, network::limited_source};

/// Something about a peer's messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SipNote {
    /// A message was dropped without an answer.
    Dropped {
        /// The source of the message.
        peer: SocketAddr,
        /// Why it was dropped.
        why: MessageDrop,
        /// The place and the error; empty if `why` says it all.
        error: &'static str,
    },
    /// A request was answered with a refusal, because of what it says.
    Refused {
        /// The source of the message.
        peer: SocketAddr,
        /// Its method, readable; any word of the sender's.
        method: String,
        /// The status code of the answer.
        code: u16,
        /// The place and the error.
        error: String,
    },
    /// A request was taken without a part that cannot be read.
    LeftOut {
        /// The source of the message.
        peer: SocketAddr,
        /// The part and the error.
        error: String,
    },
    /// An ACK confirmed a call although it has a tag that is not ours.
    ForeignAck {
        /// The source of the message.
        peer: SocketAddr,
        /// Its User-Agent header, readable; empty if it has none.
        user_agent: String,
    },
    /// The key of an encrypted call came, and was sent, over a transport that others can read.
    KeyInClear {
        /// The call that has just been agreed on.
        call: CallId,
    },
    /// A registration at a trunk, or a server of a trunk, has changed.
    Trunk {
        /// The trunk's name in the configuration.
        trunk: Arc<str>,
        /// Whether somebody should look at it.
        is_warning: bool,
        /// What has happened, for the log.
        text: String,
    },
    /// The SDP of a call has no telephone-event: keys that are sent as tones are not recognized.
    KeysByInfoOnly {
        /// The call that has just been agreed on.
        call: CallId,
    },
}

/// The reason why a message is dropped without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageDrop {
    /// Its source is above its rate limit.
    Throttled,
    /// It is no SIP message.
    Unreadable,
    /// The inbox was full; the sender repeats it.
    Overrun,
    /// It cannot be answered: its Via cannot be read.
    NoVia,
    /// An ACK that no call awaits. Refusals outside of calls are answered without memory, so their
    /// ACKs are such, too.
    StrayAck,
    /// A response to nothing that we asked.
    StrayResponse,
    /// A connection: there are too many, or too many of its source.
    TooManyStreams,
    /// A connection: its TLS handshake failed, or took too long.
    Handshake,
}

impl MessageDrop {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Throttled,
        Self::Unreadable,
        Self::Overrun,
        Self::NoVia,
        Self::StrayAck,
        Self::StrayResponse,
        Self::TooManyStreams,
        Self::Handshake,
    ];

    /// The name in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unreadable => "unreadable",
            Self::Overrun => "overrun",
            Self::NoVia => "no_via",
            Self::StrayAck => "stray_ack",
            Self::StrayResponse => "stray_response",
            Self::TooManyStreams => "too_many_streams",
            Self::Handshake => "tls_handshake",
        }
    }
}

/// Counters of messages that were not taken, or not sent.
#[derive(Debug, Default)]
pub struct Losses {
    dropped: [AtomicU64; MessageDrop::ALL.len()],
    /// Messages that could not be sent.
    pub unsent: AtomicU64,
    /// Encrypted calls whose keys were exchanged in the clear.
    pub clear_keys: AtomicU64,
}

impl Losses {
    /// Counts a dropped message.
    pub(super) fn count(&self, why: MessageDrop) {
        self.dropped[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many messages were dropped for this reason.
    pub fn dropped(&self, why: MessageDrop) -> u64 {
        self.dropped[why as usize].load(Ordering::Relaxed)
    }
}

/// Limits how often the log repeats itself: each kind of note once a minute for each source.
#[derive(Debug, Default)]
pub struct NoteLimit {
    /// When each may be told again.
    told: BTreeMap<String, Instant>,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Limit of remembered notes, so that forged sources cannot fill the memory. With more, the log is
/// silent for a while; the counters are not.
const TOLD_MAX: usize = 4_096;

impl NoteLimit {
    /// Whether the log may tell this now.
    pub fn admits(&mut self, now: Instant, note: &SipNote) -> bool {
        let source = |peer: &SocketAddr| limited_source(peer.ip().to_canonical());
        let (key, pause) = match note {
            // The call's own ACK, or somebody else's stray message: nothing is wrong with it.
            SipNote::Dropped {
                why: MessageDrop::StrayAck | MessageDrop::StrayResponse, ..
            } => {
                return false;
            }
            SipNote::Dropped { peer, why, .. } => {
                (format!("{} {}", why.name(), source(peer)), MINUTE)
            }
            SipNote::Refused { peer, code, .. } => (format!("{code} {}", source(peer)), MINUTE),
            SipNote::LeftOut { peer, .. } => (format!("odd {}", source(peer)), MINUTE),
            SipNote::ForeignAck { user_agent, .. } => (format!("ack {user_agent}"), HOUR),
            SipNote::Trunk { trunk, text, .. } => (format!("trunk {trunk} {text}"), MINUTE),
            SipNote::KeysByInfoOnly { .. } | SipNote::KeyInClear { .. } => return true,
        };
        if self.told.get(&key).is_some_and(|until| now < *until) {
            return false;
        }
        if self.told.len() >= TOLD_MAX {
            self.told.retain(|_, until| now < *until);
        }
        let has_room = self.told.len() < TOLD_MAX || self.told.contains_key(&key);
        if has_room {
            self.told.insert(key, now + pause);
        }
        has_room
    }
}

impl SipNote {
    /// A note about a trunk.
    pub fn of_trunk(trunk: &Arc<str>, is_warning: bool, text: String) -> Self {
        Self::Trunk { trunk: trunk.clone(), is_warning, text }
    }

    /// Whether somebody should look at it: a peer is broken, or is losing messages.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Dropped { .. } | Self::ForeignAck { .. } => true,
            Self::Refused { code, .. } => matches!(code, 400 | 488 | 505 | 513),
            Self::Trunk { is_warning, .. } => *is_warning,
            Self::LeftOut { .. } | Self::KeysByInfoOnly { .. } | Self::KeyInClear { .. } => false,
        }
    }
}

impl fmt::Display for SipNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped { why, error: "", .. } => write!(f, "SIP is dropped: {}", why.name()),
            Self::Dropped { error, .. } => write!(f, "SIP is dropped: {error}"),
            Self::Refused { method, code, error, .. } => {
                write!(f, "{method} refused with {code}: {error}")
            }
            Self::LeftOut { error, .. } => write!(f, "part of a SIP message is ignored: {error}"),
            Self::ForeignAck { user_agent, .. } => write!(
                f,
                "the ACKs of {user_agent:?} have a foreign To tag; they count where all else fits"
            ),
            Self::Trunk { text, .. } => f.write_str(text),
            Self::KeyInClear { .. } => f.write_str(
                "the sound is encrypted, but its key is not: it came over UDP or TCP; use TLS",
            ),
            Self::KeysByInfoOnly { .. } => f.write_str(
                "keys by INFO only: the phone offers no telephone-event, and keys in the sound are \
                 not recognized",
            ),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use super::*;

    fn dropped(peer: &str) -> SipNote {
        let (peer, why) = (peer.parse().unwrap(), MessageDrop::Unreadable);
        SipNote::Dropped { peer, why, error: "no request line" }
    }

    #[test]
    fn the_log_tells_each_kind_of_each_source_once_a_minute() {
        let (mut limit, now) = (NoteLimit::default(), Instant::now());
        let mut at =
            |seconds, note: &SipNote| limit.admits(now + Duration::from_secs(seconds), note);
        let refused = SipNote::Refused {
            peer: "192.0.2.1:1".parse().unwrap(),
            method: "INVITE".to_owned(),
            code: 400,
            error: "bad CSeq".to_owned(),
        };
        assert!(at(0, &dropped("192.0.2.1:1")));
        assert!(!at(59, &dropped("192.0.2.1:2")));
        assert!(at(59, &dropped("192.0.2.2:1")) && at(59, &refused));
        assert!(at(60, &dropped("192.0.2.1:1")));
        let ack = |name: &str| SipNote::ForeignAck {
            peer: "192.0.2.1:1".parse().unwrap(),
            user_agent: name.to_owned(),
        };
        assert!(at(0, &ack("pyVoIP")) && !at(3_599, &ack("pyVoIP")) && at(0, &ack("other")));
    }

    #[test]
    fn forged_sources_do_not_fill_the_memory() {
        let (mut limit, now) = (NoteLimit::default(), Instant::now());
        for n in 0..2 * TOLD_MAX {
            let [a, b, ..] = (n as u16).to_be_bytes();
            limit.admits(now, &dropped(&format!("10.0.{a}.{b}:1")));
        }
        assert_eq!(limit.told.len(), TOLD_MAX);
        assert!(!limit.admits(now, &dropped("192.0.2.1:1")));
        assert!(limit.admits(now + MINUTE, &dropped("192.0.2.1:1")));
    }
}
