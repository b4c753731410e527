//! SDP: what two ends agree on before they send sound (RFC 3264, RFC 8866).
//!
//! One [`Negotiation`] for each call. The signalling gives it every offer ([`Negotiation::answer`])
//! and every answer ([`Negotiation::accept`]), sends what it writes, and hands what was
//! [`Agreed`] to the leg. A refusal changes nothing: what was agreed before still holds.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use sdp_types::{Media, Session};

use super::g711::Law;

/// One call's exchange of offers and answers.
#[derive(Clone, Debug)]
pub struct Negotiation {
    local: Local,
    version: u64,
    /// The lines of media in all descriptions of this call, and which of them is the sound.
    lines: Vec<String>,
    sound: usize,
    /// The payload types in the last description of ours.
    payloads: Vec<(u8, Payload)>,
    /// The last description of ours, without its origin.
    sent: Option<String>,
    agreed: Option<Agreed>,
}

/// Where we are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Local {
    /// As the far end can reach it.
    pub address: IpAddr,
    /// Of RTP. RTCP has the next one, unless the two are multiplexed.
    pub port: u16,
    /// Names the session in its origin: a random number, below 2⁶³ for old parsers.
    pub session: u64,
}

/// What was agreed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agreed {
    /// Where to send. None: a hold of the old kind, without an address.
    pub remote: Option<SocketAddr>,
    /// Where to send reports. None likewise.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share a port, at both ends.
    pub rtcp_mux: bool,
    /// How we send sound.
    pub law: Law,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of telephone events that we send. None: the far end knows none.
    pub events: Option<u8>,
    /// What may come in, by payload type.
    pub accepts: Vec<(u8, Payload)>,
    /// Who sends, seen from here.
    pub direction: Direction,
    /// The far end holds us.
    pub held: bool,
}

impl Agreed {
    /// What a packet of this payload type carries. None: it was not agreed on.
    pub fn payload(&self, payload_type: u8) -> Option<Payload> {
        self.accepts.iter().find(|it| it.0 == payload_type).map(|it| it.1)
    }
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Payload {
    /// G.711.
    Sound(Law),
    /// Key presses (RFC 4733).
    Events,
}

/// Who sends (RFC 8866, 6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Only the one whose description this is.
    SendOnly,
    /// Only the other.
    RecvOnly,
    /// Nobody.
    Inactive,
}

/// Why there is no agreement; SIP says 488 to an offer, and hangs up after an answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Of more than [`BYTES_MAX`] or [`LINES_MAX`].
    #[error(
        "the description is too long: at most {BYTES_MAX} bytes and {LINES_MAX} lines of media"
    )]
    TooLong,
    /// It is no SDP.
    #[error("not a session description: {0}")]
    Malformed(String),
    /// It has no sound in it, or its sound has port 0.
    #[error("no audio is offered; offer m=audio with a port")]
    NoAudio,
    /// Its sound is neither plain RTP nor anything else that we speak.
    #[error("audio over {0} is not spoken here; offer RTP/AVP")]
    Transport(String),
    /// Its sound is neither PCMU nor PCMA.
    #[error("no codec in common; offer PCMU or PCMA at 8000 Hz")]
    Codec,
    /// There is no address, or none that sound can be sent to.
    #[error("not an address to send to: {0:?}; name one IP address of one host")]
    Address(String),
    /// The address is of the other family than ours.
    #[error("{0} cannot be reached from {1}: both ends need the same IP version")]
    Family(IpAddr, IpAddr),
    /// An answer has not the lines of its offer.
    #[error("the answer has {answered} lines of media, the offer had {offered}")]
    Lines {
        /// How many we sent.
        offered: usize,
        /// How many came.
        answered: usize,
    },
}

impl Refusal {
    /// The code of a SIP `Warning` header (RFC 3261, 20.43).
    pub fn warning(&self) -> u16 {
        match self {
            Self::TooLong | Self::Malformed(_) | Self::Lines { .. } => 399,
            Self::NoAudio => 304,
            Self::Transport(_) => 302,
            Self::Codec => 305,
            Self::Address(_) => 301,
            Self::Family(..) => 300,
        }
    }
}

/// No phone's description comes near to this.
pub const BYTES_MAX: usize = 16_384;

/// Lines of media; each is answered.
pub const LINES_MAX: usize = 16;

/// What we offer, in this order.
const OFFER: [(u8, Payload); 3] =
    [(0, Payload::Sound(Law::Mu)), (8, Payload::Sound(Law::A)), (101, Payload::Events)];

/// The only kind of sound that we speak.
const TRANSPORT: &str = "RTP/AVP";

impl Negotiation {
    /// Before the first offer.
    pub fn new(local: Local) -> Self {
        Self {
            local,
            version: 1,
            lines: vec![String::new()],
            sound: 0,
            payloads: OFFER.to_vec(),
            sent: None,
            agreed: None,
        }
    }

    /// Takes an offer, the first one or another. Answers the description to send, and what is
    /// agreed with it.
    ///
    /// The first line of sound that we can speak is taken, the others are declined. The offerer's
    /// order and numbers are kept.
    ///
    /// # Errors
    ///
    /// None of its lines will do; what is said is the fault of the first line of sound.
    pub fn answer(&mut self, offer: &[u8]) -> Result<(String, Agreed), Refusal> {
        let session = parse(offer)?;
        let mut fault = None;
        let (sound, far) = session
            .medias
            .iter()
            .enumerate()
            .find_map(|(line, media)| match Far::of(&session, media, &self.local, &OFFER) {
                Ok(far) => Some((line, far?)),
                Err(refusal) => {
                    fault.get_or_insert(refusal);
                    None
                }
            })
            .ok_or_else(|| fault.unwrap_or(Refusal::NoAudio))?;

        let declined = |it: &Media| format!("m={} 0 {} {}\r\n", it.media, it.proto, it.fmt);
        self.lines = session.medias.iter().map(declined).collect();
        self.sound = sound;
        self.payloads = far.payloads.clone();
        let agreed = far.agreed(&[]);
        self.agreed = Some(agreed.clone());
        Ok((self.describe(agreed.direction, agreed.rtcp_mux), agreed))
    }

    /// Makes an offer: the first one, if the other end has sent none; later on what was said last.
    pub fn offer(&mut self) -> String {
        match &self.sent {
            Some(sent) => self.with_origin(sent),
            None => self.describe(Direction::SendRecv, false),
        }
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    ///
    /// It does not answer what was offered.
    pub fn accept(&mut self, answer: &[u8]) -> Result<Agreed, Refusal> {
        let session = parse(answer)?;
        let (offered, answered) = (self.lines.len(), session.medias.len());
        if offered != answered {
            return Err(Refusal::Lines { offered, answered });
        }
        let media = &session.medias[self.sound];
        let far = Far::of(&session, media, &self.local, &self.payloads)?;
        let agreed = far.ok_or(Refusal::NoAudio)?.agreed(&self.payloads);
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    /// What was agreed on last.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Writes a description. Its version rises if it says something else than the one before.
    fn describe(&mut self, direction: Direction, rtcp_mux: bool) -> String {
        let mut text = format!("s=-\r\nc=IN {}\r\nt=0 0\r\n", address_of(self.local.address));
        for (line, declined) in self.lines.iter().enumerate() {
            match line == self.sound {
                true => self.describe_sound(&mut text, direction, rtcp_mux),
                false => text.push_str(declined),
            }
        }
        if self.sent.as_ref().is_some_and(|sent| *sent != text) {
            self.version += 1;
        }
        let description = self.with_origin(&text);
        self.sent = Some(text);
        description
    }

    fn describe_sound(&self, text: &mut String, direction: Direction, rtcp_mux: bool) {
        let _ = write!(text, "m=audio {} {TRANSPORT}", self.local.port);
        for (number, _) in &self.payloads {
            let _ = write!(text, " {number}");
        }
        text.push_str("\r\n");
        for (number, payload) in &self.payloads {
            let _ = match payload {
                Payload::Sound(law) => write!(text, "a=rtpmap:{number} {}/8000\r\n", law.name()),
                Payload::Events => write!(
                    text,
                    "a=rtpmap:{number} telephone-event/8000\r\na=fmtp:{number} 0-15\r\n"
                ),
            };
        }
        let _ = write!(text, "a=ptime:20\r\na={}\r\n", direction.name());
        if rtcp_mux {
            text.push_str("a=rtcp-mux\r\n");
        }
    }

    fn with_origin(&self, text: &str) -> String {
        let Local { address, session, .. } = self.local;
        let origin = format!("o=conflow {session} {} IN {}", self.version, address_of(address));
        format!("v=0\r\n{origin}\r\n{text}")
    }
}

impl Direction {
    /// As an attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether we send, if this is ours.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the far end sends, if this is ours.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

fn address_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(it) => format!("IP4 {it}"),
        IpAddr::V6(it) => format!("IP6 {it}"),
    }
}

fn parse(text: &[u8]) -> Result<Session, Refusal> {
    if BYTES_MAX < text.len() {
        return Err(Refusal::TooLong);
    }
    let session = Session::parse(text).map_err(|it| Refusal::Malformed(it.to_string()))?;
    if LINES_MAX < session.medias.len() {
        return Err(Refusal::TooLong);
    }
    Ok(session)
}

/// A line of sound of the far end's that will do.
struct Far {
    remote: Option<SocketAddr>,
    remote_rtcp: Option<SocketAddr>,
    rtcp_mux: bool,
    /// In its order; there is sound among them.
    payloads: Vec<(u8, Payload)>,
    law: (u8, Law),
    /// Seen from there.
    direction: Direction,
}

impl Far {
    /// None: the line is not sound, or it is declined.
    fn of(
        session: &Session,
        media: &Media,
        local: &Local,
        known: &[(u8, Payload)],
    ) -> Result<Option<Self>, Refusal> {
        if !media.media.eq_ignore_ascii_case("audio") || media.port == 0 {
            return Ok(None);
        }
        if !media.proto.eq_ignore_ascii_case(TRANSPORT) {
            return Err(Refusal::Transport(media.proto.clone()));
        }
        let payloads = payloads_of(media, known);
        let sound = payloads.iter().find_map(|(number, payload)| match payload {
            Payload::Sound(law) => Some((*number, *law)),
            Payload::Events => None,
        });
        let ip = ip_of(session, media, local)?;
        let (remote, remote_rtcp) = ends_of(media, ip);
        Ok(Some(Self {
            remote,
            remote_rtcp,
            rtcp_mux: media.has_attribute("rtcp-mux"),
            law: sound.ok_or(Refusal::Codec)?,
            payloads,
            direction: direction_of(session, media),
        }))
    }

    /// `ours` are the numbers of our offer, if it was ours.
    fn agreed(self, ours: &[(u8, Payload)]) -> Agreed {
        let has_address = self.remote.is_some();
        let events = self.payloads.iter().find(|it| it.1 == Payload::Events).map(|it| it.0);
        let is_agreed = |it: &&(u8, Payload)| self.payloads.iter().any(|far| far.1 == it.1);
        let mut accepts: Vec<_> = ours.iter().filter(is_agreed).copied().collect();
        for far in &self.payloads {
            if accepts.iter().all(|it| it.0 != far.0) {
                accepts.push(*far);
            }
        }
        Agreed {
            remote: self.remote,
            remote_rtcp: self.remote_rtcp,
            rtcp_mux: self.rtcp_mux,
            law: self.law.1,
            payload_type: self.law.0,
            events,
            accepts,
            direction: Direction::of(
                self.direction.receives() && has_address,
                self.direction.sends(),
            ),
            held: !self.direction.receives() || !has_address,
        }
    }
}

/// What the line has of the payloads we know, in its order; one number for each.
fn payloads_of(media: &Media, known: &[(u8, Payload)]) -> Vec<(u8, Payload)> {
    let mut payloads: Vec<(u8, Payload)> = Vec::new();
    for number in media.fmt.split_ascii_whitespace().filter_map(|it| it.parse().ok()) {
        let payload = payload_of(media, number).filter(|it| known.iter().any(|our| our.1 == *it));
        if let Some(payload) = payload
            && payloads.iter().all(|it| it.0 != number && it.1 != payload)
        {
            payloads.push((number, payload));
        }
    }
    payloads
}

/// By its `rtpmap` (`97 PCMA/8000/1`), or by its number if it needs none.
fn payload_of(media: &Media, number: u8) -> Option<Payload> {
    // Above 127 there is no bit for it in a packet.
    if 127 < number {
        return None;
    }
    let map = media.get_attribute_values("rtpmap").flatten().find_map(|it| {
        let (its_number, encoding) = it.trim().split_once(' ')?;
        (its_number.parse() == Ok(number)).then_some(encoding.trim())
    });
    let Some(encoding) = map else {
        return Law::of_payload_type(number).map(Payload::Sound);
    };
    let encoding = encoding.to_ascii_uppercase();
    match encoding.strip_suffix("/1").unwrap_or(&encoding) {
        "PCMU/8000" => Some(Payload::Sound(Law::Mu)),
        "PCMA/8000" => Some(Payload::Sound(Law::A)),
        "TELEPHONE-EVENT/8000" => Some(Payload::Events),
        _ => None,
    }
}

/// None: a hold of the old kind (RFC 3264, 8.4).
fn ip_of(session: &Session, media: &Media, local: &Local) -> Result<Option<IpAddr>, Refusal> {
    let connection = media.connections.first().or(session.connection.as_ref());
    let text = connection.map(|it| it.connection_address.as_str()).unwrap_or_default();
    let ip: IpAddr = text.parse().map_err(|_| Refusal::Address(text.to_owned()))?;
    let is_broadcast = matches!(ip, IpAddr::V4(it) if it.is_broadcast());
    if ip.is_multicast() || is_broadcast {
        return Err(Refusal::Address(text.to_owned()));
    }
    if ip.is_unspecified() {
        return Ok(None);
    }
    match ip.is_ipv4() == local.address.is_ipv4() {
        true => Ok(Some(ip)),
        false => Err(Refusal::Family(ip, local.address)),
    }
}

/// Of RTP and RTCP. `a=rtcp:4001` may name another port (RFC 3605); that it may name another
/// address is not followed: reports go where the sound goes.
fn ends_of(media: &Media, ip: Option<IpAddr>) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let named = || {
        let value = media.get_first_attribute_value("rtcp")??;
        value.split_ascii_whitespace().next()?.parse().ok().filter(|port| *port != 0)
    };
    let rtcp_port = match media.has_attribute("rtcp-mux") {
        true => media.port,
        false => named().unwrap_or_else(|| media.port.saturating_add(1)),
    };
    (ip.map(|ip| SocketAddr::new(ip, media.port)), ip.map(|ip| SocketAddr::new(ip, rtcp_port)))
}

/// The line's own, or the session's, or both ways.
fn direction_of(session: &Session, media: &Media) -> Direction {
    let of = |has: &dyn Fn(&str) -> bool| Direction::ALL.into_iter().find(|it| has(it.name()));
    of(&|name| media.has_attribute(name))
        .or_else(|| of(&|name| session.has_attribute(name)))
        .unwrap_or(Direction::SendRecv)
}
