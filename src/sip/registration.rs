//! Registrations: our REGISTER requests, one registration for each trunk that wants one (RFC 3261,
//! section 10.2).
//!
//! A registration goes through the trunk's targets until one answers. It is refreshed well before it
//! ends. A server that is silent or broken is followed by the next one; a refusal of ours is not, and
//! waits longer each time.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    caller_id::escape,
    digest_client::DigestClient,
    header_value::{NameAddr, parse_number},
    ids::SipIds,
    message::{SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    note::SipNote,
    request::{Hop, Transport},
    resolve::{ADDRESSES_MAX, NameQuery, ResolvedAddress},
    settings::Settings,
    trunk::{OutboundTrunk, TrunkTarget},
};

/// The registration of one trunk.
#[derive(Debug)]
pub struct Registration {
    /// The trunk's name in the configuration.
    pub trunk: Arc<str>,
    /// The trunk's settings, as of the registration's begin.
    pub settings: Arc<OutboundTrunk>,
    /// The user part of our Contact, which nobody can guess: calls to it come from the trunk.
    pub token: String,
    /// Whether it is being taken back, by `Expires: 0`.
    pub is_leaving: bool,
    call_id: String,
    tag: String,
    cseq: u32,
    digest: DigestClient,
    /// Whether no challenge of the current server has been answered since it was chosen.
    is_unchallenged: bool,
    /// Seconds that we ask for.
    asked: u32,
    /// Whether the current server has asked for more seconds.
    was_too_brief: bool,
    /// Refusals without a success in between.
    refusals: u32,
    step: Step,
    /// The targets that this round has not tried, and the addresses of the current one.
    targets: VecDeque<TrunkTarget>,
    addresses: VecDeque<TargetAddress>,
    current: Option<TargetAddress>,
    tried: Vec<ResolvedAddress>,
    binding: Option<RegisteredAt>,
}

/// An address of a target.
#[derive(Clone, Debug)]
struct TargetAddress {
    target: TrunkTarget,
    to: ResolvedAddress,
}

/// Where we are registered.
#[derive(Debug)]
struct RegisteredAt {
    place: TargetAddress,
    hop: Hop,
    ends_at: Instant,
    /// None over a stream, which stays open by itself.
    keep_alive_at: Option<Instant>,
}

#[derive(Debug)]
enum Step {
    /// Nothing happens until then.
    Waiting(Instant),
    /// The addresses of a target are asked for, or the way to one of them.
    Seeking,
    /// A REGISTER waits for its response.
    Asked { hop: Hop, branch: String },
}

/// What a registration wants done next.
#[derive(Debug, Eq, PartialEq)]
pub enum RegistrationWant {
    /// Nothing, until its deadline.
    Nothing,
    /// The addresses of a host, for [`Registration::resolved`].
    Resolve(NameQuery),
    /// The way to an address, for [`Registration::routed`].
    Route(ResolvedAddress),
    /// [`Registration::request`] is sent over this hop.
    Register(Hop),
    /// It is over, and can be forgotten.
    Over,
}

/// The longest wait before the first REGISTER, so that not all come at once after a start. A shorter
/// `retry` limits it.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(10);

/// The longest wait after refusals.
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Interval of empty datagrams that keep a NAT open (as for phones that register here).
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(25);

impl Registration {
    /// A registration that begins after a few seconds. None if the trunk wants none.
    pub fn new(
        now: Instant,
        trunk: &Arc<str>,
        settings: &Arc<OutboundTrunk>,
        ids: &mut SipIds,
    ) -> Option<Self> {
        let account = settings.account.clone().filter(|_| settings.register)?;
        Some(Self {
            trunk: trunk.clone(),
            settings: settings.clone(),
            token: ids.tag(),
            is_leaving: false,
            call_id: ids.tag(),
            tag: ids.tag(),
            cseq: 0,
            digest: DigestClient::new(Some(account)),
            is_unchallenged: true,
            asked: u32::try_from(settings.expires.as_secs()).unwrap_or(u32::MAX),
            was_too_brief: false,
            refusals: 0,
            step: Step::Waiting(now + ids.part_of(FIRST_WAIT_MAX.min(settings.retry))),
            targets: VecDeque::new(),
            addresses: VecDeque::new(),
            current: None,
            tried: Vec::new(),
            binding: None,
        })
    }

    /// Whether a server has taken the registration, and it has not ended.
    pub fn is_registered(&self) -> bool {
        self.binding.is_some() && !self.is_leaving
    }

    /// Returns when [`Self::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = match self.step {
            Step::Waiting(until) => Some(until),
            Step::Seeking | Step::Asked { .. } => None,
        };
        let of_binding = self
            .binding
            .as_ref()
            .and_then(|it| [Some(it.ends_at), it.keep_alive_at].into_iter().flatten().min());
        [waiting, of_binding].into_iter().flatten().min()
    }

    /// Whether a REGISTER with this branch waits for its response.
    pub fn awaits(&self, with: &str) -> bool {
        matches!(&self.step, Step::Asked { branch, .. } if branch == with)
    }

    /// Whether a REGISTER over this connection waits for its response.
    pub fn awaits_over(&self, link: u64) -> bool {
        matches!(&self.step, Step::Asked { hop, .. } if hop.is_over(link))
    }

    /// Handles what is due. Returns also the hop of a keep-alive to be sent.
    pub fn tick(&mut self, now: Instant, ids: &mut SipIds) -> (RegistrationWant, Option<Hop>) {
        self.binding.take_if(|it| it.ends_at <= now);
        let mut keep_alive = None;
        if let Some(it) = &mut self.binding
            && it.keep_alive_at.is_some_and(|at| at <= now)
        {
            it.keep_alive_at = Some(now + KEEP_ALIVE_EVERY);
            keep_alive = Some(it.hop);
        }
        let want = match self.step {
            Step::Waiting(until) if until <= now => self.begin(now, ids),
            Step::Waiting(_) | Step::Seeking | Step::Asked { .. } => RegistrationWant::Nothing,
        };
        (want, keep_alive)
    }

    /// Begins a round: at the server that has taken the registration, if there is one.
    fn begin(&mut self, now: Instant, ids: &mut SipIds) -> RegistrationWant {
        self.targets = self.settings.in_order(ids).into();
        self.addresses = self.binding.iter().map(|it| it.place.clone()).collect();
        (self.tried, self.current) = (Vec::new(), None);
        let mut notes = Vec::new();
        self.next(now, ids, &mut notes)
    }

    /// Goes on with the next address, or else the next target. If there is none, the round is over.
    fn next(
        &mut self,
        now: Instant,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        self.step = Step::Seeking;
        while let Some(place) = self.addresses.pop_front() {
            if self.tried.contains(&place.to) {
                continue;
            }
            self.tried.push(place.to);
            let to = place.to;
            self.current = Some(place);
            (self.is_unchallenged, self.was_too_brief) = (true, false);
            return RegistrationWant::Route(to);
        }
        if let Some(target) = self.targets.front() {
            return RegistrationWant::Resolve(target.query());
        }
        let wait = self.settings.retry;
        let text = format!("no server takes our registration; next try in {} s", wait.as_secs());
        notes.push(SipNote::of_trunk(&self.trunk, true, text));
        self.step = Step::Waiting(now + ids.about(wait));
        RegistrationWant::Nothing
    }

    /// The addresses of the first target are known.
    pub fn resolved(
        &mut self,
        now: Instant,
        addresses: &[ResolvedAddress],
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        let Step::Seeking = self.step else { return RegistrationWant::Nothing };
        if let Some(target) = self.targets.pop_front() {
            let place = |to: &ResolvedAddress| TargetAddress { target: target.clone(), to: *to };
            self.addresses.extend(addresses.iter().take(ADDRESSES_MAX).map(place));
        }
        self.next(now, ids, notes)
    }

    /// The way to the current address is known; None if there is none.
    pub fn routed(
        &mut self,
        now: Instant,
        hop: Option<Hop>,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        match (&self.step, hop) {
            (Step::Seeking, Some(hop)) => RegistrationWant::Register(hop),
            (Step::Seeking, None) => self.next(now, ids, notes),
            (Step::Waiting(_) | Step::Asked { .. }, _) => RegistrationWant::Nothing,
        }
    }

    /// Returns the host that the registration is for, and that TLS verifies.
    pub fn domain(&self) -> String {
        let target = self.current.as_ref().map(|it| &it.target);
        target.map_or_else(String::new, |it| self.settings.domain_of(it))
    }

    /// Builds the next REGISTER, to be sent over this hop.
    pub fn request(&mut self, settings: &Settings, hop: Hop, branch: String) -> SipMessage {
        self.cseq += 1;
        let domain = self.domain();
        let uri = format!("sip:{domain}");
        let user = self.settings.account.as_ref().map(|it| escape(&it.username));
        let address = format!("<sip:{}@{domain}>", user.unwrap_or_default());
        let us = settings.address(&hop);
        let transport = match hop.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        let method = SipMethod::Register;
        let mut message = SipMessage::new(StartLine::Request { method, uri: uri.clone() });
        message.push(HeaderName::Via, settings.via(&hop, &branch));
        message.push(HeaderName::MaxForwards, "70");
        message.push(HeaderName::From, format!("{address};tag={}", self.tag));
        message.push(HeaderName::To, address);
        message.push(HeaderName::CallId, self.call_id.as_str());
        message.push(HeaderName::CSeq, format!("{} REGISTER", self.cseq));
        message.push(HeaderName::Contact, format!("<sip:{}@{us}{transport}>", self.token));
        let expires = if self.is_leaving { 0 } else { self.asked };
        message.push(HeaderName::Expires, expires.to_string());
        message.push(HeaderName::Allow, super::ALLOW);
        message.push(HeaderName::UserAgent, super::SERVER);
        message.headers.extend(self.digest.answers("REGISTER", &uri, &branch));
        self.step = Step::Asked { hop, branch };
        message
    }

    /// The final response to the REGISTER.
    pub fn replied(
        &mut self,
        now: Instant,
        code: u16,
        response: &SipMessage,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        let Step::Asked { hop, .. } = self.step else { return RegistrationWant::Nothing };
        match code {
            401 | 407 if self.is_challenged(response) => RegistrationWant::Register(hop),
            423 if self.must_ask_for_more(response) => RegistrationWant::Register(hop),
            _ if self.is_leaving => RegistrationWant::Over,
            200..300 => match self.granted(response) {
                0 => self.refused(now, code, ids, notes),
                seconds => self.registered(now, hop, seconds, ids, notes),
            },
            408 | 500..600 => self.next(now, ids, notes),
            _ => self.refused(now, code, ids, notes),
        }
    }

    /// The REGISTER will not be answered: nobody has, or its connection is closed.
    pub fn lost(
        &mut self,
        now: Instant,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        match self.is_leaving {
            true => RegistrationWant::Over,
            false => self.next(now, ids, notes),
        }
    }

    /// Whether a challenge is answered by another REGISTER. A server may have forgotten the nonce that
    /// it gave us for an earlier one, and not say so (`stale`).
    fn is_challenged(&mut self, response: &SipMessage) -> bool {
        let is_first = std::mem::take(&mut self.is_unchallenged);
        if self.digest.challenged(response) {
            return true;
        }
        self.digest = DigestClient::new(self.settings.account.clone());
        is_first && self.digest.challenged(response)
    }

    /// Whether a 423 is answered by a REGISTER for a longer time: once for each server.
    fn must_ask_for_more(&mut self, response: &SipMessage) -> bool {
        let least = response.get(&HeaderName::MinExpires).and_then(|it| parse_number(it.trim()));
        let is_first = !std::mem::replace(&mut self.was_too_brief, true);
        let least = least.filter(|it| is_first && self.asked < *it && !self.is_leaving);
        self.asked = least.unwrap_or(self.asked);
        least.is_some()
    }

    /// The seconds for which a 2xx registers us: those of our Contact, else of Expires, else what we
    /// asked for.
    fn granted(&self, response: &SipMessage) -> u32 {
        let contacts = response.all(&HeaderName::Contact);
        let mut contacts = contacts.filter_map(|text| NameAddr::parse_list(text).ok()).flatten();
        let is_ours = |it: &NameAddr| {
            it.uri.sip().and_then(|uri| uri.user.as_deref()) == Some(self.token.as_str())
        };
        let own = contacts.find(is_ours);
        let own = own.and_then(|it| it.params.get("expires").and_then(parse_number));
        let expires = || response.get(&HeaderName::Expires).and_then(|it| parse_number(it.trim()));
        own.or_else(expires).unwrap_or(self.asked)
    }

    fn registered(
        &mut self,
        now: Instant,
        hop: Hop,
        seconds: u32,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        let Some(place) = self.current.clone() else { return RegistrationWant::Nothing };
        if self.binding.is_none() || self.refusals != 0 {
            let text = format!("registered at {} for {seconds} s", place.to.address);
            notes.push(SipNote::of_trunk(&self.trunk, false, text));
        }
        let is_udp = hop.transport == Transport::Udp;
        let keep_alive_at = is_udp.then(|| now + KEEP_ALIVE_EVERY);
        let granted = Duration::from_secs(seconds.into());
        self.binding = Some(RegisteredAt { place, hop, ends_at: now + granted, keep_alive_at });
        self.digest.begin_request();
        self.refusals = 0;
        // From 65 % to 75 % of the time.
        self.step = Step::Waiting(now + granted * (650 + ids.below(101)) / 1_000);
        RegistrationWant::Nothing
    }

    /// The server knows us, and does not want us: another one of the trunk would not either.
    fn refused(
        &mut self,
        now: Instant,
        code: u16,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> RegistrationWant {
        let doubled = self.settings.retry * 2_u32.saturating_pow(self.refusals.min(12));
        let wait = doubled.min(REFUSED_WAIT_MAX);
        self.refusals += 1;
        let hint = match code {
            401 | 407 => " (check username, password and realm)",
            403 | 404 => " (check username and domain)",
            _ => "",
        };
        let wait_text = wait.as_secs();
        let text = format!("registration refused with {code}{hint}; next try in {wait_text} s");
        notes.push(SipNote::of_trunk(&self.trunk, true, text));
        self.digest.begin_request();
        self.step = Step::Waiting(now + ids.about(wait));
        RegistrationWant::Nothing
    }

    /// A connection has ended. Calls to us have no way over it any more, so that a registration over it
    /// begins again.
    pub fn closed(&mut self, now: Instant, link: u64, ids: &mut SipIds) {
        if self.binding.take_if(|it| it.hop.is_over(link)).is_some() {
            self.again_soon(now, ids);
        }
    }

    /// The server at this address is back: it may have forgotten us.
    pub fn is_back(&mut self, now: Instant, to: &ResolvedAddress, ids: &mut SipIds) {
        if self.binding.as_ref().is_some_and(|it| it.place.to == *to) {
            self.again_soon(now, ids);
        }
    }

    fn again_soon(&mut self, now: Instant, ids: &mut SipIds) {
        if let Step::Waiting(until) = &mut self.step {
            let soon = now + ids.part_of(FIRST_WAIT_MAX.min(self.settings.retry));
            *until = soon.min(*until);
        }
    }

    /// Takes the registration back.
    pub fn leave(&mut self) -> RegistrationWant {
        if self.is_leaving {
            return RegistrationWant::Nothing;
        }
        self.is_leaving = true;
        self.digest.begin_request();
        (self.is_unchallenged, self.was_too_brief) = (true, false);
        let hop = match (&self.step, &self.binding) {
            // It may be granted while we leave.
            (Step::Asked { hop, .. }, _) => *hop,
            (Step::Waiting(_) | Step::Seeking, Some(binding)) => {
                self.current = Some(binding.place.clone());
                binding.hop
            }
            (Step::Waiting(_) | Step::Seeking, None) => return RegistrationWant::Over,
        };
        (self.targets, self.addresses) = (VecDeque::new(), VecDeque::new());
        RegistrationWant::Register(hop)
    }
}
