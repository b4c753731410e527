//! Test phone: a SIP caller that writes its messages by hand and reads ours.

/// One dialog, as the caller holds it.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    /// The called user.
    pub(crate) to: &'static str,
    /// The calling user.
    pub(crate) from: &'static str,
    /// The value of Via after `SIP/2.0/`: transport and sent-by.
    pub(crate) via: String,
    /// The whole Contact header, with its name.
    pub(crate) contact: String,
    /// The engine's tag, once it is known.
    pub(crate) to_tag: Option<String>,
    /// The CSeq of the last request.
    pub(crate) cseq: u32,
    branch: u32,
    name: String,
}

/// An offer of PCMU, PCMA and telephone-event.
pub(crate) const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

/// The Content-Type of a description.
pub(crate) const SDP: &str = "Content-Type: application/sdp\r\n";

impl Phone {
    /// A phone at this address. Each phone of a test needs its own name.
    pub(crate) fn new(name: &str, address: &str) -> Self {
        Self {
            to: "weekly",
            from: "anna",
            via: format!("UDP {address};rport"),
            contact: format!("Contact: <sip:anna@{address}>\r\n"),
            to_tag: None,
            cseq: 0,
            branch: 0,
            name: name.to_owned(),
        }
    }

    /// A new request. `headers` ends with a line end; `body` is sent unchanged.
    pub(crate) fn request(&mut self, method: &str, headers: &str, body: &str) -> String {
        self.cseq += 1;
        self.branch += 1;
        self.write(method, headers, body)
    }

    pub(crate) fn invite(&mut self) -> String {
        let contact = self.contact.clone();
        self.request("INVITE", &format!("{contact}{SDP}"), OFFER)
    }

    /// The ACK for a 200: a transaction of its own, with the CSeq of the INVITE.
    pub(crate) fn ack(&mut self) -> String {
        self.ack_with("", "")
    }

    /// [`ack`](Self::ack) with headers and a body.
    pub(crate) fn ack_with(&mut self, headers: &str, body: &str) -> String {
        self.branch += 1;
        self.write("ACK", headers, body)
    }

    /// The ACK for a refusal, or the CANCEL: in the transaction of the INVITE.
    pub(crate) fn same_branch(&self, method: &str) -> String {
        self.write(method, "", "")
    }

    /// Takes the engine's tag from a reply.
    pub(crate) fn learn(&mut self, reply: &str) {
        let to = header(reply, "To").unwrap();
        self.to_tag = to.split_once(";tag=").map(|(_, tag)| tag.to_owned());
    }

    fn write(&self, method: &str, headers: &str, body: &str) -> String {
        let Self { to, from, via, cseq, branch, name, .. } = self;
        let tag = self.to_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        format!(
            "{method} sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK{name}{branch}\r\n\
             From: <sip:{from}@127.0.0.1>;tag=f{name}\r\nTo: <sip:{to}@127.0.0.1>{tag}\r\n\
             Call-ID: {name}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// The first header of this name.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    headers(message, name).next()
}

/// All headers of this name.
pub(crate) fn headers<'a>(message: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n").filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(crate) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Shortens a message: `200` for a reply, `BYE` for a request.
pub(crate) fn brief(message: &str) -> String {
    let mut words = message.split(' ');
    match words.next() {
        Some("SIP/2.0") => words.next().unwrap_or_default().to_owned(),
        first => first.unwrap_or_default().to_owned(),
    }
}
