//! Messages as they stand on the wire: parsed with tolerance, judged later, written back.
//!
//! A fault that leaves the sender's Via, From, To, Call-ID and CSeq readable is kept in the message
//! ([`Message::fault`]), so that it can be answered; else the message is no message.

use std::fmt::Write as _;

use super::{
    error::Fault,
    name::{Method, Name, is_token},
};

/// A request or a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Which of the two.
    pub start: Start,
    /// In order, unfolded.
    pub headers: Vec<(Name, String)>,
    /// As long as Content-Length says.
    pub body: Vec<u8>,
    /// The first thing that is wrong with it, if something is.
    pub fault: Option<Fault>,
}

/// The first line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Start {
    /// Of a request.
    Request {
        /// What is asked.
        method: Method,
        /// Of whom, unparsed.
        uri: String,
    },
    /// Of a response.
    Status {
        /// 100 to 699.
        code: u16,
        /// For humans.
        reason: String,
    },
}

/// What a stream holds at its beginning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame {
    /// Nothing whole yet.
    Partial,
    /// So many bytes of line ends between messages: a keep-alive (RFC 5626).
    Blank(usize),
    /// A message of so many bytes.
    Whole(usize),
}

/// No message of a phone has more; a header costs some 60 bytes of memory beside its text.
pub const HEADERS_MAX: usize = 128;

/// RFC 4475, 3.1.1.7 has values of some 500 bytes; proxies and certificates make longer ones.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// SDP and DTMF are all that we read; a datagram cannot carry more.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

impl Message {
    /// Reads one datagram, or one frame of a stream; None is a keep-alive.
    ///
    /// # Errors
    ///
    /// It is no message at all, and cannot be answered.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let blank = bytes.iter().take_while(|b| b"\r\n\0".contains(b)).count();
        let bytes = &bytes[blank..];
        if bytes.is_empty() {
            return Ok(None);
        }
        let head_len = find(bytes, b"\r\n\r\n").ok_or(Fault::bad("no end of headers"))?;
        if head_len > HEAD_BYTES_MAX {
            return Err(Fault { code: 513, reason: "Headers Too Large" });
        }
        let head = std::str::from_utf8(&bytes[..head_len])
            .map_err(|_| Fault::bad("headers are not UTF-8"))?;
        let (start, headers) = head.split_once("\r\n").unwrap_or((head, ""));

        let mut fault = None;
        let start = Start::parse(start, &mut fault)?;
        let headers = parse_headers(headers, &mut fault)?;
        let mut message = Self { start, headers, body: Vec::new(), fault };
        let rest = &bytes[head_len + 4..];
        let len = match content_length(message.all(&Name::ContentLength)) {
            Ok(len) => len.unwrap_or(rest.len()),
            Err(fault) => {
                message.fault.get_or_insert(fault);
                0
            }
        };
        if len > rest.len() {
            message.fault.get_or_insert(Fault::bad("Content-Length beyond the end of the message"));
        }
        if len > BODY_BYTES_MAX {
            message.fault.get_or_insert(Fault { code: 513, reason: "Message Too Large" });
        }
        message.body = rest[..len.min(rest.len())].to_vec();
        Ok(Some(message))
    }

    /// Finds the first message in a stream. Content-Length rules (RFC 3261, 18.3); none is zero.
    ///
    /// # Errors
    ///
    /// The stream has lost its framing, or the message is too large: the connection must end.
    pub fn frame(bytes: &[u8]) -> Result<Frame, Fault> {
        let blank = bytes.iter().take_while(|b| b"\r\n".contains(b)).count();
        if blank > 0 {
            return Ok(Frame::Blank(blank));
        }
        let Some(head_len) = find(bytes, b"\r\n\r\n") else {
            return match bytes.len() > HEAD_BYTES_MAX {
                true => Err(Fault { code: 513, reason: "Headers Too Large" }),
                false => Ok(Frame::Partial),
            };
        };
        let head = String::from_utf8_lossy(&bytes[..head_len]);
        let headers = head.split_once("\r\n").map_or("", |(_, headers)| headers);
        let headers = parse_headers(headers, &mut None)?;
        let lengths = headers.iter().filter(|(name, _)| *name == Name::ContentLength);
        let len = content_length(lengths.map(|(_, value)| value.as_str()))?.unwrap_or(0);
        if len > BODY_BYTES_MAX || head_len > HEAD_BYTES_MAX {
            return Err(Fault { code: 513, reason: "Message Too Large" });
        }
        match head_len + 4 + len {
            whole if whole <= bytes.len() => Ok(Frame::Whole(whole)),
            _ => Ok(Frame::Partial),
        }
    }

    /// The first value of a header.
    pub fn get(&self, name: &Name) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a header, in order; lists are not split.
    pub fn all(&self, name: &Name) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// All the words of a header that is a list of tokens, such as Supported.
    pub fn words(&self, name: &Name) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|it| !it.is_empty())
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: Name, value: impl Into<String>) {
        self.headers.push((name, value.into()));
    }

    /// As it goes out, Content-Length included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let len: usize = self.headers.iter().map(|(_, value)| value.len() + 24).sum();
        let mut text = String::with_capacity(len + 128 + self.body.len());
        let written = match &self.start {
            Start::Request { method, uri } => write!(text, "{method} {uri} SIP/2.0\r\n"),
            Start::Status { code, reason } => write!(text, "SIP/2.0 {code} {reason}\r\n"),
        };
        written.expect("a string takes all that is written");
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != Name::ContentLength) {
            for part in [name.as_str(), ": ", value, "\r\n"] {
                text.push_str(part);
            }
        }
        write!(text, "Content-Length: {}\r\n\r\n", self.body.len())
            .expect("a string takes all that is written");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Start {
    fn parse(line: &str, fault: &mut Option<Fault>) -> Result<Self, Fault> {
        if line.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("SIP/")) {
            return Self::parse_status(line);
        }
        let (method, rest) = line.split_once(' ').ok_or(Fault::bad("no request line"))?;
        if !is_token(method) {
            return Err(Fault::bad("no request line"));
        }
        let (uri, version) = rest.trim_end().rsplit_once(' ').unwrap_or((rest, ""));
        if uri.contains(char::is_whitespace) || rest.starts_with(' ') || rest.ends_with(' ') {
            fault.get_or_insert(Fault::bad("request line with stray spaces"));
        }
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            fault.get_or_insert(match is_version(version) {
                true => Fault { code: 505, reason: "Version Not Supported" },
                false => Fault::bad("request line without a version"),
            });
        }
        Ok(Self::Request { method: Method::of(method), uri: uri.to_owned() })
    }

    fn parse_status(line: &str) -> Result<Self, Fault> {
        const BAD: Fault = Fault::bad("bad status line");
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

/// `SIP/7.0` is a version, if none of ours.
fn is_version(text: &str) -> bool {
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit());
    let number = text.get(..4).filter(|it| it.eq_ignore_ascii_case("SIP/")).map(|_| &text[4..]);
    number.and_then(|it| it.split_once('.')).is_some_and(|(a, b)| digits(a) && digits(b))
}

fn parse_headers(text: &str, fault: &mut Option<Fault>) -> Result<Vec<(Name, String)>, Fault> {
    let mut headers: Vec<(Name, String)> = Vec::with_capacity(16);
    for line in text.split("\r\n") {
        if line.contains(|c: char| c.is_control() && c != '\t') {
            // It would go out again with our replies.
            fault.get_or_insert(Fault::bad("control character in a header"));
            continue;
        }
        if line.starts_with([' ', '\t']) {
            match headers.last_mut() {
                Some((_, value)) => unfold(value, line.trim()),
                None => {
                    fault.get_or_insert(Fault::bad("headers begin with a continuation"));
                }
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            if !line.is_empty() {
                fault.get_or_insert(Fault::bad("header without a colon"));
            }
            continue;
        };
        let name = name.trim_end_matches([' ', '\t']);
        if !is_token(name) {
            fault.get_or_insert(Fault::bad("bad header name"));
            continue;
        }
        if headers.len() == HEADERS_MAX {
            return Err(Fault { code: 513, reason: "Too Many Headers" });
        }
        headers.push((Name::of(name), value.trim().to_owned()));
    }
    Ok(headers)
}

/// A line that goes on in the next one (RFC 3261, 7.3.1).
fn unfold(value: &mut String, more: &str) {
    if !value.is_empty() && !more.is_empty() {
        value.push(' ');
    }
    value.push_str(more);
}

/// What Content-Length says; None if there is none.
fn content_length<'a>(values: impl Iterator<Item = &'a str>) -> Result<Option<usize>, Fault> {
    let mut len = None;
    for value in values {
        if !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::bad("bad Content-Length"));
        }
        let value: usize = value.parse().map_err(|_| Fault::bad("bad Content-Length"))?;
        if len.is_some_and(|len| len != value) {
            return Err(Fault::bad("two Content-Lengths"));
        }
        len = Some(value);
    }
    Ok(len)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Message {
        Message::parse(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_message_is_read_and_written() {
        let message = request(
            "INVITE sip:a@b SIP/2.0\nv: SIP/2.0/UDP x\nSubject :one\n\t two\nl: 3\n\nabcdef",
        );
        assert_eq!(message.fault, None);
        assert_eq!(message.get(&Name::Via), Some("SIP/2.0/UDP x"));
        assert_eq!(message.get(&Name::Other("Subject".into())), Some("one two"));
        assert_eq!(message.body, b"abc");
        let bytes = message.to_bytes();
        let text = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nSubject: one two\r\n\
                    Content-Length: 3\r\n\r\nabc";
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }

    #[test]
    fn faults_of_a_request_are_kept_for_its_answer() {
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
            ("INVITE sip:a@b SIP/2.0\nno colon\n\n", 400),
            ("INVITE sip:a@b SIP/2.0\nbad name: x\n\n", 400),
            ("INVITE sip:a@b SIP/2.0\nTo: x\n \0\n\n", 400),
            ("INVITE sip:a@b SIP/2.0\nTo: x\ry\n\n", 400),
        ] {
            let fault = request(text).fault;
            assert_eq!(fault.map(|fault| fault.code), Some(code), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_no_message() {
        for text in ["x", "INVITE\r\n\r\n", "SIP/2.0 99 x\r\n\r\n", "SIP/2.0 4294967301 x\r\n\r\n"]
        {
            assert!(Message::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Message::parse(b"OPTIONS sip:a SIP/2.0\r\nx: \xff\r\n\r\n").is_err());
        let many = format!("OPTIONS sip:a SIP/2.0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(Message::parse(many.as_bytes()).is_err());
        let long = format!("OPTIONS sip:a SIP/2.0\r\na: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert!(Message::parse(long.as_bytes()).is_err());
    }

    #[test]
    fn line_ends_alone_are_a_keep_alive() {
        assert_eq!(Message::parse(b"\r\n\r\n"), Ok(None));
        assert_eq!(Message::parse(b"\0\0\0\0"), Ok(None));
    }

    #[test]
    fn a_stream_is_cut_where_content_length_says() {
        let one = b"BYE sip:a SIP/2.0\r\nContent-Length: 2\r\n\r\nok";
        for len in 1..one.len() {
            assert_eq!(Message::frame(&one[..len]), Ok(Frame::Partial), "{len}");
        }
        assert_eq!(Message::frame(&[one.as_slice(), b"BYE"].concat()), Ok(Frame::Whole(one.len())));
        assert_eq!(Message::frame(b"\r\n\r\nBYE"), Ok(Frame::Blank(4)));
        assert!(Message::frame(b"BYE sip:a SIP/2.0\r\nl: 99999999\r\n\r\n").is_err());
        assert!(Message::frame(&vec![b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
