//! Header values: names with addresses, Via, CSeq.

use super::{
    error::SipError,
    name::{SipMethod, is_token},
    uri::{Host, SipParams, Uri, split_unquoted, unquote},
};

/// A value of From, To or Contact: `"Anna" <sip:anna@example.com>;tag=1`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameAddr {
    /// The display name without quotes; may be empty.
    pub display: String,
    /// The address, without the header's parameters.
    pub uri: Uri,
    /// Parameters of the header, not of the URI.
    pub params: SipParams,
}

/// A value of Via: the sender of a message, and the way back for its reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Via {
    /// Transport in upper case, such as `UDP`; any token is accepted.
    pub transport: String,
    /// The sender, as it names itself.
    pub host: Host,
    /// The port. None means the transport's default.
    pub port: Option<u16>,
    /// Parameters such as `branch`, `rport` and `received`.
    pub params: SipParams,
}

/// A value of CSeq: number and method of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CSeq {
    /// Sequence number: below 2³¹.
    pub number: u32,
    /// The method; must be that of the request line.
    pub method: SipMethod,
}

/// Start of every branch since RFC 3261 (8.1.1.7).
pub const COOKIE: &str = "z9hG4bK";

impl NameAddr {
    /// Parses one value.
    ///
    /// # Errors
    ///
    /// A quote or bracket is open, or the display name or the URI is malformed.
    pub fn parse(text: &str) -> Result<Self, SipError> {
        let text = text.trim();
        let after_display = match text.starts_with('"') {
            true => quoted_len(text).ok_or(SipError::bad_request("unclosed quote"))?,
            false => 0,
        };
        let Some(open) = text[after_display..].find('<').map(|at| at + after_display) else {
            return Self::parse_bare(text);
        };
        // A name that needs quotes and has none is still a name: "Bell, Alexander <sip:a@b>".
        let display = text[..open].trim();
        let (uri, rest) =
            text[open + 1..].split_once('>').ok_or(SipError::bad_request("unclosed bracket"))?;
        let params = match rest.trim() {
            "" => SipParams::default(),
            rest => {
                let rest =
                    rest.strip_prefix(';').ok_or(SipError::bad_request("text after an address"))?;
                SipParams::parse(rest)?
            }
        };
        if has_control(uri) || has_control(rest) {
            return Err(SipError::bad_request("control character in an address"));
        }
        Ok(Self { display: unquote(display), uri: Uri::parse(uri)?, params })
    }

    /// Without brackets, all parameters belong to the header (RFC 3261, section 20).
    fn parse_bare(text: &str) -> Result<Self, SipError> {
        if text.contains(['?', ',']) || has_control(text) {
            return Err(SipError::bad_request("address that needs brackets"));
        }
        let (uri, params) = match text.split_once(';') {
            Some((uri, params)) => (uri.trim_end(), SipParams::parse(params)?),
            None => (text, SipParams::default()),
        };
        Ok(Self { display: String::new(), uri: Uri::parse(uri)?, params })
    }

    /// Parses a value that may be a list.
    ///
    /// # Errors
    ///
    /// One of its values is malformed.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, SipError> {
        split_unquoted(text, b',')?.into_iter().map(Self::parse).collect()
    }

    /// Returns the tag. None if it is missing or empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }
}

fn has_control(text: &str) -> bool {
    text.contains(|c: char| c.is_control() && c != '\t')
}

/// Length of the quoted text at the beginning, quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| match byte {
        _ if is_escaped => {
            is_escaped = false;
            false
        }
        b'\\' => {
            is_escaped = true;
            false
        }
        byte => byte == b'"',
    });
    end.map(|end| end + 2)
}

impl Via {
    /// Parses one value, not a list.
    ///
    /// # Errors
    ///
    /// It is not a Via of SIP/2.0.
    pub fn parse(text: &str) -> Result<Self, SipError> {
        const BAD: SipError = SipError::bad_request("bad Via");
        let mut parts = text.splitn(3, '/').map(str::trim);
        let (name, version) = (parts.next().ok_or(BAD)?, parts.next().ok_or(BAD)?);
        let rest = parts.next().ok_or(BAD)?;
        if !name.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return Err(BAD);
        }
        let (transport, rest) = rest.split_once(char::is_whitespace).ok_or(BAD)?;
        let (place, params) = match rest.split_once(';') {
            Some((place, params)) => (place, SipParams::parse_some(params)),
            None => (rest, SipParams::default()),
        };
        let (host, port) = Host::parse_with_port(place.trim()).map_err(|_| BAD)?;
        if !is_token(transport) {
            return Err(BAD);
        }
        Ok(Self { transport: transport.to_ascii_uppercase(), host, port, params })
    }

    /// Returns the branch. None for a sender of RFC 2543.
    pub fn branch(&self) -> Option<&str> {
        let is_new = |it: &&str| it.get(..7).is_some_and(|it| it.eq_ignore_ascii_case(COOKIE));
        self.params.get("branch").filter(is_new).filter(|it| it.len() > COOKIE.len())
    }
}

impl CSeq {
    /// Parses a number and a method.
    ///
    /// # Errors
    ///
    /// It has no number below 2³¹, or no method.
    pub fn parse(text: &str) -> Result<Self, SipError> {
        const BAD: SipError = SipError::bad_request("bad CSeq");
        let (number, method) = text.split_once(char::is_whitespace).ok_or(BAD)?;
        let number = parse_number(number).filter(|it| *it < 1 << 31).ok_or(BAD)?;
        match is_token(method.trim()) {
            true => Ok(Self { number, method: SipMethod::of(method.trim()) }),
            false => Err(BAD),
        }
    }
}

/// Parses a number of digits only, without a sign.
pub fn parse_number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read() {
        for (text, display, uri, tag) in [
            (r#""A. \"G\" <B>" <sip:a@b>;tag=1"#, r#"A. "G" <B>"#, "sip:a@b", Some("1")),
            ("Anna Blum <sip:a@b;x=y>;tag=2;z", "Anna Blum", "sip:a@b;x=y", Some("2")),
            ("caller<sip:a@b>", "caller", "sip:a@b", None),
            ("sip:a@b;tag=3", "", "sip:a@b", Some("3")),
            ("<tel:+1415>", "", "tel:+1415", None),
            ("<sip:a@b>;tag=", "", "sip:a@b", None),
            ("Ånna <sip:a@b>", "Ånna", "sip:a@b", None),
            ("Bell, A. (office) <sip:a@b>;tag=4", "Bell, A. (office)", "sip:a@b", Some("4")),
            (r#""a" b <sip:a@b>"#, r#""a" b"#, "sip:a@b", None),
        ] {
            let it = NameAddr::parse(text).unwrap();
            assert_eq!(
                (it.display.as_str(), it.uri.to_string().as_str(), it.tag()),
                (display, uri, tag)
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            r#""open <sip:a@b>"#,
            "\"a\" <sip:a\x01@b>",
            "<sip:a@b>;tag=\x01",
            "sip:a@b;tag=\x01",
            "<sip:a@b",
            "<sip:a@b> x",
            "< sip:a@b>",
            "sip:a@b?Route=x",
            "",
            "anna",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_via_is_read_however_it_is_spaced() {
        let via = Via::parse("SIP  / 2.0  / UDP  192.0.2.2:5061 ; branch=z9hG4bK390skdjuw;rport");
        let via = via.unwrap();
        assert_eq!((via.transport.as_str(), via.port), ("UDP", Some(5061)));
        assert_eq!((via.branch(), via.params.get("rport")), (Some("z9hG4bK390skdjuw"), Some("")));
        assert_eq!(Via::parse("SIP/2.0/UDP a;branch=z9hG4bK").unwrap().branch(), None);
        for text in ["", "SIP/2.0/UDP", "HTTP/2.0/UDP a", "SIP/3.0/UDP a", "SIP/2.0/UDP a b"] {
            assert!(Via::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_cseq_has_a_number_and_a_method() {
        let cseq = CSeq::parse("0009\t INVITE").unwrap();
        assert_eq!(cseq, CSeq { number: 9, method: SipMethod::Invite });
        for text in ["", "1", "x INVITE", "2147483648 INVITE", "36893488147419103232 A", "-1 BYE"] {
            assert!(CSeq::parse(text).is_err(), "{text:?}");
        }
    }
}
