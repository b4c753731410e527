//! Dialog state: its identifiers, and the route of our requests (RFC 3261, section 12).

use std::net::{IpAddr, SocketAddr};

use super::{
    digest_client::DigestClient,
    header_value::NameAddr,
    message::{SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    network::is_private,
    request::{Hop, SipRequest, Transport, contact_of},
    settings::Settings,
    uri::Uri,
};

/// The dialog of one call, in either role.
#[derive(Debug)]
pub struct Dialog {
    /// The Call-ID of all its messages.
    pub call_id: String,
    /// Our tag: From of our requests, To of theirs.
    pub local_tag: String,
    /// The far end's tag; empty if it sends none (RFC 2543).
    pub remote_tag: String,
    /// CSeq number of the far end's last request. None before the first one.
    pub remote_cseq: Option<u32>,
    /// Whether we made the call, and with it the Call-ID.
    pub is_ours: bool,
    /// Our answers to challenges of the far end.
    pub digest: DigestClient,
    /// The hop on which the last request came.
    pub hop: Hop,
    /// From of our requests, with tag.
    local: String,
    /// To of our requests, with tag.
    remote: String,
    target: Uri,
    routes: Vec<RouteEntry>,
    local_cseq: u32,
}

/// All that a [`Dialog`] is made of, with its addresses as texts.
#[derive(Debug)]
pub(super) struct DialogParts {
    pub(super) call_id: String,
    pub(super) local_tag: String,
    pub(super) remote_tag: String,
    pub(super) remote_cseq: Option<u32>,
    pub(super) is_ours: bool,
    pub(super) digest: DigestClient,
    pub(super) hop: Hop,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) routes: Vec<String>,
    pub(super) local_cseq: u32,
}

/// A proxy that stays in the path (Record-Route).
#[derive(Debug)]
struct RouteEntry {
    text: String,
    uri: Uri,
}

impl Dialog {
    /// Creates the dialog that an INVITE begins.
    pub fn of(request: &SipRequest, hop: &Hop, target: Uri, local_tag: String) -> Self {
        let header = |name| request.get(&name).unwrap_or_default().to_owned();
        Self {
            call_id: request.call_id.clone(),
            remote_tag: request.from.tag().unwrap_or_default().to_owned(),
            remote_cseq: Some(request.cseq),
            is_ours: false,
            digest: DigestClient::default(),
            hop: *hop,
            local: format!("{};tag={local_tag}", header(HeaderName::To)),
            remote: header(HeaderName::From),
            target,
            routes: recorded_routes(&request.message).collect(),
            local_cseq: 0,
            local_tag,
        }
    }

    /// Creates the dialog that a 2xx to our INVITE begins (RFC 3261, 12.1.2). Without a usable
    /// Contact, requests go to `target`.
    pub fn of_answer(
        (invite, cseq): (&SipMessage, u32),
        response: &SipMessage,
        hop: &Hop,
        target: Uri,
        digest: DigestClient,
    ) -> Self {
        let header = |it: &SipMessage, name| it.get(&name).unwrap_or_default().to_owned();
        let tag = |text: &str| Some(NameAddr::parse(text).ok()?.tag()?.to_owned());
        let (local, remote) = (header(invite, HeaderName::From), header(response, HeaderName::To));
        let contact = contact_of(response).ok().map(|it| it.uri);
        let mut routes: Vec<_> = recorded_routes(response).collect();
        routes.reverse();
        Self {
            call_id: header(invite, HeaderName::CallId),
            remote_tag: tag(&remote).unwrap_or_default(),
            remote_cseq: None,
            is_ours: true,
            digest,
            hop: *hop,
            local_tag: tag(&local).unwrap_or_default(),
            local,
            remote,
            target: contact.filter(|it| it.sip().is_some()).unwrap_or(target),
            routes,
            local_cseq: cseq,
        }
    }

    /// Returns the parts of the dialog.
    pub(super) fn parts(&self) -> DialogParts {
        let Self {
            call_id,
            local_tag,
            remote_tag,
            remote_cseq,
            is_ours,
            digest,
            hop,
            local,
            remote,
            target,
            routes,
            local_cseq,
        } = self;
        DialogParts {
            call_id: call_id.clone(),
            local_tag: local_tag.clone(),
            remote_tag: remote_tag.clone(),
            remote_cseq: *remote_cseq,
            is_ours: *is_ours,
            digest: digest.clone(),
            hop: *hop,
            local: local.clone(),
            remote: remote.clone(),
            target: target.to_string(),
            routes: routes.iter().map(|it| it.text.clone()).collect(),
            local_cseq: *local_cseq,
        }
    }

    /// The dialog of these parts. None if an address cannot be read.
    pub(super) fn from_parts(parts: DialogParts) -> Option<Self> {
        let DialogParts {
            call_id,
            local_tag,
            remote_tag,
            remote_cseq,
            is_ours,
            digest,
            hop,
            local,
            remote,
            target,
            routes,
            local_cseq,
        } = parts;
        let route = |text: String| Some(RouteEntry { uri: NameAddr::parse(&text).ok()?.uri, text });
        Some(Self {
            call_id,
            local_tag,
            remote_tag,
            remote_cseq,
            is_ours,
            digest,
            hop,
            local,
            remote,
            target: Uri::parse(&target).ok()?,
            routes: routes.into_iter().map(route).collect::<Option<_>>()?,
            local_cseq,
        })
    }

    /// Whether this Contact, at this hop, is that of the far end: the user and the host are the same.
    /// Ports differ from connection to connection.
    pub(super) fn is_reached_at(&self, hop: &Hop, contact: &NameAddr) -> bool {
        let user = |uri: &Uri| uri.sip().and_then(|it| it.user.clone());
        let is_same_user = user(&contact.uri).is_some_and(|it| user(&self.target) == Some(it));
        let is_same_host = hop.remote.ip() == self.hop.remote.ip();
        is_same_user && is_same_host && hop.transport == self.hop.transport
    }

    /// Builds the ACK for a 2xx to an INVITE of ours with this CSeq number.
    pub(super) fn ack(
        &mut self,
        cseq: u32,
        branch: &str,
        settings: &Settings,
    ) -> (SipMessage, Hop) {
        let last = std::mem::replace(&mut self.local_cseq, cseq);
        let ack = self.request(SipMethod::Ack, branch, settings);
        self.local_cseq = last;
        ack
    }

    /// Whether a request with our tag belongs to this dialog.
    pub fn owns(&self, request: &SipRequest) -> bool {
        request.call_id == self.call_id && request.from.tag().unwrap_or_default() == self.remote_tag
    }

    /// Updates the target: the far end, or its NAT, has another address.
    pub fn move_to(&mut self, hop: &Hop, contact: Option<NameAddr>) {
        self.hop = *hop;
        if let Some(contact) = contact.filter(|it| it.uri.sip().is_some()) {
            self.target = contact.uri;
        }
    }

    /// Returns the CSeq number of our last request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Builds a request within the dialog. Returns it with the hop to send it on.
    pub fn request(
        &mut self,
        method: SipMethod,
        branch: &str,
        settings: &Settings,
    ) -> (SipMessage, Hop) {
        if method != SipMethod::Ack {
            self.local_cseq += 1;
        }
        let hop = self.next_hop(settings);
        let is_strict = self.routes.first().is_some_and(|it| !is_loose(&it.uri));
        let uri = if is_strict { &self.routes[0].uri } else { &self.target };
        let start = StartLine::Request { method: method.clone(), uri: uri.to_string() };
        let mut message = SipMessage::new(start);
        message.push(HeaderName::Via, settings.via(&hop, branch));
        for route in self.routes.iter().skip(usize::from(is_strict)) {
            message.push(HeaderName::Route, route.text.as_str());
        }
        if is_strict {
            message.push(HeaderName::Route, format!("<{}>", self.target));
        }
        message.push(HeaderName::MaxForwards, "70");
        message.push(HeaderName::From, self.local.as_str());
        message.push(HeaderName::To, self.remote.as_str());
        message.push(HeaderName::CallId, self.call_id.as_str());
        message.push(HeaderName::CSeq, format!("{} {method}", self.local_cseq));
        message.push(HeaderName::UserAgent, super::SERVER);
        if method != SipMethod::Ack {
            let uri = match &message.start {
                StartLine::Request { uri, .. } => uri.clone(),
                StartLine::Status { .. } => String::new(),
            };
            message.headers.extend(self.digest.answers(method.as_str(), &uri, branch));
        }
        (message, hop)
    }

    /// The first proxy, or the far end itself. A far end behind NAT is reached at the source of its
    /// requests.
    fn next_hop(&self, settings: &Settings) -> Hop {
        let uri = self.routes.first().map_or(&self.target, |it| &it.uri);
        let address = uri.sip().and_then(|uri| {
            let port = uri.port.unwrap_or(super::PORT_DEFAULT);
            uri.host.address().map(|ip| SocketAddr::new(ip, port))
        });
        match address {
            Some(remote) if is_reachable(remote.ip(), &self.hop, settings) => {
                Hop { remote, ..self.hop }
            }
            Some(_) | None => self.hop,
        }
    }
}

/// The Record-Route entries of a message, in order.
fn recorded_routes(message: &SipMessage) -> impl Iterator<Item = RouteEntry> {
    message.all(&HeaderName::RecordRoute).flat_map(|value| {
        let parts = super::uri::split_unquoted(value, b',').unwrap_or_default();
        parts.into_iter().filter_map(|text| {
            Some(RouteEntry { uri: NameAddr::parse(text).ok()?.uri, text: text.to_owned() })
        })
    })
}

/// Whether an address that the far end gives for itself can be used.
fn is_reachable(address: IpAddr, hop: &Hop, settings: &Settings) -> bool {
    let source = hop.remote.ip();
    if address.is_ipv4() != source.is_ipv4() {
        return false;
    }
    if address.is_loopback() || address.is_unspecified() {
        return address == source || (address.is_loopback() && source.is_loopback());
    }
    address == source || settings.is_local(address) || !is_private(address)
}

fn is_loose(uri: &Uri) -> bool {
    uri.sip().is_some_and(|uri| uri.params.get("lr").is_some())
}

/// Returns our Contact with the address that the far end of this hop can reach.
pub fn contact(settings: &Settings, hop: &Hop) -> String {
    let us = settings.address(hop);
    match hop.transport {
        Transport::Udp => format!("<sip:conflow@{us}>"),
        Transport::Tcp => format!("<sip:conflow@{us};transport=tcp>"),
        // Phones prefer it to `sips:`.
        Transport::Tls => format!("<sip:conflow@{us};transport=tls>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(contact: &str, source: &str, record_routes: &str) -> Dialog {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 7 INVITE\r\n{record_routes}\r\n"
        );
        let message = SipMessage::parse(text.as_bytes()).unwrap().unwrap();
        let request = SipRequest::read(message).unwrap();
        let local = "198.51.100.1:5060".parse().unwrap();
        let hop =
            Hop { transport: Transport::Udp, link: 0, local, remote: source.parse().unwrap() };
        Dialog::of(&request, &hop, NameAddr::parse(contact).unwrap().uri, "me".to_owned())
    }

    #[test]
    fn a_far_end_behind_nat_is_reached_at_its_source() {
        let settings =
            Settings { local_networks: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
        for (contact, source, expected) in [
            ("<sip:a@192.168.1.5>", "203.0.113.1:40000", "203.0.113.1:40000"),
            ("<sip:a@127.0.0.1:5070>", "203.0.113.1:40000", "203.0.113.1:40000"),
            ("<sip:a@phone.example>", "203.0.113.1:40000", "203.0.113.1:40000"),
            ("<sip:a@[2001:db8::1]>", "203.0.113.1:40000", "203.0.113.1:40000"),
            ("<sip:a@10.0.0.7:5070>", "10.0.0.1:5060", "10.0.0.7:5070"),
            ("<sip:a@203.0.113.2>", "203.0.113.1:40000", "203.0.113.2:5060"),
            ("<sip:a@127.0.0.1:5070>", "127.0.0.1:40000", "127.0.0.1:5070"),
        ] {
            let (_, hop) =
                dialog(contact, source, "").request(SipMethod::Bye, "z9hG4bK2", &settings);
            assert_eq!(hop.remote, expected.parse().unwrap(), "{contact}");
        }
    }

    #[test]
    fn requests_go_through_the_proxies_that_asked_for_it() {
        let loose = "Record-Route: <sip:203.0.113.8;lr>, <sip:p2;lr>\r\n";
        let mut it = dialog("<sip:a@203.0.113.2>", "203.0.113.8:5060", loose);
        let (message, hop) = it.request(SipMethod::Bye, "z9hG4bK2", &Settings::default());
        assert_eq!(hop.remote, "203.0.113.8:5060".parse().unwrap());
        let text = String::from_utf8(message.to_bytes()).unwrap();
        assert!(text.starts_with("BYE sip:a@203.0.113.2 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("Route: <sip:203.0.113.8;lr>\r\nRoute: <sip:p2;lr>\r\n"), "{text}");

        let strict = "Record-Route: <sip:203.0.113.8>\r\n";
        let mut it = dialog("<sip:a@203.0.113.2>", "203.0.113.8:5060", strict);
        let (message, _) = it.request(SipMethod::Bye, "z9hG4bK2", &Settings::default());
        let text = String::from_utf8(message.to_bytes()).unwrap();
        assert!(text.starts_with("BYE sip:203.0.113.8 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("Route: <sip:a@203.0.113.2>\r\n"), "{text}");
    }

    #[test]
    fn our_requests_are_numbered_and_named_from_our_side() {
        let mut it = dialog("<sip:a@203.0.113.2>", "203.0.113.8:5060", "");
        it.request(SipMethod::Update, "z9hG4bK2", &Settings::default());
        let (message, _) = it.request(SipMethod::Bye, "z9hG4bK3", &Settings::default());
        assert_eq!(message.get(&HeaderName::CSeq), Some("2 BYE"));
        assert_eq!(message.get(&HeaderName::From), Some("<sip:a@b>;tag=me"));
        assert_eq!(message.get(&HeaderName::To), Some("<sip:c@d>;tag=1"));
    }
}
