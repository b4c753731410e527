//! SIP messages: tolerant parsing and serialization.
//!
//! If a message has an error but its Via, From, To, Call-ID and CSeq are readable, the error is
//! kept in [`SipMessage::error`] so that the message can be answered. Otherwise parsing fails.

use super::{
    error::SipError,
    head::{HEAD_BYTES_MAX, Head, parse_headers},
    name::{HeaderName, SipMethod, is_token},
};

/// A request or a response, as parsed or as to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SipMessage {
    /// The first line: that of a request or of a response.
    pub start: StartLine,
    /// The headers in their order, with folded lines joined.
    pub headers: Vec<(HeaderName, String)>,
    /// The body, of the length that Content-Length gives.
    pub body: Vec<u8>,
    /// The first error in the message, if there is one.
    pub error: Option<SipError>,
    /// The first part of the message that was left out because it is odd, for the log.
    pub left_out: Option<String>,
}

/// The first line of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StartLine {
    /// The request line, such as `INVITE sip:a@b SIP/2.0`.
    Request {
        /// The method, known or not.
        method: SipMethod,
        /// The Request-URI as text, not yet parsed.
        uri: String,
    },
    /// The status line of a response.
    Status {
        /// Status code: 100 to 699.
        code: u16,
        /// Reason phrase, for people only.
        reason: String,
    },
}

/// The first item in a stream's buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame {
    /// An incomplete message, or nothing.
    Partial,
    /// This many bytes of line ends between messages: a keep-alive (RFC 5626).
    Blank(usize),
    /// A message of this many bytes.
    Whole(usize),
}

/// Limit of the body, in bytes. We read SDP and DTMF only; a datagram cannot carry more.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

impl SipMessage {
    /// Starts a message of ours.
    pub fn new(start: StartLine) -> Self {
        let headers = Vec::with_capacity(12);
        Self { start, headers, body: Vec::new(), error: None, left_out: None }
    }

    /// Parses one datagram, or one frame of a stream. None is a keep-alive.
    ///
    /// # Errors
    ///
    /// It is not a message, and cannot be answered.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, SipError> {
        let blank = bytes.iter().take_while(|b| b"\r\n\0".contains(b)).count();
        let bytes = &bytes[blank..];
        if bytes.is_empty() {
            return Ok(None);
        }
        let head = Head::of(bytes);
        let mut error = head.error;
        let mut lines = head.lines();
        let start = super::text::decode(lines.next().unwrap_or_default());
        let (headers, left_out) = parse_headers(lines, &mut error);
        let start = match StartLine::parse(&start, &mut error) {
            // A peer whose Via can be read gets an answer.
            Err(bad) if headers.iter().any(|it| it.0 == HeaderName::Via) => {
                StartLine::unreadable(&start, bad, &mut error)?
            }
            start => start?,
        };
        let mut message = Self { start, headers, body: Vec::new(), error, left_out };
        let rest = &bytes[head.body..];
        let len = match content_length(message.all(&HeaderName::ContentLength)) {
            Ok(len) => len.unwrap_or(rest.len()),
            Err(error) => {
                message.error.get_or_insert(error);
                0
            }
        };
        // A sender of bare LF may have counted CR LF.
        if len > rest.len() && !head.is_bare {
            message.error.get_or_insert(SipError::bad_request(
                "Content-Length beyond the end of the message",
            ));
        }
        if len > BODY_BYTES_MAX {
            message.error.get_or_insert(SipError { code: 513, reason: "Message Too Large" });
        }
        message.body = rest[..len.min(rest.len())].to_vec();
        Ok(Some(message))
    }

    /// Finds the first message in a stream by its Content-Length (RFC 3261, 18.3); none means 0.
    ///
    /// # Errors
    ///
    /// The framing is lost, or the message is too large: the connection must be closed.
    pub fn frame(bytes: &[u8]) -> Result<Frame, SipError> {
        let blank = bytes.iter().take_while(|b| b"\r\n".contains(b)).count();
        if blank > 0 {
            return Ok(Frame::Blank(blank));
        }
        let head = Head::of(bytes);
        if !head.is_whole {
            return match bytes.len() > HEAD_BYTES_MAX {
                true => Err(SipError { code: 513, reason: "Headers Too Large" }),
                false => Ok(Frame::Partial),
            };
        }
        if head.is_bare {
            // Where such a message ends cannot be relied on.
            return Err(SipError::bad_request("lines end in LF, not CR LF"));
        }
        if let Some(error) = head.error {
            return Err(error);
        }
        let (headers, _) = parse_headers(head.lines().skip(1), &mut None);
        let lengths = headers.iter().filter(|(name, _)| *name == HeaderName::ContentLength);
        let len = content_length(lengths.map(|(_, value)| value.as_str()))?.unwrap_or(0);
        if len > BODY_BYTES_MAX {
            return Err(SipError { code: 513, reason: "Message Too Large" });
        }
        match head.body + len {
            whole if whole <= bytes.len() => Ok(Frame::Whole(whole)),
            _ => Ok(Frame::Partial),
        }
    }

    /// Returns the first value of a header.
    pub fn get(&self, name: &HeaderName) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns all values of a header in order, without splitting lists.
    pub fn all(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Returns the items of a header that is a list of tokens, such as Supported.
    pub fn words(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|it| !it.is_empty())
    }

    /// Appends a header, after any others of its name.
    pub fn push(&mut self, name: HeaderName, value: impl Into<String>) {
        self.headers.push((name, value.into()));
    }

    /// Serializes the message, with its Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let len: usize = self.headers.iter().map(|(_, value)| value.len() + 24).sum();
        let mut bytes = Vec::with_capacity(len + 128 + self.body.len());
        let mut write = |text: &str| super::text::encode(text, &mut bytes);
        match &self.start {
            StartLine::Request { method, uri } => write(&format!("{method} {uri} SIP/2.0\r\n")),
            StartLine::Status { code, reason } => write(&format!("SIP/2.0 {code} {reason}\r\n")),
        }
        for (name, value) in
            self.headers.iter().filter(|(name, _)| *name != HeaderName::ContentLength)
        {
            [name.as_str(), ": ", value, "\r\n"].into_iter().for_each(&mut write);
        }
        write(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl StartLine {
    fn parse(line: &str, error: &mut Option<SipError>) -> Result<Self, SipError> {
        if line.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("SIP/")) {
            return Self::parse_status(line);
        }
        let (method, rest) =
            line.split_once(' ').ok_or(SipError::bad_request("no request line"))?;
        if !is_token(method) {
            return Err(SipError::bad_request("no request line"));
        }
        let (uri, version) = rest.trim_end().rsplit_once(' ').unwrap_or((rest, ""));
        if uri.contains(char::is_whitespace) || rest.starts_with(' ') || rest.ends_with(' ') {
            error.get_or_insert(SipError::bad_request("request line with stray spaces"));
        }
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            error.get_or_insert(match is_version(version) {
                true => SipError { code: 505, reason: "Version Not Supported" },
                false => SipError::bad_request("request line without a version"),
            });
        }
        Ok(Self::Request { method: SipMethod::of(method), uri: uri.to_owned() })
    }

    /// A request line that cannot be read, in a message that can be answered: it is.
    ///
    /// # Errors
    ///
    /// It is the line of a response, which nobody answers.
    fn unreadable(
        line: &str,
        bad: SipError,
        error: &mut Option<SipError>,
    ) -> Result<Self, SipError> {
        if line.trim_start().get(..4).is_some_and(|it| it.eq_ignore_ascii_case("SIP/")) {
            return Err(bad);
        }
        *error = Some(bad);
        let method = line.split_whitespace().next().unwrap_or_default();
        Ok(Self::Request { method: SipMethod::of(method), uri: String::new() })
    }

    fn parse_status(line: &str) -> Result<Self, SipError> {
        const BAD: SipError = SipError::bad_request("bad status line");
        let rest = line.get(7..).filter(|_| line[..7].eq_ignore_ascii_case("SIP/2.0"));
        let rest = rest.and_then(|rest| rest.strip_prefix(' ')).ok_or(BAD)?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        match code.parse() {
            Ok(code @ 100..=699) if rest.as_bytes()[0] != b'+' => {
                Ok(Self::Status { code, reason: reason.to_owned() })
            }
            Ok(_) | Err(_) => Err(BAD),
        }
    }
}

/// Whether the text is a version, such as `SIP/7.0`, even if not ours.
fn is_version(text: &str) -> bool {
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit());
    let number = text.get(..4).filter(|it| it.eq_ignore_ascii_case("SIP/")).map(|_| &text[4..]);
    number.and_then(|it| it.split_once('.')).is_some_and(|(a, b)| digits(a) && digits(b))
}

/// Reads Content-Length. None if there is none.
fn content_length<'a>(values: impl Iterator<Item = &'a str>) -> Result<Option<usize>, SipError> {
    let mut len = None;
    for value in values.filter(|it| !it.is_empty()) {
        if !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SipError::bad_request("bad Content-Length"));
        }
        let value: usize =
            value.parse().map_err(|_| SipError::bad_request("bad Content-Length"))?;
        if len.is_some_and(|len| len != value) {
            return Err(SipError::bad_request("two Content-Lengths"));
        }
        len = Some(value);
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::{super::head::HEADERS_MAX, *};

    fn request(text: &str) -> SipMessage {
        SipMessage::parse(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_message_is_read_and_written() {
        let message = request(
            "INVITE sip:a@b SIP/2.0\nv: SIP/2.0/UDP x\nSubject :one\n\t two\nl: 3\n\nabcdef",
        );
        assert_eq!(message.error, None);
        assert_eq!(message.get(&HeaderName::Via), Some("SIP/2.0/UDP x"));
        assert_eq!(message.get(&HeaderName::Other("Subject".into())), Some("one two"));
        assert_eq!(message.body, b"abc");
        let bytes = message.to_bytes();
        let text = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nSubject: one two\r\n\
                    Content-Length: 3\r\n\r\nabc";
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }

    #[test]
    fn errors_of_a_request_are_kept_for_its_answer() {
        for (text, code) in [
            ("INVITE sip:a@b SIP/2.0\nl: 3\n\nab", 400),
            ("INVITE sip:a@b SIP/2.0\nl: -3\n\nab", 400),
            ("INVITE sip:a@b SIP/2.0\nl: 1\nl: 2\n\nab", 400),
            ("INVITE  sip:a@b SIP/2.0\n\n", 400),
            ("INVITE sip:a@b  SIP/2.0\n\n", 400),
            ("INVITE sip:a@b SIP/2.0 \n\n", 400),
            ("INVITE sip:a; x@b SIP/2.0\n\n", 400),
            ("INVITE sip:a@b\n\n", 400),
            ("INVITE sip:a@b SIP/7.0\n\n", 505),
            ("INVITE sip:a@b SIP/2.0\nVia: x", 400),
            ("INV\u{fc}ITE sip:a@b SIP/2.0\nVia: x\n\n", 400),
            ("INVITE\nVia: x\n\n", 400),
        ] {
            let error = request(text).error;
            assert_eq!(error.map(|error| error.code), Some(code), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_no_message() {
        for text in ["x", "INVITE\r\n\r\n", "SIP/2.0 99 x\r\n\r\n", "SIP/2.0 4294967301 x\r\n\r\n"]
        {
            assert!(SipMessage::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["SIP/2.0 99 x\r\nVia: x\r\n\r\n", "GET\r\n\r\n"] {
            assert!(SipMessage::parse(text.as_bytes()).is_err_and(|it| it.code == 400), "{text:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_can_be_answered() {
        let many = format!("OPTIONS sip:a SIP/2.0\nv: x\n{}\n", "a: b\n".repeat(HEADERS_MAX));
        let long = format!("OPTIONS sip:a SIP/2.0\nv: x\na: {}\n\n", "x".repeat(HEAD_BYTES_MAX));
        for text in [many, long] {
            let message = request(&text);
            assert_eq!(message.error.map(|error| error.code), Some(513));
            assert_eq!(message.get(&HeaderName::Via), Some("x"));
        }
    }

    /// A message costs at most what is odd in it.
    #[test]
    fn a_line_that_cannot_be_read_is_left_out() {
        for (lines, left_out) in [
            ("no colon\n", Some("a header without a colon")),
            ("bad name: x\n", Some("a header with a bad name")),
            ("bad name: x\n continued\n", Some("a header with a bad name")),
            (": x\n", Some("a header with a bad name")),
            ("Subject: \x01\n", Some("Subject: a control character")),
            (" continued\n", None),
            ("Subject:\nUser-Agent:\nContent-Length:\n", None),
        ] {
            let text = format!("OPTIONS sip:a@b SIP/2.0\n{lines}To: x\n\n");
            let message = request(&text);
            assert_eq!(message.error, None, "{lines:?}");
            assert_eq!(message.left_out.as_deref(), left_out, "{lines:?}");
            assert_eq!(message.get(&HeaderName::To), Some("x"), "{lines:?}");
        }
        let message = request("OPTIONS sip:a@b SIP/2.0\nTo: \"a\rb\x01\"\n <x>\n\n");
        assert_eq!((message.error, message.get(&HeaderName::To)), (None, Some("\"a b\x01\" <x>")));
    }

    /// doubango#333, opensips#1408: senders of Latin-1.
    #[test]
    fn bytes_that_are_not_utf8_come_back_as_they_were() {
        let bytes =
            b"SIP/2.0 200 gr\xfcn\r\nFrom: \"J\xfcrgen\" <sip:a@b>;tag=\xff\r\nTo: \xc3\xbc\r\n\
            X-\xfc: y\r\nContent-Length: 0\r\n\r\n";
        let message = SipMessage::parse(bytes).unwrap().unwrap();
        assert_eq!(message.get(&HeaderName::To), Some("\u{fc}"));
        assert_eq!(message.error, None);
        assert_eq!(message.left_out.as_deref(), Some("a header with a bad name"));
        let sent = message.to_bytes();
        let expected = bytes.to_vec();
        let gone = b"X-\xfc: y\r\n";
        let at = expected.windows(gone.len()).position(|it| it == gone).unwrap();
        assert_eq!(sent, [&expected[..at], &expected[at + gone.len()..]].concat());
    }

    /// RFC 3261, section 7 asks for CR LF; scripts and some small phones send LF.
    #[test]
    fn bare_line_ends_are_read_in_a_datagram_only() {
        let bytes = b"INVITE sip:a@b SIP/2.0\nTo: x\n\ty\nl: 9\n\nv=0\n";
        let message = SipMessage::parse(bytes).unwrap().unwrap();
        assert_eq!((message.error, message.get(&HeaderName::To)), (None, Some("x y")));
        assert_eq!(message.body, b"v=0\n");
        assert!(SipMessage::frame(bytes).is_err_and(|it| it.code == 400));
        assert_eq!(SipMessage::frame(b"INVITE sip:a@b SIP/2.0\nTo: x\n"), Ok(Frame::Partial));
        // In a message with CR LF, a bare LF ends no header: nobody smuggles one in.
        let bytes = b"INVITE sip:a@b SIP/2.0\r\nTo: x\nP-Asserted-Identity: <sip:boss@b>\r\n\r\n";
        let message = SipMessage::parse(bytes).unwrap().unwrap();
        assert_eq!(message.get(&HeaderName::PAssertedIdentity), None);
        assert_eq!(message.get(&HeaderName::To), Some("x P-Asserted-Identity: <sip:boss@b>"));
    }

    #[test]
    fn line_ends_alone_are_a_keep_alive() {
        assert_eq!(SipMessage::parse(b"\r\n\r\n"), Ok(None));
        assert_eq!(SipMessage::parse(b"\0\0\0\0"), Ok(None));
    }

    #[test]
    fn a_stream_is_cut_where_content_length_says() {
        let one = b"BYE sip:a SIP/2.0\r\nContent-Length: 2\r\n\r\nok";
        for len in 1..one.len() {
            assert_eq!(SipMessage::frame(&one[..len]), Ok(Frame::Partial), "{len}");
        }
        assert_eq!(
            SipMessage::frame(&[one.as_slice(), b"BYE"].concat()),
            Ok(Frame::Whole(one.len()))
        );
        assert_eq!(SipMessage::frame(b"\r\n\r\nBYE"), Ok(Frame::Blank(4)));
        assert!(SipMessage::frame(b"BYE sip:a SIP/2.0\r\nl: 99999999\r\n\r\n").is_err());
        assert!(SipMessage::frame(&vec![b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
