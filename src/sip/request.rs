//! SIP requests: checks the headers that every request must have, and builds replies.

use std::net::SocketAddr;

use super::{
    error::SipError,
    header_value::{CSeq, NameAddr, Via, parse_number},
    message::{SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    uri::{SipUri, Uri, split_unquoted},
};

/// The path of a message: transport, socket and both addresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Hop {
    /// UDP, TCP or TLS, as Via names it.
    pub transport: Transport,
    /// Number of our socket (UDP) or connection (TCP, TLS); unique for the life of the process.
    pub link: u64,
    /// Our address, as the far end reaches it (never the unspecified address).
    pub local: SocketAddr,
    /// The far end's address: the source of what it sends.
    pub remote: SocketAddr,
}

/// Transport protocol of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// Datagrams: lost messages are retransmitted.
    Udp,
    /// A stream: nothing is lost.
    Tcp,
    /// A stream that is encrypted.
    Tls,
}

impl Transport {
    /// Returns the name that Via uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Whether it is a connection, on which nothing is lost and nothing is sent again.
    pub fn is_stream(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

impl Hop {
    /// Whether it is over this connection.
    pub fn is_over(&self, link: u64) -> bool {
        self.transport.is_stream() && self.link == link
    }

    /// Whether a URI may stand where it is to be reached over this hop: `sips:` needs TLS.
    pub fn may_name(&self, uri: &SipUri) -> bool {
        !uri.is_secure || self.transport == Transport::Tls
    }
}

/// A request that has all required headers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SipRequest {
    /// The complete message as received.
    pub message: SipMessage,
    /// The method; CSeq names the same one.
    pub method: SipMethod,
    /// The Request-URI, without headers.
    pub uri: Uri,
    /// The topmost Via: the sender's.
    pub via: Via,
    /// The From header: the caller.
    pub from: NameAddr,
    /// The To header; has a tag within a dialog.
    pub to: NameAddr,
    /// The Call-ID, which identifies the dialog or registration.
    pub call_id: String,
    /// The CSeq number; rises with each request of a dialog.
    pub cseq: u32,
}

impl SipRequest {
    /// Checks a message for what RFC 3261 demands of all requests.
    ///
    /// # Errors
    ///
    /// A header is missing, malformed, or present twice.
    pub fn read(message: SipMessage) -> Result<Self, InvalidRequest> {
        match RequestParts::read(&message) {
            Ok(RequestParts { method, uri, via, from, to, call_id, cseq }) => {
                Ok(Self { message, method, uri, via, from, to, call_id, cseq })
            }
            Err(error) => Err(InvalidRequest { error, message: Box::new(message) }),
        }
    }

    /// Returns the first value of a header.
    pub fn get(&self, name: &HeaderName) -> Option<&str> {
        self.message.get(name)
    }

    /// Returns the first Contact that can be read.
    ///
    /// # Errors
    ///
    /// There is no Contact, or none can be read.
    pub fn contact(&self) -> Result<NameAddr, ContactError> {
        contact_of(&self.message)
    }

    /// Whether Max-Forwards says that no hop is left. Without it, or with one that cannot be read,
    /// there are some: only a proxy needs to know.
    pub fn is_spent(&self) -> bool {
        self.get(&HeaderName::MaxForwards).and_then(parse_number) == Some(0)
    }

    /// Builds a reply. `tag` is our To tag, used if the request has none.
    pub fn reply(&self, hop: &Hop, code: u16, tag: &str) -> SipMessage {
        reply(&self.message, hop, code, phrase(code), tag)
    }
}

/// Returns the first Contact of a message that can be read.
///
/// # Errors
///
/// There is no Contact, or none can be read.
pub fn contact_of(message: &SipMessage) -> Result<NameAddr, ContactError> {
    let mut all = message.all(&HeaderName::Contact).peekable();
    all.peek().ok_or(ContactError::Missing)?;
    let first = |text| split_unquoted(text, b',').ok()?.first().copied();
    all.find_map(|text| NameAddr::parse(first(text)?).ok()).ok_or(ContactError::Unreadable)
}

/// Why a message has no usable Contact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContactError {
    /// It has no such header.
    Missing,
    /// None of its values is an address.
    Unreadable,
}

/// A request that can be answered but not processed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidRequest {
    /// The error to answer with.
    pub error: SipError,
    /// The complete message as received.
    pub message: Box<SipMessage>,
}

/// The parts that [`SipRequest::read`] takes out of a message.
struct RequestParts {
    method: SipMethod,
    uri: Uri,
    via: Via,
    from: NameAddr,
    to: NameAddr,
    call_id: String,
    cseq: u32,
}

impl RequestParts {
    fn read(message: &SipMessage) -> Result<Self, SipError> {
        if let Some(error) = message.error {
            return Err(error);
        }
        let StartLine::Request { method, uri } = &message.start else {
            return Err(SipError::bad_request("a response"));
        };
        let via = top_via(message)?;
        if via.params.get("branch") == Some(super::header_value::COOKIE) {
            return Err(SipError::bad_request("branch without a transaction"));
        }
        let from = NameAddr::parse(single_header(message, &HeaderName::From)?)?;
        let to = NameAddr::parse(single_header(message, &HeaderName::To)?)?;
        let call_id = single_header(message, &HeaderName::CallId)?.to_owned();
        if call_id.is_empty() {
            return Err(SipError::bad_request("bad Call-ID"));
        }
        let cseq = CSeq::parse(single_header(message, &HeaderName::CSeq)?)?;
        if cseq.method != *method {
            return Err(SipError::bad_request("CSeq of another method"));
        }
        if !message.body.is_empty() && message.get(&HeaderName::ContentType).is_some() {
            single_header(message, &HeaderName::ContentType)?;
        }
        let uri = Uri::parse(uri)?;
        match uri.sip() {
            Some(it) if it.headers.is_some() => {
                Err(SipError::bad_request("headers in the Request-URI"))
            }
            Some(_) | None => {
                Ok(Self { method: method.clone(), uri, via, from, to, call_id, cseq: cseq.number })
            }
        }
    }
}

const TWICE: SipError = SipError::bad_request("two values where one must be");

/// Returns the value of a header that must occur once. Another one with the same value does no harm.
fn single_header<'a>(message: &'a SipMessage, name: &HeaderName) -> Result<&'a str, SipError> {
    let mut values = message.all(name);
    let value = values.next().ok_or(SipError::bad_request("no From, To, Call-ID or CSeq"))?;
    match values.all(|it| it == value) {
        true => Ok(value),
        false => Err(TWICE),
    }
}

/// Returns the topmost Via. One header may hold a list.
///
/// # Errors
///
/// It is missing or malformed. Then the request cannot be answered.
pub fn top_via(message: &SipMessage) -> Result<Via, SipError> {
    let text = message.get(&HeaderName::Via).ok_or(SipError::bad_request("no Via"))?;
    let first = split_unquoted(text, b',').map(|it| it[0]);
    Via::parse(first.unwrap_or_else(|_| text.split(',').next().unwrap_or(text)))
}

/// Builds a reply to a message with a Via (RFC 3261, 8.2.6; RFC 3581 for the Via).
pub fn reply(request: &SipMessage, hop: &Hop, code: u16, reason: &str, tag: &str) -> SipMessage {
    let mut reply = SipMessage::new(StartLine::Status { code, reason: reason.to_owned() });
    for (at, via) in request.all(&HeaderName::Via).enumerate() {
        match at {
            0 => reply.push(HeaderName::Via, with_received(via, hop)),
            _ => reply.push(HeaderName::Via, via),
        }
    }
    for name in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        let Some(value) = request.get(&name) else { continue };
        let needs_tag = name == HeaderName::To
            && code > 100
            && NameAddr::parse(value).is_ok_and(|to| to.tag().is_none());
        match needs_tag {
            true => reply.push(name, format!("{value};tag={tag}")),
            false => reply.push(name, value),
        }
    }
    reply.push(HeaderName::Server, super::SERVER);
    reply
}

/// Returns the hop of a reply: back to the source (`rport`, streams), or to the port in Via.
pub fn reply_hop(via: &Via, hop: &Hop) -> Hop {
    if hop.transport != Transport::Udp || via.params.get("rport").is_some() {
        return *hop;
    }
    let port = via.port.unwrap_or(super::PORT_DEFAULT);
    Hop { remote: SocketAddr::new(hop.remote.ip(), port), ..*hop }
}

/// Adds the source address to the topmost Via, unless it is the same.
fn with_received(value: &str, hop: &Hop) -> String {
    let Ok(parts) = split_unquoted(value, b',') else { return value.to_owned() };
    let (first, rest) = (parts[0], &value[parts[0].len()..]);
    let Ok(via) = Via::parse(first) else { return value.to_owned() };
    let has_rport = via.params.get("rport").is_some();
    if !has_rport && via.host.address() == Some(hop.remote.ip()) {
        return value.to_owned();
    }
    // The sender's own `received` and `rport` are replaced.
    let is_ours = |it: &&str| {
        let name = it.split('=').next().unwrap_or(it).trim();
        !["rport", "received"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
    };
    let mut parts = first.split(';').map(str::trim).filter(|it| !it.is_empty()).enumerate();
    let mut text = parts.next().map(|(_, it)| it.to_owned()).unwrap_or_default();
    for (_, part) in parts.filter(|(_, it)| is_ours(it)) {
        text.push(';');
        text.push_str(part);
    }
    text.push_str(&format!(";received={}", hop.remote.ip()));
    if has_rport {
        text.push_str(&format!(";rport={}", hop.remote.port()));
    }
    text.push_str(rest);
    text
}

/// Returns the phrase of a status code that we send.
pub fn phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Refused",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn hop() -> Hop {
        Hop {
            transport: Transport::Udp,
            link: 0,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "192.0.2.9:40000".parse().unwrap(),
        }
    }

    const GOOD: &str = "INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP x;rport;branch=z9hG4bK1, SIP/2.0/UDP y\n\
        Via: SIP/2.0/UDP z\nFrom: <sip:c@d>;tag=1\nTo: <sip:a@b>\nCall-ID: i\nCSeq: 1 INVITE\n\
        Max-Forwards: 70\n\n";

    fn read(text: &str) -> Result<SipRequest, SipError> {
        let message = SipMessage::parse(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap();
        SipRequest::read(message).map_err(|it| it.error)
    }

    #[test]
    fn a_reply_goes_back_to_its_sender() {
        let request = read(GOOD).unwrap();
        let reply = request.reply(&hop(), 180, "me");
        let vias: Vec<_> = reply.all(&HeaderName::Via).collect();
        let first = "SIP/2.0/UDP x;branch=z9hG4bK1;received=192.0.2.9;rport=40000, SIP/2.0/UDP y";
        assert_eq!(vias, [first, "SIP/2.0/UDP z"]);
        assert_eq!(reply.get(&HeaderName::To), Some("<sip:a@b>;tag=me"));
        assert_eq!(reply_hop(&request.via, &hop()), hop());
    }

    #[test]
    fn what_a_sender_claims_of_its_source_is_not_repeated() {
        let claim = "x;rport=1;received=6.6.6.6";
        let request = read(&GOOD.replace("x;rport", claim)).unwrap();
        let reply = request.reply(&hop(), 200, "me");
        let first = "SIP/2.0/UDP x;branch=z9hG4bK1;received=192.0.2.9;rport=40000, SIP/2.0/UDP y";
        assert_eq!(reply.get(&HeaderName::Via), Some(first));
    }

    #[test]
    fn without_rport_the_reply_goes_to_the_port_that_via_names() {
        let request = read(&GOOD.replace("x;rport", "x:5099")).unwrap();
        assert_eq!(reply_hop(&request.via, &hop()).remote, "192.0.2.9:5099".parse().unwrap());
        let request = read(&GOOD.replace("x;rport", "x")).unwrap();
        assert_eq!(reply_hop(&request.via, &hop()).remote, "192.0.2.9:5060".parse().unwrap());
    }

    #[test]
    fn headers_that_no_call_needs_may_be_odd() {
        for (from, to) in [
            ("Max-Forwards: 70", "Max-Forwards: 70\nMax-Forwards: 1"),
            ("Max-Forwards: 70", "Max-Forwards: many\nExpires: 1\nExpires: never"),
            ("Max-Forwards: 70", "Route: <\nRecord-Route: ;;\nContact: \nSupported: ,,\nDate: \""),
            ("Call-ID: i", "Call-ID: i\nCall-ID: i"),
            ("Call-ID: i", "Call-ID: i j"),
            ("x;rport;branch", "x;;rport; ;branch"),
            ("<sip:c@d>", "\"\x01\u{85}\" <sip:c@d>"),
            ("<sip:c@d>", "M\u{fc}ller (B\u{fc}ro), Hans <sip:c@d>"),
        ] {
            let request = read(&GOOD.replace(from, to)).unwrap();
            assert_eq!((request.via.branch(), request.from.tag()), (Some("z9hG4bK1"), Some("1")));
            assert!(!request.is_spent(), "{to}");
        }
        assert!(read(&GOOD.replace("70", "0")).unwrap().is_spent());
    }

    #[test]
    fn a_request_without_what_all_must_have_is_refused() {
        for (from, to) in [
            ("From:", "X:"),
            ("To:", "X:"),
            ("Call-ID:", "X:"),
            ("CSeq:", "X:"),
            ("Via:", "X:"),
            ("1 INVITE", "1 BYE"),
            ("1 INVITE", "9999999999 INVITE"),
            ("From:", "To: <sip:e@f>\nFrom:"),
            ("INVITE sip:a@b", "INVITE sip:a@b?Route=x"),
            ("INVITE sip:a@b", "INVITE <sip:a@b>"),
            ("branch=z9hG4bK1", "branch=z9hG4bK"),
            ("Call-ID: i", "Call-ID: i\nCall-ID: j"),
            ("Call-ID: i", "Call-ID:"),
            ("sip:a@b SIP", "sip:a\x01@b SIP"),
        ] {
            assert!(read(GOOD).is_ok());
            let text = GOOD.replace(from, to);
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
