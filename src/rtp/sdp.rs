//! SDP: the offers and answers by which two ends agree on media (RFC 3264, RFC 8866).
//!
//! Each call has one [`Negotiation`]. The signalling gives it every offer ([`Negotiation::answer`])
//! and every answer ([`Negotiation::accept`]), sends the description that it writes, and hands the
//! result, [`Agreed`], to the leg. A refusal changes nothing: the previous agreement still holds.
//!
//! Only what the sound needs can be refused: an audio line with a port, a profile and a codec of
//! ours. Any other line may be odd.

pub mod crypto;
mod encryption;
mod lines;
mod refusal;
pub mod row;

use std::{
    fmt::{self, Write},
    net::{IpAddr, SocketAddr},
};

pub use self::refusal::{BYTES_MAX, LINES_MAX, PROFILES, Refusal, SECURE_PROFILES};
use self::{
    crypto::{CryptoLine, SrtpKeys, SrtpPolicy, SrtpSecret},
    lines::{Description, MediaLine},
};
use super::g711::Law;

/// The offer and answer state of one call. `Debug` does not show our description, which has a key.
#[derive(Clone)]
pub struct Negotiation {
    local: LocalMedia,
    version: u64,
    /// The media lines in all descriptions of this call; `sound` is the index of the audio line.
    lines: Vec<String>,
    sound: usize,
    /// The profile of the audio line.
    profile: &'static str,
    /// Whether sound is encrypted, and the number of which our keys follow. None: never.
    srtp: Option<(SrtpPolicy, SrtpSecret)>,
    /// The `a=crypto` lines in our last description; empty if its sound is plain.
    crypto: String,
    /// Length of the packets that we send, in ms.
    packet_ms: u8,
    /// The payload types in our last description.
    payloads: Vec<(u8, Payload)>,
    /// Our last description, without its origin line.
    sent: Option<String>,
    agreed: Option<Agreed>,
}

/// Our end of the media: the address and ports that we announce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalMedia {
    /// The address under which the far end can reach us.
    pub address: IpAddr,
    /// The RTP port. RTCP uses the next port, unless the two are multiplexed.
    pub port: u16,
    /// The session id in the `o=` line: a random number, below 2⁶³ for old parsers.
    pub session: u64,
}

/// The result of an offer and its answer.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Agreed {
    /// Address to send RTP to. None: an old-style hold, without an address.
    pub remote: Option<SocketAddr>,
    /// The address that the description names, whether or not it can be reached. None if it names
    /// none that can be read.
    pub named: Option<IpAddr>,
    /// Address to send RTCP to. None when `remote` is None.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share one port, at both ends.
    pub rtcp_mux: bool,
    /// The law in which we send.
    pub law: Law,
    /// The payload type number for `law`.
    pub payload_type: u8,
    /// Length of the packets that we send, in ms: 20, or less if the far end says so (`maxptime`).
    pub packet_ms: u8,
    /// The payload type of telephone events that we send. None if the far end accepts none.
    pub events: Option<u8>,
    /// The payload types that we accept, and their contents.
    pub accepts: Vec<(u8, Payload)>,
    /// Direction of the media, seen from our side.
    pub direction: MediaDirection,
    /// The far end has put us on hold.
    pub held: bool,
    /// The keys of both ends. None: the sound is plain.
    pub srtp: Option<SrtpKeys>,
}

impl Agreed {
    /// Returns the contents of a payload type. None if it was not agreed on.
    pub fn payload(&self, payload_type: u8) -> Option<Payload> {
        self.accepts.iter().find(|it| it.0 == payload_type).map(|it| it.1)
    }
}

/// The contents of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Payload {
    /// Audio in G.711, by either of its laws.
    Sound(Law),
    /// Key presses (RFC 4733).
    Events,
}

/// Direction of media (RFC 8866, 6.7), seen from the end that wrote the description.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum MediaDirection {
    /// Both ends send; the default.
    SendRecv,
    /// Only the end that wrote the description sends.
    SendOnly,
    /// Only the other end sends.
    RecvOnly,
    /// Neither end sends: a hold in both directions.
    Inactive,
}

/// The payload types that we offer, in order of preference.
const OFFER: [(u8, Payload); 3] =
    [(0, Payload::Sound(Law::Mu)), (8, Payload::Sound(Law::A)), (101, Payload::Events)];

/// Length of a frame, and of the packets that we receive, in ms.
const FRAME_MS: u8 = 20;

/// The address to send to, for the one that a description names (None if it cannot be read). The
/// signalling decides it: it knows where the far end is.
pub type MediaRoute<'a> = &'a dyn Fn(Option<IpAddr>) -> IpAddr;

impl Negotiation {
    /// Starts a negotiation without an offer yet.
    pub fn new(local: LocalMedia) -> Self {
        Self {
            local,
            version: 1,
            lines: vec![String::new()],
            sound: 0,
            profile: PROFILES[0],
            srtp: None,
            crypto: String::new(),
            packet_ms: FRAME_MS,
            payloads: OFFER.to_vec(),
            sent: None,
            agreed: None,
        }
    }

    /// Offers these codecs alone, in this order.
    pub fn prefer(&mut self, codecs: &[Law]) {
        let sound = codecs.iter().map(|law| Payload::Sound(*law));
        let wanted = sound.chain([Payload::Events]);
        let row = |it| OFFER.into_iter().find(|(_, payload)| *payload == it);
        self.payloads = wanted.filter_map(row).collect();
    }

    /// Takes an offer, the first one or a later one. Returns the description to send, and the
    /// agreement.
    ///
    /// Takes the first audio line that we support and declines the others. Keeps the offerer's
    /// order and payload type numbers. A new `route` counts from the next description on.
    ///
    /// # Errors
    ///
    /// No line is acceptable; the refusal is that of the first audio line.
    pub fn answer(
        &mut self,
        offer: &[u8],
        route: MediaRoute<'_>,
    ) -> Result<(String, Agreed), Refusal> {
        let text = String::from_utf8_lossy(offer);
        let session = parse(&text)?;
        let mut first_refusal = None;
        let (sound, remote) = session
            .medias
            .iter()
            .enumerate()
            .find_map(|(line, media)| {
                let far = RemoteMedia::of(&session, media, route, &OFFER);
                match far.and_then(|far| far.map(|it| self.decided(it)).transpose()) {
                    Ok(far) => Some((line, far?)),
                    Err(refusal) => {
                        first_refusal.get_or_insert(refusal);
                        None
                    }
                }
            })
            .ok_or_else(|| first_refusal.unwrap_or(Refusal::NoAudio))?;

        self.lines = session.medias.iter().map(MediaLine::declined).collect();
        self.sound = sound;
        (self.profile, self.packet_ms) = (remote.profile, remote.packet_ms);
        self.payloads = remote.payloads.clone();
        let (keys, crypto) = self.answer_crypto(&remote).unzip();
        self.crypto = crypto.unwrap_or_default();
        let agreed = Agreed { srtp: keys, ..remote.agreed(&[]) };
        self.agreed = Some(agreed.clone());
        Ok((self.describe(agreed.direction, agreed.rtcp_mux), agreed))
    }

    /// Makes an offer: the first one, or our last description again.
    pub fn offer(&mut self) -> String {
        match &self.sent {
            Some(sent) => self.with_origin(sent),
            None => {
                self.offer_crypto();
                self.describe(MediaDirection::SendRecv, false)
            }
        }
    }

    /// Takes the answer to our offer, and returns the agreement.
    ///
    /// # Errors
    ///
    /// The answer does not fit the offer.
    pub fn accept(&mut self, answer: &[u8], route: MediaRoute<'_>) -> Result<Agreed, Refusal> {
        let text = String::from_utf8_lossy(answer);
        let session = parse(&text)?;
        let (offered, answered) = (self.lines.len(), session.medias.len());
        if offered != answered {
            return Err(Refusal::Lines { offered, answered });
        }
        let media = &session.medias[self.sound];
        let remote = RemoteMedia::of(&session, media, route, &self.payloads)?;
        let mut remote = remote.ok_or(Refusal::NoAudio)?;
        let srtp = self.accept_crypto(&mut remote)?;
        let agreed = Agreed { srtp, ..remote.agreed(&self.payloads) };
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    /// Returns the latest agreement. None before the first one.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Writes a description. Its version rises if the text differs from the one before.
    fn describe(&mut self, direction: MediaDirection, rtcp_mux: bool) -> String {
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

    fn describe_sound(&self, text: &mut String, direction: MediaDirection, rtcp_mux: bool) {
        let _ = write!(text, "m=audio {} {}", self.local.port, self.profile);
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
        let _ = write!(text, "a=ptime:{}\r\na={}\r\n", self.packet_ms, direction.name());
        if rtcp_mux {
            text.push_str("a=rtcp-mux\r\n");
        }
        text.push_str(&self.crypto);
    }

    fn with_origin(&self, text: &str) -> String {
        let LocalMedia { address, session, .. } = self.local;
        let origin = format!("o=conflow {session} {} IN {}", self.version, address_of(address));
        format!("v=0\r\n{origin}\r\n{text}")
    }
}

impl fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiation").field("agreed", &self.agreed).finish_non_exhaustive()
    }
}

impl MediaDirection {
    /// Returns the SDP attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the end that wrote the description sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the end that wrote the description receives.
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

fn parse(text: &str) -> Result<Description<'_>, Refusal> {
    if BYTES_MAX < text.len() {
        return Err(Refusal::TooLong);
    }
    let session = Description::parse(text).ok_or(Refusal::Malformed)?;
    if LINES_MAX < session.medias.len() {
        return Err(Refusal::TooLong);
    }
    Ok(session)
}

/// An acceptable audio line of the far end.
struct RemoteMedia {
    remote: Option<SocketAddr>,
    remote_rtcp: Option<SocketAddr>,
    named: Option<IpAddr>,
    rtcp_mux: bool,
    profile: &'static str,
    /// The first key that we can use.
    crypto: Option<CryptoLine>,
    packet_ms: u8,
    /// In the far end's order; at least one is audio.
    payloads: Vec<(u8, Payload)>,
    law: (u8, Law),
    /// Seen from the far end.
    direction: MediaDirection,
}

impl RemoteMedia {
    /// None if the line is not audio, or is declined.
    fn of(
        session: &Description<'_>,
        media: &MediaLine<'_>,
        route: MediaRoute<'_>,
        known: &[(u8, Payload)],
    ) -> Result<Option<Self>, Refusal> {
        if !media.is_audio() || media.port == 0 {
            return Ok(None);
        }
        let mut profiles = PROFILES.into_iter().chain(SECURE_PROFILES);
        let profile = profiles
            .find(|it| it.eq_ignore_ascii_case(media.profile))
            .ok_or_else(|| Refusal::Transport(media.profile.to_owned()))?;
        let payloads = payloads_of(media, known);
        let sound = payloads.iter().find_map(|(number, payload)| match payload {
            Payload::Sound(law) => Some((*number, *law)),
            Payload::Events => None,
        });
        let named = session.address(media);
        // An unspecified address is an old-style hold (RFC 3264, 8.4).
        let is_held = named.is_some_and(|it| it.is_unspecified());
        let (remote, remote_rtcp) = ends_of(media, (!is_held).then(|| route(named)));
        Ok(Some(Self {
            remote,
            remote_rtcp,
            named,
            rtcp_mux: media.attribute("rtcp-mux").is_some(),
            profile,
            crypto: crypto::chosen(media),
            packet_ms: packet_ms(session.attribute(media, "maxptime")),
            law: sound.ok_or(Refusal::Codec)?,
            payloads,
            direction: direction_of(session, media),
        }))
    }

    /// `ours` are the payload types of our offer; empty if the far end offered.
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
            named: self.named,
            rtcp_mux: self.rtcp_mux,
            law: self.law.1,
            payload_type: self.law.0,
            packet_ms: self.packet_ms,
            events,
            accepts,
            direction: MediaDirection::of(
                self.direction.receives() && has_address,
                self.direction.sends(),
            ),
            held: !self.direction.receives() || !has_address,
            srtp: None,
        }
    }
}

/// The length of packets that a `maxptime` in ms allows (RFC 8866, 6.5): a half or a quarter of a
/// frame if need be. Nothing that phones can do is shorter.
fn packet_ms(maxptime: Option<&str>) -> u8 {
    match maxptime.and_then(|it| it.trim().parse::<f32>().ok()) {
        Some(max) if 0.0 < max && max < 10.0 => FRAME_MS / 4,
        Some(max) if (10.0..20.0).contains(&max) => FRAME_MS / 2,
        Some(_) | None => FRAME_MS,
    }
}

/// The payloads of a line that are among `known`, in the line's order; one number for each.
fn payloads_of(media: &MediaLine<'_>, known: &[(u8, Payload)]) -> Vec<(u8, Payload)> {
    let mut payloads: Vec<(u8, Payload)> = Vec::new();
    for number in media.payload_types() {
        let payload = payload_of(media, number).filter(|it| known.iter().any(|our| our.1 == *it));
        if let Some(payload) = payload
            && payloads.iter().all(|it| it.0 != number && it.1 != payload)
        {
            payloads.push((number, payload));
        }
    }
    payloads
}

/// Identifies a payload by its `rtpmap` (`97 PCMA/8000/1`), or by its number if it needs none.
fn payload_of(media: &MediaLine<'_>, number: u8) -> Option<Payload> {
    // A packet has seven bits for the payload type.
    if 127 < number {
        return None;
    }
    let map = media.attributes("rtpmap").find_map(|it| {
        let (its_number, encoding) = it.split_once(char::is_whitespace)?;
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

/// Returns the addresses of RTP and RTCP. `a=rtcp:4001` may name another port (RFC 3605). An
/// address in it is ignored: reports go to the host that the sound goes to.
fn ends_of(media: &MediaLine<'_>, ip: Option<IpAddr>) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let named = || {
        let port = media.attribute("rtcp")?.split_ascii_whitespace().next()?.parse().ok();
        port.filter(|port| *port != 0)
    };
    let rtcp_port = match media.attribute("rtcp-mux") {
        Some(_) => media.port,
        None => named().unwrap_or_else(|| media.port.saturating_add(1)),
    };
    (ip.map(|ip| SocketAddr::new(ip, media.port)), ip.map(|ip| SocketAddr::new(ip, rtcp_port)))
}

/// The direction of the line, else of the session, else both ways.
fn direction_of(session: &Description<'_>, media: &MediaLine<'_>) -> MediaDirection {
    let of = |has: &dyn Fn(&str) -> bool| MediaDirection::ALL.into_iter().find(|it| has(it.name()));
    of(&|name| media.attribute(name).is_some())
        .or_else(|| of(&|name| session.attribute(media, name).is_some()))
        .unwrap_or(MediaDirection::SendRecv)
}
