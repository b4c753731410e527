//! Request bodies: finds the session description, alone or in a multipart body.

use super::{
    ALLOW,
    info_digits::KEY_TYPES,
    message::SipMessage,
    name::HeaderName,
    uri::{SipParams, split_unquoted},
};

/// The body of a request, as far as calls use it.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum SipBody {
    /// No body, or an optional one that we do not read.
    Nothing,
    /// An SDP description, unparsed.
    Description(Vec<u8>),
    /// The status code of the refusal, and headers that name what is acceptable.
    Refused(u16, Vec<(HeaderName, String)>),
}

/// The types of bodies that can be or hold a description.
pub const DESCRIPTION_TYPES: [&str; 3] = [SDP, "multipart/mixed", "multipart/alternative"];

const SDP: &str = "application/sdp";

/// Limit of parts in a multipart body. Phones send two or three.
const PARTS_MAX: usize = 16;

pub(super) fn body_of(message: &SipMessage) -> SipBody {
    let encoding = message.get(&HeaderName::ContentEncoding).unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return SipBody::Refused(415, vec![(HeaderName::AcceptEncoding, "identity".to_owned())]);
    }
    let body = &message.body;
    if body.is_empty() {
        return SipBody::Nothing;
    }
    let kind = message.get(&HeaderName::ContentType).unwrap_or_default();
    let (name, params) = kind.split_once(';').unwrap_or((kind, ""));
    let name = name.trim().to_ascii_lowercase();
    match name.as_str() {
        SDP => SipBody::Description(body.clone()),
        // A sender that names no type, or none that can be read: the description says what it is.
        _ if !name.contains('/') && body.starts_with(b"v=") => SipBody::Description(body.clone()),
        name if DESCRIPTION_TYPES.contains(&name) => {
            let boundary = SipParams::parse(params).ok();
            let boundary = boundary.as_ref().and_then(|it| it.get("boundary"));
            match boundary.and_then(|boundary| description_among(body, boundary)) {
                Some(text) => SipBody::Description(text),
                None => unsupported(),
            }
        }
        _ if is_optional(message) => SipBody::Nothing,
        _ => unsupported(),
    }
}

fn unsupported() -> SipBody {
    SipBody::Refused(415, vec![(HeaderName::Accept, DESCRIPTION_TYPES.join(", "))])
}

/// `handling=optional`: the sender allows us to ignore the body (RFC 3204).
fn is_optional(message: &SipMessage) -> bool {
    let disposition = HeaderName::Other("Content-Disposition".into());
    let all = message.headers.iter();
    let mut all = all.filter(|(name, _)| name.as_str().eq_ignore_ascii_case(disposition.as_str()));
    all.any(|(_, value)| {
        let parts = split_unquoted(value, b';').unwrap_or_default();
        parts.iter().any(|it| it.eq_ignore_ascii_case("handling=optional"))
    })
}

/// Returns the first part that is a session description (RFC 2046, 5.1).
fn description_among(body: &[u8], boundary: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(body);
    let mark = format!("--{boundary}");
    for part in text.split(mark.as_str()).skip(1).take(PARTS_MAX) {
        let parts = part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n"));
        let Some((head, content)) = parts else { continue };
        let is_description =
            head.lines().filter_map(|line| line.split_once(':')).any(|(name, value)| {
                let kind = value.split(';').next().unwrap_or_default().trim();
                name.trim().eq_ignore_ascii_case("content-type")
                    && kind.eq_ignore_ascii_case("application/sdp")
            });
        if is_description {
            return Some(content.strip_suffix("\r\n").unwrap_or(content).as_bytes().to_vec());
        }
    }
    None
}

/// Our capabilities, for OPTIONS.
pub(super) fn capabilities() -> Vec<(HeaderName, String)> {
    vec![
        (HeaderName::Allow, ALLOW.to_owned()),
        (HeaderName::Accept, [&DESCRIPTION_TYPES[..], &KEY_TYPES[..]].concat().join(", ")),
        (HeaderName::Supported, "timer".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &str, body: &str) -> SipBody {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 7 INVITE\r\n{headers}\r\n{body}"
        );
        body_of(&SipMessage::parse(text.as_bytes()).unwrap().unwrap())
    }

    #[test]
    fn the_description_is_found() {
        let description = |text: &str| SipBody::Description(text.into());
        let mixed = "Content-Type: multipart/mixed;boundary=\"=_b\"\r\n";
        let parts = "--=_b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--=_b\r\n\
                     content-type : application/SDP;x=y\r\n\r\nv=0\r\n\r\n--=_b--\r\n";
        for (headers, body, expected) in [
            ("", "", SipBody::Nothing),
            ("Content-Type: application/sdp\r\n", "v=0", description("v=0")),
            ("c: Application/SDP; charset=utf-8\r\n", "v=0", description("v=0")),
            (mixed, parts, description("v=0\r\n")),
            (mixed, &parts.replace("\r\n", "\n"), description("v=0\n\n")),
            (mixed, "--=_b\r\n\r\nhi\r\n--=_b--", unsupported()),
            ("Content-Type: text/plain\r\n", "hi", unsupported()),
            ("", "hi", unsupported()),
            ("", "v=0", description("v=0")),
            ("Content-Type:\r\n", "v=0", description("v=0")),
            (
                "Content-Type: text/plain\r\nContent-Disposition: x;handling=optional\r\n",
                "hi",
                SipBody::Nothing,
            ),
        ] {
            assert_eq!(read(headers, body), expected, "{headers}{body}");
        }
        let zipped = read("Content-Encoding: gzip\r\nContent-Type: application/sdp\r\n", "v=0");
        assert!(matches!(zipped, SipBody::Refused(415, _)), "{zipped:?}");
    }
}
