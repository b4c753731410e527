//! The SIP agent on a virtual clock: what it sends, when, and the effects.

mod admission;
mod answers;
mod calls;
mod changes;
mod odd;
mod outgoing;
mod probes;
mod recovery;
mod registration;
mod trunk_limits;
mod trunks;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::CallId,
    media::{
        Arrival, Ending, HangupCause, HangupSource, LegEvent,
        legs::{LegSession, NoPort},
    },
    sip::{
        Settings, SipEndpoint, SipPassword, SipSecret, SipTrunk,
        agent::{Agent, SipGauges},
        digest::Algorithm,
        effect::{Command, Effect},
        message::SipMessage,
        note::{MessageDrop, SipNote},
        request::{Hop, Transport},
        resolve::ResolvedAddress,
        trunk_usage::TalkedTime,
    },
};

use crate::phone::{OFFER, Phone, SDP, body, brief, header, headers};

/// An agent and its recorded effects.
pub(crate) struct AgentHarness {
    pub(crate) agent: Agent,
    pub(crate) now: Instant,
    pub(crate) remote: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) has_flow: bool,
    pub(crate) has_port: bool,
    pub(crate) sent: Vec<(SocketAddr, String)>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) agreed: Vec<LegSession>,
    /// What the trace says of attempts to reach somebody.
    pub(crate) attempts: Vec<String>,
    /// The addresses of names.
    pub(crate) names: BTreeMap<String, Vec<ResolvedAddress>>,
    /// Addresses that no socket reaches.
    pub(crate) unreachable: Vec<SocketAddr>,
    /// What the log and the counters get to know.
    pub(crate) notes: Vec<SipNote>,
    /// What is kept of answered calls through trunks.
    pub(crate) talked: Vec<TalkedTime>,
}

pub(crate) const HERE: &str = "127.0.0.1:5070";

impl AgentHarness {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    #[expect(clippy::disallowed_methods, reason = "where the clock begins matters to nothing")]
    pub(crate) fn with(settings: Settings) -> Self {
        let now = Instant::now();
        Self {
            agent: Agent::new(now, Arc::new(settings), SipSecret([7; 32])),
            now,
            remote: HERE.parse().unwrap(),
            transport: Transport::Udp,
            has_flow: true,
            has_port: true,
            sent: Vec::new(),
            arrivals: Vec::new(),
            agreed: Vec::new(),
            attempts: Vec::new(),
            names: BTreeMap::new(),
            unreachable: Vec::new(),
            notes: Vec::new(),
            talked: Vec::new(),
        }
    }

    /// Receives a message and returns the effects in short form.
    pub(crate) fn receive(&mut self, text: &str) -> Vec<String> {
        self.receive_bytes(text.as_bytes())
    }

    pub(crate) fn receive_bytes(&mut self, bytes: &[u8]) -> Vec<String> {
        let Some(message) = SipMessage::parse(bytes).unwrap() else { return vec![] };
        let (transport, remote) = (self.transport, self.remote);
        let local = "127.0.0.1:5060".parse().unwrap();
        let hop = Hop { transport, link: 0, local, remote };
        self.handle(Command::Received { hop, message })
    }

    pub(crate) fn handle(&mut self, command: Command) -> Vec<String> {
        let (mut effects, mut brief) = (VecDeque::new(), Vec::new());
        self.agent.handle(self.now, command, &mut effects);
        while let Some(effect) = effects.pop_front() {
            if let Effect::Note(note) = effect {
                self.notes.push(note);
                continue;
            }
            if let Effect::Talked(talked) = effect {
                self.talked.push(talked);
                continue;
            }
            let (said, command) = self.perform(effect);
            brief.push(said);
            if let Some(command) = command {
                self.agent.handle(self.now, command, &mut effects);
            }
        }
        brief
    }

    fn perform(&mut self, effect: Effect) -> (String, Option<Command>) {
        match effect {
            Effect::Send { hop, bytes } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let said = brief(&text);
                self.sent.push((hop.remote, text));
                (said, None)
            }
            Effect::Open { call, .. } => {
                let port = "127.0.0.1:20000".parse().unwrap();
                let port = if self.has_port { Ok(port) } else { Err(NoPort) };
                ("open".to_owned(), Some(Command::Opened { call, port }))
            }
            Effect::Resolve { id, query } => {
                let said = format!("resolve {} {:?} {:?}", query.host, query.port, query.transport);
                let literal = || query.literal().into_iter().collect();
                let addresses = self.names.get(&*query.host).cloned().unwrap_or_else(literal);
                (said, Some(Command::Resolved { id, addresses }))
            }
            Effect::Route { id, to, tls } => {
                let local = "127.0.0.1:5060".parse().unwrap();
                let (transport, remote) = (to.transport, to.address);
                let hop = Hop { transport, link: u64::from(remote.port()), local, remote };
                let hop = (remote.is_ipv4() && !self.unreachable.contains(&remote)).then_some(hop);
                let name = tls.map(|it| format!(" as {}", it.domain)).unwrap_or_default();
                let said = format!("route {} {remote}{name}", transport.as_str());
                (said, Some(Command::Routed { id, hop }))
            }
            Effect::Agree { session, .. } => {
                let said = format!("agree {}", session.agreed.remote.unwrap());
                self.agreed.push(session);
                (said, None)
            }
            Effect::Press { key, .. } => (format!("press {key}"), None),
            Effect::Close { .. } => ("close".to_owned(), None),
            Effect::Arrive(arrival) => {
                let call = arrival.call;
                self.arrivals.push(arrival);
                let command =
                    Command::Arrived { call, status: if self.has_flow { 180 } else { 404 } };
                ("arrive".to_owned(), Some(command))
            }
            Effect::Report(report) => (format!("{:?}", report.event), None),
            Effect::Attempted(_, attempt) => {
                let responses: Vec<_> = attempt.responses.iter().map(|it| it.status).collect();
                self.attempts.push(format!("{responses:?} {}", attempt.outcome));
                (format!("attempted {}", attempt.outcome), None)
            }
            Effect::Note(_) | Effect::Talked(_) => unreachable!("they are kept apart"),
        }
    }

    /// Advances the clock, with everything that is due in between.
    pub(crate) fn wait(&mut self, wait: Duration) -> Vec<String> {
        let (until, mut brief) = (self.now + wait, Vec::new());
        while let Some(at) = self.agent.deadline().filter(|at| *at <= until) {
            self.now = at;
            brief.extend(self.handle(Command::Tick));
        }
        self.now = until;
        brief
    }

    pub(crate) fn call(&self) -> CallId {
        self.arrivals.last().unwrap().call
    }

    pub(crate) fn answer(&mut self) -> Vec<String> {
        self.handle(Command::Answer(self.call()))
    }

    pub(crate) fn end(&mut self, cause: HangupCause) -> Vec<String> {
        self.handle(Command::End(self.call(), Ending { cause, source: HangupSource::AnswerXml }))
    }

    pub(crate) fn last(&self) -> &str {
        &self.sent.last().unwrap().1
    }

    /// Sets up an active call.
    pub(crate) fn up(&mut self, phone: &mut Phone) {
        let invite = phone.invite();
        self.up_by(phone, &invite);
    }

    pub(crate) fn up_by(&mut self, phone: &mut Phone, invite: &str) {
        self.receive(invite);
        self.answer();
        let ok = self.last().to_owned();
        assert_eq!(brief(&ok), "200");
        phone.learn(&ok);
        let ack = phone.ack();
        self.receive(&ack);
    }

    /// Checks that everything has ended and no state is left.
    pub(crate) fn ends_empty(mut self) {
        self.wait(Duration::from_secs(64));
        assert_eq!(self.agent.gauges(), SipGauges::default());
        assert_eq!(self.agent.deadline(), None);
    }
}

pub(crate) fn phone() -> Phone {
    Phone::new("p", HERE)
}

/// A phone's reply to a request of ours.
pub(crate) fn reply_to(request: &str, code: u16, extra: &str, body: &str) -> String {
    let copy = |name: &str| {
        headers(request, name).map(|it| format!("{name}: {it}\r\n")).collect::<String>()
    };
    let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"].map(copy).concat();
    format!("SIP/2.0 {code} x\r\n{copied}{extra}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn closed() -> Settings {
    Settings {
        open: Some(false),
        loopback_account: Some("MA1".parse().unwrap()),
        endpoints: vec![SipEndpoint {
            user: "anna".into(),
            password: SipPassword::new("secret"),
            account: None,
            srtp: Default::default(),
        }],
        ..Settings::default()
    }
}
