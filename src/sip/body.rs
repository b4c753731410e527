//! The body of a request: a session description, alone or as a part among others.

use super::{
    name::Name,
    request::Request,
    uri::{Params, split_unquoted},
};

/// What a body is to a call.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Body {
    /// There is none.
    Nothing,
    /// A session description.
    Description(Vec<u8>),
    /// A status code, and headers that say what would be taken.
    Refused(u16, Vec<(Name, String)>),
}

/// Parts of a multipart body; two or three is what phones send.
const PARTS_MAX: usize = 16;

/// Finds the session description.
pub(super) fn body_of(request: &Request) -> Body {
    let encoding = request.get(&Name::ContentEncoding).unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Body::Refused(415, vec![(Name::AcceptEncoding, "identity".to_owned())]);
    }
    let body = &request.message.body;
    if body.is_empty() {
        return Body::Nothing;
    }
    let kind = request.get(&Name::ContentType).unwrap_or_default();
    let (name, params) = kind.split_once(';').unwrap_or((kind, ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "application/sdp" => Body::Description(body.clone()),
        "multipart/mixed" | "multipart/alternative" => {
            let boundary = Params::parse(params).ok();
            let boundary = boundary.as_ref().and_then(|it| it.get("boundary"));
            match boundary.and_then(|boundary| description_among(body, boundary)) {
                Some(text) => Body::Description(text),
                None => unsupported(),
            }
        }
        _ if is_optional(request) => Body::Nothing,
        _ => unsupported(),
    }
}

fn unsupported() -> Body {
    Body::Refused(415, vec![(Name::Accept, "application/sdp".to_owned())])
}

/// `handling=optional`: the sender does not mind if we do not read it (RFC 3204).
fn is_optional(request: &Request) -> bool {
    let disposition = Name::Other("Content-Disposition".into());
    let all = request.message.headers.iter();
    let mut all = all.filter(|(name, _)| name.as_str().eq_ignore_ascii_case(disposition.as_str()));
    all.any(|(_, value)| {
        let parts = split_unquoted(value, b';').unwrap_or_default();
        parts.iter().any(|it| it.eq_ignore_ascii_case("handling=optional"))
    })
}

/// The first part that is a session description (RFC 2046, 5.1).
fn description_among(body: &[u8], boundary: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(body);
    let mark = format!("--{boundary}");
    for part in text.split(mark.as_str()).skip(1).take(PARTS_MAX) {
        let Some((head, content)) = part.split_once("\r\n\r\n") else { continue };
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

#[cfg(test)]
mod tests {
    use super::{super::message::Message, *};

    fn read(headers: &str, body: &str) -> Body {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 7 INVITE\r\n{headers}\r\n{body}"
        );
        body_of(&Request::read(Message::parse(text.as_bytes()).unwrap().unwrap()).unwrap())
    }

    #[test]
    fn the_description_is_found() {
        let description = |text: &str| Body::Description(text.into());
        let mixed = "Content-Type: multipart/mixed;boundary=\"=_b\"\r\n";
        let parts = "--=_b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--=_b\r\n\
                     content-type : application/SDP;x=y\r\n\r\nv=0\r\n\r\n--=_b--\r\n";
        for (headers, body, expected) in [
            ("", "", Body::Nothing),
            ("Content-Type: application/sdp\r\n", "v=0", description("v=0")),
            ("c: Application/SDP; charset=utf-8\r\n", "v=0", description("v=0")),
            (mixed, parts, description("v=0\r\n")),
            (mixed, "--=_b\r\n\r\nhi\r\n--=_b--", unsupported()),
            ("Content-Type: text/plain\r\n", "hi", unsupported()),
            ("", "hi", unsupported()),
            (
                "Content-Type: text/plain\r\nContent-Disposition: x;handling=optional\r\n",
                "hi",
                Body::Nothing,
            ),
        ] {
            assert_eq!(read(headers, body), expected, "{headers}{body}");
        }
        let zipped = read("Content-Encoding: gzip\r\nContent-Type: application/sdp\r\n", "v=0");
        assert!(matches!(zipped, Body::Refused(415, _)), "{zipped:?}");
    }
}
