//! Addresses: SIP URIs, and the parameters that follow them (RFC 3261, sections 19.1 and 25.1).

use std::{fmt, net::IpAddr};

use super::error::SipError;
use crate::base::user_part::unescape;

/// A URI of any scheme.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Uri {
    /// A URI of scheme `sip:` or `sips:`.
    Sip(SipUri),
    /// Any other scheme, such as `tel:`.
    Other {
        /// The scheme, in lower case.
        scheme: String,
        /// Everything after the colon.
        rest: String,
    },
}

/// A `sip:` or `sips:` URI in its parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SipUri {
    /// Whether the scheme is `sips:`.
    pub is_secure: bool,
    /// The user part with its escapes, without a password.
    pub user: Option<String>,
    /// The host, without its port.
    pub host: Host,
    /// The port. None means the transport's default.
    pub port: Option<u16>,
    /// The parameters, such as `transport=tcp`.
    pub params: SipParams,
    /// Everything after `?`; not allowed in a request line.
    pub headers: Option<String>,
}

/// A host name or an IP address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// A host name, in lower case. We never resolve it to send a reply.
    Name(String),
    /// IPv4, or IPv6 written in brackets.
    Address(IpAddr),
}

/// The parameters `;name=value` and `;name`, in order. Names compare without case.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SipParams(Vec<(String, Option<String>)>);

impl Uri {
    /// Parses a URI; the text must contain nothing else.
    ///
    /// # Errors
    ///
    /// It has no scheme, or is a SIP URI with an error.
    pub fn parse(text: &str) -> Result<Self, SipError> {
        const NONE: SipError = SipError::bad_request("URI without a scheme");
        let (scheme, rest) = text.split_once(':').ok_or(NONE)?;
        let is_scheme_char = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme.chars().all(is_scheme_char)
        {
            return Err(NONE);
        }
        if rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || "<>\"".contains(c)) {
            return Err(SipError::bad_request("URI with a character that must be escaped"));
        }
        match scheme.to_ascii_lowercase().as_str() {
            "sip" => SipUri::parse(false, rest).map(Self::Sip),
            "sips" => SipUri::parse(true, rest).map(Self::Sip),
            other => Ok(Self::Other { scheme: other.to_owned(), rest: rest.to_owned() }),
        }
    }

    /// Returns the SIP URI. None for another scheme.
    pub fn sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other { .. } => None,
        }
    }
}

impl SipUri {
    fn parse(is_secure: bool, rest: &str) -> Result<Self, SipError> {
        // A user part may hold `;` and `?`, so it is split off first.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let user = user.map(|user| user.split_once(':').map_or(user, |(user, _)| user));
        if user.is_some_and(|user| {
            user.is_empty() || user.contains('@') || user.contains(char::is_control)
        }) {
            return Err(SipError::bad_request("URI with a bad user part"));
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (place, params) = match rest.split_once(';') {
            Some((place, params)) => (place, SipParams::parse(params)?),
            None => (rest, SipParams::default()),
        };
        let (host, port) = Host::parse_with_port(place)?;
        Ok(Self { is_secure, user: user.map(str::to_owned), host, port, params, headers })
    }

    /// Returns the user part with its escapes decoded.
    pub fn user_unescaped(&self) -> Option<String> {
        self.user.as_deref().map(unescape)
    }
}

impl Host {
    /// Parses `host`, `host:port` or `[address]:port`.
    ///
    /// # Errors
    ///
    /// The text has none of these forms.
    pub fn parse_with_port(text: &str) -> Result<(Self, Option<u16>), SipError> {
        const BAD: SipError = SipError::bad_request("bad host or port");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(BAD)?;
                let address: std::net::Ipv6Addr = address.parse().map_err(|_| BAD)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.trim_start().strip_prefix(':').ok_or(BAD)?),
                };
                (Self::Address(address.into()), port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                (Self::parse(host.trim_end())?, port)
            }
        };
        let port = match port.map(str::trim) {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                Some(port.parse().map_err(|_| BAD)?)
            }
            Some(_) => return Err(BAD),
            None => None,
        };
        Ok((host, port))
    }

    fn parse(text: &str) -> Result<Self, SipError> {
        if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let is_name_char = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        match !text.is_empty() && text.bytes().all(is_name_char) {
            true => Ok(Self::Name(text.to_ascii_lowercase())),
            false => Err(SipError::bad_request("bad host or port")),
        }
    }

    /// Returns the address. None for a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl SipParams {
    /// Parses `a=b;c`, without a leading semicolon. Values may be quoted.
    ///
    /// # Errors
    ///
    /// A name is empty, or a quote is not closed.
    pub fn parse(text: &str) -> Result<Self, SipError> {
        let mut params = Vec::new();
        for part in split_unquoted(text, b';')? {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
                None => (part, None),
            };
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(SipError::bad_request("bad parameter"));
            }
            params.push((name.to_owned(), value.map(unquote)));
        }
        Ok(Self(params))
    }

    /// Parses what can be read of a text, and leaves the rest out.
    pub fn parse_some(text: &str) -> Self {
        let parts = split_unquoted(text, b';').unwrap_or_else(|_| text.split(';').collect());
        let params = parts.into_iter().filter_map(|part| Self::parse(part).ok());
        Self(params.flat_map(|it| it.0).collect())
    }

    /// Returns the value of a parameter: None if it is missing, empty if it has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let row = self.0.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        row.map(|(_, value)| value.as_deref().unwrap_or_default())
    }
}

/// Splits at separators outside of quotes and angle brackets, and trims the parts.
///
/// # Errors
///
/// A quote or a bracket is not closed.
pub fn split_unquoted(text: &str, separator: u8) -> Result<Vec<&str>, SipError> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped, mut is_bracketed) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' if !is_bracketed => is_quoted = !is_quoted,
            b'<' if !is_quoted => is_bracketed = true,
            b'>' if !is_quoted => is_bracketed = false,
            byte if byte == separator && !is_quoted && !is_bracketed => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_quoted || is_bracketed {
        return Err(SipError::bad_request("unclosed quote or bracket"));
    }
    parts.push(text[start..].trim());
    Ok(parts)
}

/// Returns a quoted text without quotes and backslashes; other text unchanged.
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Other { scheme, rest } => write!(f, "{scheme}:{rest}"),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for SipParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            match value {
                Some(value) if is_plain(value) => write!(f, ";{name}={value}")?,
                Some(value) => {
                    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, ";{name}=\"{value}\"")?;
                }
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

/// Whether a value needs no quotes.
fn is_plain(value: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~[]:/?&$()@".contains(&b);
    !value.is_empty() && value.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_come_back_as_they_were() {
        for text in [
            "sip:weekly@127.0.0.1",
            "sip:weekly@127.0.0.1:5070;transport=tcp",
            "sips:+14155550100@[2001:db8::1]:5061;lr",
            "sip:%61nna@example.com?subject=hi",
            "sip:host.example",
            "sip:user;par=u%40example.net@example.com",
            "tel:+14155550100;phone-context=x",
        ] {
            assert_eq!(Uri::parse(text).map(|uri| uri.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "weekly",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a@b@c",
            "sip:a@h ost",
            "<sip:a@b>",
            "sip:a@h:port",
            "sip:a@h:99999",
            "sip:a@[::1",
            "sip:a@[1.2.3.4]",
            "1sip:a@b",
            "sip:a@b:-1",
            "sip:a@b;;x",
        ] {
            assert!(Uri::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_parts_of_a_uri_are_found() {
        let uri = Uri::parse("sip:j%40s0n:pw@EXAMPLE.com:5062;Transport=TCP;x").unwrap();
        let uri = uri.sip().unwrap();
        assert_eq!(uri.user_unescaped().as_deref(), Some("j@s0n"));
        assert_eq!(uri.host, Host::Name("example.com".to_owned()));
        assert_eq!(uri.port, Some(5062));
        assert_eq!(uri.params.get("transport"), Some("TCP"));
        assert_eq!(uri.params.get("x"), Some(""));
        assert_eq!(uri.params.get("y"), None);
    }

    #[test]
    fn lists_are_split_outside_of_quotes_and_brackets() {
        let parts = split_unquoted(r#""a, \"b" <sip:x,y@z> , c"#, b',');
        assert_eq!(parts.unwrap(), [r#""a, \"b" <sip:x,y@z>"#, "c"]);
        assert!(split_unquoted("\"open, x", b',').is_err());
    }

    #[test]
    fn quoted_values_survive() {
        let params = SipParams::parse(r#"a="x;\"y";b"#).unwrap();
        assert_eq!(params.get("a"), Some("x;\"y"));
        assert_eq!(params.to_string(), r#";a="x;\"y";b"#);
    }
}
