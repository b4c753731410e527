//! A request whose headers hold what every request must, and the replies to it.

use std::net::SocketAddr;

use super::{
    error::Fault,
    message::{Message, Start},
    name::{Method, Name},
    uri::{Uri, split_unquoted},
    value::{CSeq, NameAddr, Via, parse_number},
};

/// Between whom and over what a message travels.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Hop {
    /// Datagrams or a stream.
    pub transport: Transport,
    /// Which socket or connection of ours; good for the life of the process.
    pub link: u64,
    /// Our end, as the far end reaches it (never the unspecified address).
    pub local: SocketAddr,
    /// The far end.
    pub remote: SocketAddr,
}

/// What carries messages.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// Datagrams: what is lost is sent again.
    Udp,
    /// A stream: nothing is lost.
    Tcp,
}

impl Transport {
    /// As Via has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// A request that can be acted upon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// As it came.
    pub message: Message,
    /// What is asked.
    pub method: Method,
    /// Of whom.
    pub uri: Uri,
    /// The topmost.
    pub via: Via,
    /// Who asks.
    pub from: NameAddr,
    /// Who was meant.
    pub to: NameAddr,
    /// Which dialog or registration.
    pub call_id: String,
    /// Which request of it.
    pub cseq: u32,
}

impl Request {
    /// Judges a request by what RFC 3261 asks of all of them.
    ///
    /// # Errors
    ///
    /// It lacks something, or has something twice.
    pub fn read(message: Message) -> Result<Self, Unfit> {
        match Parts::read(&message) {
            Ok(Parts { method, uri, via, from, to, call_id, cseq }) => {
                Ok(Self { message, method, uri, via, from, to, call_id, cseq })
            }
            Err(fault) => Err(Unfit { fault, message: Box::new(message) }),
        }
    }

    /// A header of the request.
    pub fn get(&self, name: &Name) -> Option<&str> {
        self.message.get(name)
    }

    /// The Contact of a request that needs exactly one.
    ///
    /// # Errors
    ///
    /// There is none, or more than one, or it is none.
    pub fn contact(&self) -> Result<NameAddr, Fault> {
        let text = self.get(&Name::Contact).ok_or(Fault::bad("no Contact"))?;
        let mut list = NameAddr::parse_list(text)?;
        match (list.pop(), list.is_empty()) {
            (Some(contact), true) => Ok(contact),
            _ => Err(Fault::bad("more than one Contact")),
        }
    }

    /// The hops left; None if the sender does not say.
    ///
    /// # Errors
    ///
    /// It is no number from 0 to 255.
    pub fn hops_left(&self) -> Result<Option<u32>, Fault> {
        let Some(text) = self.get(&Name::MaxForwards) else { return Ok(None) };
        let hops = parse_number(text).filter(|it| *it <= 255);
        hops.map(Some).ok_or(Fault::bad("bad Max-Forwards"))
    }

    /// A reply to it; `tag` is ours, and left out if the request has one already.
    pub fn reply(&self, hop: &Hop, code: u16, tag: &str) -> Message {
        reply(&self.message, hop, code, phrase(code), tag)
    }
}

/// A request that cannot be acted upon, only answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unfit {
    /// What is wrong with it.
    pub fault: Fault,
    /// As it came.
    pub message: Box<Message>,
}

/// What [`Request::read`] takes out of a message.
struct Parts {
    method: Method,
    uri: Uri,
    via: Via,
    from: NameAddr,
    to: NameAddr,
    call_id: String,
    cseq: u32,
}

impl Parts {
    fn read(message: &Message) -> Result<Self, Fault> {
        if let Some(fault) = message.fault {
            return Err(fault);
        }
        let Start::Request { method, uri } = &message.start else {
            return Err(Fault::bad("a response"));
        };
        let via = top_via(message)?;
        if via.params.get("branch") == Some(super::value::COOKIE) {
            return Err(Fault::bad("branch without a transaction"));
        }
        let from = NameAddr::parse(one(message, &Name::From)?)?;
        let to = NameAddr::parse(one(message, &Name::To)?)?;
        let call_id = one(message, &Name::CallId)?.to_owned();
        if call_id.is_empty() || call_id.contains(char::is_whitespace) {
            return Err(Fault::bad("bad Call-ID"));
        }
        let cseq = CSeq::parse(one(message, &Name::CSeq)?)?;
        if cseq.method != *method {
            return Err(Fault::bad("CSeq of another method"));
        }
        for name in [Name::MaxForwards, Name::ContentType, Name::Expires] {
            if message.all(&name).count() > 1 {
                return Err(TWICE);
            }
        }
        let uri = Uri::parse(uri)?;
        match uri.sip() {
            Some(it) if it.headers.is_some() => Err(Fault::bad("headers in the Request-URI")),
            Some(_) | None => {
                Ok(Self { method: method.clone(), uri, via, from, to, call_id, cseq: cseq.number })
            }
        }
    }
}

const TWICE: Fault = Fault::bad("two values where one must be");

/// The only value of a header that must be there once.
fn one<'a>(message: &'a Message, name: &Name) -> Result<&'a str, Fault> {
    let mut values = message.all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Fault::bad("no From, To, Call-ID or CSeq")),
        (Some(_), Some(_)) => Err(TWICE),
    }
}

/// The topmost Via, where a list may stand in one header.
///
/// # Errors
///
/// There is none, or it is none: such a request cannot be answered.
pub fn top_via(message: &Message) -> Result<Via, Fault> {
    let text = message.get(&Name::Via).ok_or(Fault::bad("no Via"))?;
    Via::parse(split_unquoted(text, b',')?[0])
}

/// A reply to any message that has a Via (RFC 3261, 8.2.6; RFC 3581 for the Via).
pub fn reply(request: &Message, hop: &Hop, code: u16, reason: &str, tag: &str) -> Message {
    let mut reply = Message {
        start: Start::Status { code, reason: reason.to_owned() },
        headers: Vec::with_capacity(12),
        body: Vec::new(),
        fault: None,
    };
    for (at, via) in request.all(&Name::Via).enumerate() {
        match at {
            0 => reply.push(Name::Via, with_received(via, hop)),
            _ => reply.push(Name::Via, via),
        }
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let Some(value) = request.get(&name) else { continue };
        let needs_tag = name == Name::To
            && code > 100
            && NameAddr::parse(value).is_ok_and(|to| to.tag().is_none());
        match needs_tag {
            true => reply.push(name, format!("{value};tag={tag}")),
            false => reply.push(name, value),
        }
    }
    reply.push(Name::Server, super::SERVER);
    reply
}

/// Where the reply to a request goes: back to where it came from, or to the port it names.
pub fn reply_hop(via: &Via, hop: &Hop) -> Hop {
    if hop.transport == Transport::Tcp || via.params.get("rport").is_some() {
        return *hop;
    }
    let port = via.port.unwrap_or(super::PORT_DEFAULT);
    Hop { remote: SocketAddr::new(hop.remote.ip(), port), ..*hop }
}

/// The topmost Via with the source it came from, if it does not say so itself.
fn with_received(value: &str, hop: &Hop) -> String {
    let Ok(parts) = split_unquoted(value, b',') else { return value.to_owned() };
    let (first, rest) = (parts[0], &value[parts[0].len()..]);
    let Ok(via) = Via::parse(first) else { return value.to_owned() };
    let has_rport = via.params.get("rport").is_some();
    if !has_rport && via.host.address() == Some(hop.remote.ip()) {
        return value.to_owned();
    }
    // What the sender claims about its own source is not repeated.
    let is_ours = |it: &&str| {
        let name = it.split('=').next().unwrap_or(it).trim();
        !["rport", "received"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
    };
    let mut parts = first.split(';').map(str::trim).enumerate();
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

/// The usual phrase of a status code that we send.
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

    fn read(text: &str) -> Result<Request, Fault> {
        let message = Message::parse(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap();
        Request::read(message).map_err(|it| it.fault)
    }

    #[test]
    fn a_reply_finds_its_way_back() {
        let request = read(GOOD).unwrap();
        let reply = request.reply(&hop(), 180, "me");
        let vias: Vec<_> = reply.all(&Name::Via).collect();
        let first = "SIP/2.0/UDP x;branch=z9hG4bK1;received=192.0.2.9;rport=40000, SIP/2.0/UDP y";
        assert_eq!(vias, [first, "SIP/2.0/UDP z"]);
        assert_eq!(reply.get(&Name::To), Some("<sip:a@b>;tag=me"));
        assert_eq!(reply_hop(&request.via, &hop()), hop());
    }

    #[test]
    fn what_a_sender_claims_of_its_source_is_not_repeated() {
        let claim = "x;rport=1;received=6.6.6.6";
        let request = read(&GOOD.replace("x;rport", claim)).unwrap();
        let reply = request.reply(&hop(), 200, "me");
        let first = "SIP/2.0/UDP x;branch=z9hG4bK1;received=192.0.2.9;rport=40000, SIP/2.0/UDP y";
        assert_eq!(reply.get(&Name::Via), Some(first));
    }

    #[test]
    fn without_rport_the_reply_goes_to_the_port_that_via_names() {
        let request = read(&GOOD.replace("x;rport", "x:5099")).unwrap();
        assert_eq!(reply_hop(&request.via, &hop()).remote, "192.0.2.9:5099".parse().unwrap());
        let request = read(&GOOD.replace("x;rport", "x")).unwrap();
        assert_eq!(reply_hop(&request.via, &hop()).remote, "192.0.2.9:5060".parse().unwrap());
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
            ("Max-Forwards: 70", "Max-Forwards: 70\nMax-Forwards: 1"),
        ] {
            assert!(read(GOOD).is_ok());
            let text = GOOD.replace(from, to);
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
