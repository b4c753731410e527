//! SIP names: header names, long and compact, and methods.

use std::fmt;

methods! {
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Info = "INFO",
    Invite = "INVITE",
    Options = "OPTIONS",
    Refer = "REFER",
    Register = "REGISTER",
    Update = "UPDATE",
}

names! {
    Accept = "Accept", "",
    AcceptEncoding = "Accept-Encoding", "",
    Allow = "Allow", "",
    Authorization = "Authorization", "",
    CSeq = "CSeq", "",
    CallId = "Call-ID", "i",
    Contact = "Contact", "m",
    ContentEncoding = "Content-Encoding", "e",
    ContentLength = "Content-Length", "l",
    ContentType = "Content-Type", "c",
    Date = "Date", "",
    Diversion = "Diversion", "",
    Expires = "Expires", "",
    From = "From", "f",
    MaxForwards = "Max-Forwards", "",
    MinExpires = "Min-Expires", "",
    MinSe = "Min-SE", "",
    PAssertedIdentity = "P-Asserted-Identity", "",
    Privacy = "Privacy", "",
    ProxyAuthenticate = "Proxy-Authenticate", "",
    ProxyAuthorization = "Proxy-Authorization", "",
    ProxyRequire = "Proxy-Require", "",
    Reason = "Reason", "",
    RecordRoute = "Record-Route", "",
    Require = "Require", "",
    RetryAfter = "Retry-After", "",
    Route = "Route", "",
    Server = "Server", "",
    SessionExpires = "Session-Expires", "x",
    Supported = "Supported", "k",
    To = "To", "t",
    Unsupported = "Unsupported", "",
    UserAgent = "User-Agent", "",
    Via = "Via", "v",
    Warning = "Warning", "",
    WwwAuthenticate = "WWW-Authenticate", "",
}

/// Whether a text is a token (RFC 3261, section 25.1).
pub fn is_token(text: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

macro_rules! methods {
    ($( $name:ident = $text:literal, )*) => {
        /// The method of a request. Methods compare with case.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum SipMethod {
            $(
                #[doc = $text]
                $name,
            )*
            /// A method that we do not know, as written.
            Other(Box<str>),
        }

        impl SipMethod {
            /// Returns the method of this name, known or not.
            pub fn of(text: &str) -> Self {
                match text {
                    $( $text => Self::$name, )*
                    other => Self::Other(other.into()),
                }
            }

            /// Returns the name as it is sent.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$name => $text, )*
                    Self::Other(text) => text,
                }
            }
        }
    };
}
use methods;

macro_rules! names {
    ($( $name:ident = $text:literal, $short:literal, )*) => {
        /// The name of a header, long or compact. Names compare without case.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum HeaderName {
            $(
                #[doc = $text]
                $name,
            )*
            /// A header that we do not know, as written.
            Other(Box<str>),
        }

        impl HeaderName {
            /// Returns the header of this name, known or not.
            pub fn of(text: &str) -> Self {
                $(
                    if text.eq_ignore_ascii_case($text)
                        || (!$short.is_empty() && text.eq_ignore_ascii_case($short))
                    {
                        return Self::$name;
                    }
                )*
                Self::Other(text.into())
            }

            /// Returns the long form of the name.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$name => $text, )*
                    Self::Other(text) => text,
                }
            }
        }
    };
}
use names;

impl fmt::Display for SipMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
