//! SIP properties: network input of the signalling, for a fuzzer, and for the mutation test that
//! runs with every build. Nothing may panic, whatever the bytes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::CallId,
    media::{Ending, HangupCause, HangupSource},
    sip::{
        Settings, SipSecret,
        agent::{Agent, SipGauges},
        effect::{Command, Effect},
        message::{Frame, SipMessage, StartLine},
        name::HeaderName,
        request::{Hop, Transport},
    },
};

/// Separates two messages of the input.
pub(crate) const NEXT: &[u8] = b"=====";

/// Stands for conflow's tag of the latest call in the input.
pub(crate) const TAG: &[u8] = b"@TAG@";

/// Messages of one phone, one after another. In between, time passes and the engine sends orders.
pub(crate) fn messages(start: Instant, bytes: &[u8]) {
    let mut fuzz_agent = FuzzAgent::new(start);
    for (number, text) in split(bytes, NEXT).into_iter().enumerate() {
        let text = replace(text, TAG, fuzz_agent.tag.as_bytes());
        if let Ok(Some(message)) = SipMessage::parse(&text) {
            answered(start, message.clone());
            let hop = fuzz_agent.hop;
            fuzz_agent.handle(Command::Received { hop, message });
        }
        if let Some(call) = fuzz_agent.calls.last().copied() {
            match number % 5 {
                0 => fuzz_agent.handle(Command::Answer(call)),
                1 => fuzz_agent.wait(Duration::from_millis(700)),
                2 => fuzz_agent.handle(Command::EarlyMedia(call)),
                3 => fuzz_agent.wait(Duration::from_secs(50)),
                _ => {}
            }
        }
    }
    fuzz_agent.end();
}

/// A message that comes first is answered, or the log and the counters know why not.
fn answered(start: Instant, message: SipMessage) {
    let FuzzAgent { mut agent, now, hop, .. } = FuzzAgent::new(start);
    let (mut effects, shown) = (VecDeque::new(), format!("{message:?}"));
    agent.handle(now, Command::Received { hop, message }, &mut effects);
    let is_told = |it: &Effect| matches!(it, Effect::Send { .. } | Effect::Note(_));
    assert!(effects.iter().any(is_told), "{shown}");
}

/// Cuts a stream into messages up to its end.
pub(crate) fn stream(mut bytes: &[u8]) {
    loop {
        match SipMessage::frame(bytes) {
            Ok(Frame::Whole(len)) => {
                assert!(len <= bytes.len() && len > 0);
                let _ = SipMessage::parse(&bytes[..len]);
                bytes = &bytes[len..];
            }
            Ok(Frame::Blank(len)) => bytes = &bytes[len..],
            Ok(Frame::Partial) | Err(_) => break,
        }
    }
}

/// An agent, and a world that performs its effects.
struct FuzzAgent {
    agent: Agent,
    now: Instant,
    hop: Hop,
    /// Calls whose sound is open.
    open: BTreeSet<CallId>,
    calls: Vec<CallId>,
    tag: String,
}

impl FuzzAgent {
    fn new(now: Instant) -> Self {
        let hop = Hop {
            transport: Transport::Udp,
            link: 0,
            local: ([127, 0, 0, 1], 5060).into(),
            remote: ([127, 0, 0, 1], 5070).into(),
        };
        let agent = Agent::new(now, Arc::new(Settings::default()), SipSecret([3; 32]));
        Self { agent, now, hop, open: BTreeSet::new(), calls: vec![], tag: String::new() }
    }

    fn handle(&mut self, command: Command) {
        let mut effects = VecDeque::new();
        self.agent.handle(self.now, command, &mut effects);
        let mut done = 0;
        while let Some(effect) = effects.pop_front() {
            done += 1;
            assert!(done < 32, "a command has too many effects");
            if let Some(command) = self.perform(effect) {
                self.agent.handle(self.now, command, &mut effects);
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Command> {
        match effect {
            Effect::Send { bytes, .. } => self.check_sent(&bytes),
            Effect::Open { call, local } => {
                assert!(self.open.insert(call), "opened once");
                return Some(Command::Opened { call, port: Ok((local, 20_000).into()) });
            }
            Effect::Agree { call, .. } => assert!(self.open.contains(&call), "the leg is not open"),
            Effect::Attempted(..) | Effect::Note(_) | Effect::Talked(_) => {}
            Effect::Resolve { id, query } => {
                let addresses = query.literal().into_iter().collect();
                return Some(Command::Resolved { id, addresses });
            }
            Effect::Route { id, .. } => return Some(Command::Routed { id, hop: None }),
            Effect::Press { call, .. } => assert!(self.open.contains(&call), "the leg is not open"),
            Effect::Close { call } => assert!(self.open.remove(&call), "closed once"),
            Effect::Arrive(arrival) => {
                self.calls.push(arrival.call);
                return Some(Command::Arrived { call: arrival.call, status: 180 });
            }
            Effect::Report(report) => assert!(self.calls.contains(&report.call)),
        }
        None
    }

    /// Checks that we understand what we send, and that parsing and writing it changes nothing.
    fn check_sent(&mut self, bytes: &[u8]) {
        let sent = SipMessage::parse(bytes).expect("a message").expect("not empty");
        assert_eq!(sent.error, None, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(sent.all(&HeaderName::ContentLength).count(), 1);
        assert_eq!(sent.to_bytes(), bytes, "parsing and writing changes the message");
        if let (StartLine::Status { code: 180, .. }, Some(to)) =
            (&sent.start, sent.get(&HeaderName::To))
        {
            self.tag = to.rsplit_once(";tag=").map_or(String::new(), |(_, tag)| tag.to_owned());
        }
    }

    fn wait(&mut self, wait: Duration) {
        let until = self.now + wait;
        while let Some(at) = self.agent.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.handle(Command::Tick);
        }
        self.now = until;
    }

    /// Ends all calls and checks that no state is left: soon after, or when registrations expire.
    fn end(mut self) {
        let ending = Ending { cause: HangupCause::Normal, source: HangupSource::ApiRequest };
        for call in self.calls.clone() {
            self.handle(Command::End(call, ending));
        }
        assert_eq!(self.open, BTreeSet::new(), "legs are left open");
        self.wait(Duration::from_secs(120));
        let SipGauges { calls, transactions, .. } = self.agent.gauges();
        assert_eq!((calls, transactions), (0, 0));
        self.wait(Settings::default().register_for.1);
        assert_eq!(self.agent.gauges(), SipGauges::default());
        assert_eq!(self.agent.deadline(), None);
    }
}

fn split<'a>(mut bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes.windows(mark.len()).position(|it| it == mark) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + mark.len()..];
    }
    parts.push(bytes);
    parts
}

fn replace(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    split(bytes, what).join(with)
}
