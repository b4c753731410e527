//! Attempts: our INVITEs that begin calls, one for each target, each until its last response.
//!
//! An attempt outlives its call: a response to an INVITE that nobody waits for any more still needs
//! a CANCEL, an ACK or a BYE.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    call::CallMedia,
    caller_id::{ANONYMOUS_FROM, InviteLook, caller, is_hidden},
    digest_client::{DigestAccount, DigestClient},
    ids::SipIds,
    message::{SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    request::{Hop, Transport},
    settings::Settings,
    transaction::{GIVE_UP, T1},
    trunk_plan::TrunkPlan,
    uri::Uri,
};
use crate::{
    base::ids::CallId,
    media::{DialAttempt, DialFailure, DialResponse, Dialling},
    rtp::sdp::crypto::SrtpPolicy,
};

/// One place where a call may be answered.
#[derive(Clone, Debug)]
pub struct Target {
    /// The Request-URI of the INVITE.
    pub uri: Uri,
    /// The way that the INVITE takes.
    pub hop: Hop,
    /// For its challenges. None: they are not answered.
    pub account: Option<DigestAccount>,
    /// Whether it is a phone of ours or another server.
    pub kind: TargetKind,
    /// Whether its sound is encrypted.
    pub srtp: SrtpPolicy,
    /// The trunk's name, for the trace; empty if it is none.
    pub trunk: Arc<str>,
}

/// What a target is, which decides what its refusals mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetKind {
    /// A phone that is registered here.
    Endpoint,
    /// A gateway to other networks.
    Trunk,
}

/// A call of ours that has not been answered.
#[derive(Debug)]
pub struct OutgoingLeg {
    /// Whom to call, and what the far end is shown.
    pub dialling: Arc<Dialling>,
    /// The value of To, without a tag.
    pub to: String,
    /// The address of its RTP port, once it is open.
    pub port: Option<SocketAddr>,
    /// What a trunk says of caller and callee. None for phones.
    pub look: Option<InviteLook>,
    /// The servers that may be tried, one after another. None for phones.
    pub plan: Option<Box<TrunkPlan>>,
    /// All are called at once. Empty once the RTP port is open.
    pub targets: Vec<Target>,
    /// The attempts that have not failed.
    pub attempts: Vec<u64>,
    /// Whether the engine knows that the far end rings.
    pub has_rung: bool,
    /// The attempt whose early media is heard.
    pub early: Option<u64>,
    /// The failure to report if all attempts fail.
    pub failure: Option<DialFailure>,
}

/// One INVITE to one target.
#[derive(Debug)]
pub struct Attempt {
    /// The call that waits for it. None if nobody does.
    pub call: Option<CallId>,
    /// Where the INVITE was sent.
    pub target: Target,
    /// Our offer, and the answer to it.
    pub media: CallMedia,
    /// The INVITE as last sent.
    pub invite: SipMessage,
    /// The branch of that INVITE.
    pub branch: String,
    /// The CSeq number of that INVITE.
    pub cseq: u32,
    /// Our tag, in the From of each INVITE.
    pub local_tag: String,
    /// Our answers to challenges.
    pub digest: DigestClient,
    /// What has come back so far.
    pub state: AttemptState,
    /// The session interval that we ask for, in seconds.
    session_expires: u32,
    /// Refusals of our session interval (422) so far.
    pub interval_refusals: u8,
    /// The Reason of its CANCEL. None: a CANCEL without one.
    pub cancel_reason: Option<String>,
    /// The dialogs that provisional responses have begun.
    pub early: Vec<EarlyDialog>,
    /// The dialogs that 2xx have begun: tag, hop and ACK, which is sent again for each repetition.
    pub accepted: Vec<(String, Hop, Arc<[u8]>)>,
    /// Wait for the first response to an INVITE.
    pub wait: Duration,
    /// When the first INVITE was sent.
    pub began: Instant,
    /// The responses so far, for the trace.
    pub responses: Vec<DialResponse>,
    /// The interval before the next retransmission.
    pub resend: Duration,
    /// When the INVITE is sent again. None once a response has come, and over a stream.
    pub resend_at: Option<Instant>,
    /// When the attempt is over. None while the far end rings.
    pub ends_at: Option<Instant>,
    /// The time of its row in the timer table.
    pub due: Option<Instant>,
}

/// Progress of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttemptState {
    /// No response has come.
    Calling,
    /// A provisional response has come, so that a CANCEL may be sent.
    Proceeding,
    /// Our CANCEL has been sent.
    Canceling,
    /// A 2xx has come; further ones may.
    Accepted,
}

/// A dialog that a provisional response has begun.
#[derive(Debug)]
pub struct EarlyDialog {
    /// The far end's tag.
    pub tag: String,
    /// Its last description. None if it has sent none.
    pub description: Option<Vec<u8>>,
    /// Whether the far end has sent BYE.
    pub is_over: bool,
}

/// The attempts, by number, branch and tag.
#[derive(Debug, Default)]
pub struct Attempts {
    rows: BTreeMap<u64, Attempt>,
    branches: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
    last: u64,
}

/// Limit of early dialogs of one attempt; further ones are ignored.
const EARLY_MAX: usize = 8;

/// Limit of responses that a trace keeps of one attempt.
const RESPONSES_MAX: usize = 32;

/// Session interval that we ask for, and the shortest that we accept (RFC 4028, sections 4 and 5).
const SESSION_EXPIRES: (u32, u32) = (1800, 90);

impl OutgoingLeg {
    /// A call that has no targets yet.
    pub fn new(dialling: Arc<Dialling>) -> Self {
        Self {
            to: format!("<{}>", dialling.to),
            dialling,
            port: None,
            look: None,
            plan: None,
            targets: Vec::new(),
            attempts: Vec::new(),
            has_rung: false,
            early: None,
            failure: None,
        }
    }
}

impl Attempts {
    /// Returns the number of attempts, including those that nobody waits for.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Adds an attempt and returns its number.
    pub fn insert(&mut self, attempt: Attempt) -> u64 {
        self.last += 1;
        self.branches.insert(attempt.branch.clone(), self.last);
        self.tags.insert(attempt.local_tag.clone(), self.last);
        self.rows.insert(self.last, attempt);
        self.last
    }

    /// Returns an attempt by its number.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Attempt> {
        self.rows.get_mut(&id)
    }

    /// Returns the attempt whose last INVITE has this branch.
    pub fn of_branch(&self, branch: &str) -> Option<u64> {
        self.branches.get(branch).copied()
    }

    /// Returns the attempt with this tag of ours.
    pub fn of_tag(&mut self, tag: &str) -> Option<&mut Attempt> {
        self.rows.get_mut(self.tags.get(tag)?)
    }

    /// Returns the attempts over a connection to which no response has come.
    pub fn silent_over(&self, link: u64) -> Vec<u64> {
        let is_it = |it: &Attempt| {
            let Hop { transport, link: own, .. } = it.target.hop;
            transport.is_stream() && own == link && it.state == AttemptState::Calling
        };
        self.rows.iter().filter(|(_, it)| is_it(it)).map(|(id, _)| *id).collect()
    }

    /// Gives an attempt the branch of its next INVITE.
    pub fn move_to_branch(&mut self, id: u64, branch: String) {
        let Some(attempt) = self.rows.get_mut(&id) else { return };
        self.branches.remove(&attempt.branch);
        self.branches.insert(branch.clone(), id);
        attempt.branch = branch;
    }

    /// Removes an attempt from all tables.
    pub fn remove(&mut self, id: u64) -> Option<Attempt> {
        let attempt = self.rows.remove(&id)?;
        self.branches.remove(&attempt.branch);
        self.tags.remove(&attempt.local_tag);
        Some(attempt)
    }
}

impl Attempt {
    /// An attempt whose INVITE has not been sent.
    pub fn new(
        now: Instant,
        call: CallId,
        leg: &OutgoingLeg,
        target: Target,
        mut media: CallMedia,
        settings: &Settings,
        ids: &mut SipIds,
    ) -> Self {
        media.offer();
        let local_tag = ids.tag();
        let call_id = ids.tag();
        let invite = first_invite(leg, &target, &media, settings, (&local_tag, &call_id));
        Self {
            call: Some(call),
            digest: DigestClient::default(),
            target,
            media,
            invite,
            branch: ids.branch(),
            cseq: 0,
            local_tag,
            state: AttemptState::Calling,
            session_expires: session_of(leg).0,
            interval_refusals: 0,
            cancel_reason: None,
            early: Vec::new(),
            accepted: Vec::new(),
            wait: leg.plan.as_ref().map_or(GIVE_UP, |it| it.silence_wait()),
            began: now,
            responses: Vec::new(),
            resend: T1,
            resend_at: None,
            ends_at: None,
            due: None,
        }
    }

    /// Returns when the attempt next needs a tick.
    pub fn deadline(&self) -> Option<Instant> {
        [self.resend_at, self.ends_at].into_iter().flatten().min()
    }

    /// Makes the next INVITE, with a number of its own and answers to the challenges so far.
    /// `interval` replaces the session interval that was refused.
    pub fn next_invite(&mut self, now: Instant, settings: &Settings, interval: Option<u32>) {
        self.cseq += 1;
        let of_request = |name: &HeaderName| {
            let own = [HeaderName::Via, HeaderName::CSeq, HeaderName::Authorization];
            own.contains(name) || *name == HeaderName::ProxyAuthorization
        };
        self.invite.headers.retain(|(name, _)| !of_request(name));
        if let Some(interval) = interval {
            let is_of_timer =
                |name: &HeaderName| matches!(name, HeaderName::SessionExpires | HeaderName::MinSe);
            self.invite.headers.retain(|(name, _)| !is_of_timer(name));
            let expires = interval.max(self.session_expires).to_string();
            self.invite.push(HeaderName::SessionExpires, expires);
            self.invite.push(HeaderName::MinSe, interval.to_string());
        }
        let via = settings.via(&self.target.hop, &self.branch);
        self.invite.headers.insert(0, (HeaderName::Via, via));
        self.invite.push(HeaderName::CSeq, format!("{} INVITE", self.cseq));
        let answers = self.digest.answers("INVITE", &self.target.uri.to_string(), &self.branch);
        self.invite.headers.extend(answers);
        self.state = AttemptState::Calling;
        self.early.clear();
        self.resend = T1;
        self.resend_at = (self.target.hop.transport == Transport::Udp).then(|| now + T1);
        self.ends_at = Some(now + self.wait);
    }

    /// A request of the INVITE's transaction: CANCEL, or the ACK of a failure, which has the To of
    /// that response.
    pub fn same_transaction(&self, method: &SipMethod, to: Option<&str>) -> SipMessage {
        let mut message = SipMessage::new(match &self.invite.start {
            StartLine::Request { uri, .. } => {
                StartLine::Request { method: method.clone(), uri: uri.clone() }
            }
            StartLine::Status { .. } => self.invite.start.clone(),
        });
        let copied = [
            HeaderName::Via,
            HeaderName::Route,
            HeaderName::MaxForwards,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
        ];
        for (name, value) in self.invite.headers.iter().filter(|(name, _)| copied.contains(name)) {
            let value = to.filter(|_| *name == HeaderName::To).unwrap_or(value);
            message.push(name.clone(), value);
        }
        message.push(HeaderName::CSeq, format!("{} {method}", self.cseq));
        message
    }

    /// Returns the early dialog with this tag, which may be new. None if there are too many.
    pub fn early_dialog(&mut self, tag: &str) -> Option<&mut EarlyDialog> {
        let at = self.early.iter().position(|it| it.tag == tag);
        let at = match at {
            Some(at) => at,
            None if EARLY_MAX <= self.early.len() => return None,
            None => {
                self.early.push(EarlyDialog {
                    tag: tag.to_owned(),
                    description: None,
                    is_over: false,
                });
                self.early.len() - 1
            }
        };
        self.early.get_mut(at)
    }

    /// Notes a response for the trace.
    pub fn note(&mut self, now: Instant, status: u16) {
        if self.responses.len() < RESPONSES_MAX {
            let at_ms = ms_since(self.began, now);
            self.responses.push(DialResponse { status, at_ms });
        }
    }

    /// What the trace says of the attempt.
    pub fn record(&self, now: Instant, outcome: &str) -> Arc<DialAttempt> {
        let Target { uri, hop, .. } = &self.target;
        let trunk = match &*self.target.trunk {
            "" => String::new(),
            trunk => format!("{trunk}: "),
        };
        let target = format!("{trunk}{uri} at {} over {}", hop.remote, hop.transport.as_str());
        Arc::new(DialAttempt {
            target: target.into(),
            responses: self.responses.clone(),
            outcome: outcome.into(),
            took_ms: ms_since(self.began, now),
        })
    }
}

fn ms_since(began: Instant, now: Instant) -> u32 {
    u32::try_from(now.saturating_duration_since(began).as_millis()).unwrap_or(u32::MAX)
}

/// The INVITE without what differs from one time that it is sent to the next.
fn first_invite(
    leg: &OutgoingLeg,
    target: &Target,
    media: &CallMedia,
    settings: &Settings,
    (tag, call_id): (&str, &str),
) -> SipMessage {
    let Dialling { from, caller_name, headers, .. } = &*leg.dialling;
    let uri = target.uri.to_string();
    let mut message = SipMessage::new(StartLine::Request { method: SipMethod::Invite, uri });
    message.push(HeaderName::MaxForwards, "70");
    let is_anonymous = is_hidden(&leg.dialling);
    let from = match &leg.look {
        Some(look) => look.from.clone(),
        None if is_anonymous => ANONYMOUS_FROM.to_owned(),
        None => caller(from, caller_name, &settings.address(&target.hop).to_string()),
    };
    let to = leg.look.as_ref().map_or(&leg.to, |it| &it.to);
    message.push(HeaderName::From, format!("{from};tag={tag}"));
    message.push(HeaderName::To, to.as_str());
    message.push(HeaderName::CallId, call_id);
    message.push(HeaderName::Contact, super::dialog::contact(settings, &target.hop));
    message.push(HeaderName::Allow, super::ALLOW);
    message.push(HeaderName::Supported, "timer");
    let (expires, shortest) = session_of(leg);
    message.push(HeaderName::SessionExpires, expires.to_string());
    message.push(HeaderName::MinSe, shortest.to_string());
    message.push(HeaderName::UserAgent, super::SERVER);
    match &leg.look {
        Some(look) => message.headers.extend(look.extra.iter().cloned()),
        None if is_anonymous => message.push(HeaderName::Privacy, "id"),
        None => {}
    }
    for (name, value) in headers {
        let value: String = value.chars().filter(|it| !it.is_control()).collect();
        if super::name::is_token(name) {
            message.push(HeaderName::Other(name.as_ref().into()), value);
        }
    }
    message.push(HeaderName::ContentType, "application/sdp");
    message.body = media.text.as_bytes().to_vec();
    message
}

/// The session interval that a call asks for, and the shortest that it accepts.
fn session_of(leg: &OutgoingLeg) -> (u32, u32) {
    leg.look.as_ref().map_or(SESSION_EXPIRES, |it| it.session)
}

/// The credentials of a call, in traces.
pub(super) const CREDENTIALS: &str = "sipAuthUsername and sipAuthPassword";

/// A line of the trace that is about no attempt.
pub(super) fn remark(what: &str, outcome: &str) -> DialAttempt {
    DialAttempt { target: what.into(), responses: Vec::new(), outcome: outcome.into(), took_ms: 0 }
}
