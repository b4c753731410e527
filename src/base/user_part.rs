//! User parts: the number or name in an address, in all forms that carriers and people write.
//!
//! RFC 3966 allows visual separators and parameters in a number, RFC 4694 has parameters of number
//! portability. All places that compare numbers read them here: Request-URI, From,
//! P-Asserted-Identity, the `called` of `[[number]]`, the `to` of the API, the callers of groups.

/// A user part, taken apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UserPart {
    /// The number without `+` and separators, or else the name, with its escapes decoded.
    pub user: String,
    /// Whether `user` is a number.
    pub is_number: bool,
    /// `rn`: the number that the call is routed by, because the called one has been ported.
    pub routing_number: Option<String>,
    /// `npdi`: the database of ported numbers has been asked.
    pub is_looked_up: bool,
}

/// Visual separators (RFC 3966, 5.1.1), and the space, which people write.
const SEPARATORS: &[char] = &['-', '.', '(', ')', ' '];

impl UserPart {
    /// Reads a URI (`sip:`, `sips:`, `tel:`), or a user part alone.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
            Some(_) | None => ("", text),
        };
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) if !scheme.is_empty() => {
                (user.split(':').next().unwrap_or(user), host)
            }
            // A URI without a host is no URI, but its meaning is clear.
            None if scheme.to_ascii_lowercase().starts_with("sip") => {
                (rest.split([';', '?']).next().unwrap_or(rest), "")
            }
            Some(_) | None => (rest, ""),
        };
        let (head, params) = user.split_once(';').unwrap_or((user, ""));
        let Some(number) = digits(&unescape(head)) else {
            // A semicolon may be part of a name (RFC 4475, 3.1.1.9).
            return Self { user: unescape(user), ..Self::default() };
        };
        let mut it = Self { user: number, is_number: true, ..Self::default() };
        let of_host = host.split('?').next().unwrap_or(host).split(';').skip(1);
        for param in params.split(';').chain(of_host) {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "rn" => it.routing_number = it.routing_number.or_else(|| digits(&unescape(value))),
                "npdi" => it.is_looked_up = true,
                _ => {}
            }
        }
        it
    }
}

/// Returns the number of a text that is nothing else, or a `tel:` URI: without `+` and separators.
pub fn bare_number(text: &str) -> Option<String> {
    let part = UserPart::read(text);
    let is_sip = text.trim().get(..3).is_some_and(|it| it.eq_ignore_ascii_case("sip"));
    (part.is_number && !is_sip).then_some(part.user)
}

fn is_scheme(text: &str) -> bool {
    ["sip", "sips", "tel"].iter().any(|it| text.eq_ignore_ascii_case(it))
}

/// The digits of what looks like a number.
fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.strip_prefix('+').unwrap_or(text);
    let is_number = rest.starts_with(|c: char| c.is_ascii_digit() || c == '(')
        && rest.chars().all(|c| c.is_ascii_digit() || SEPARATORS.contains(&c));
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    (is_number && !digits.is_empty()).then_some(digits)
}

/// Decodes `%41`. Anything that is not an escape stays, as does the whole if it is not UTF-8.
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// pjproject#2458 and #3881, asterisk#646, Metaswitch/sprout#914, sipwise/sems#18.
    #[test]
    fn a_number_is_read_in_all_its_forms() {
        for text in [
            "14155550100",
            "+14155550100",
            "+1-415-555-0100",
            "+1.415.555.0100",
            "+1(415)555-0100",
            "(1415)5550100",
            " +1 415 555 0100 ",
            "%2B14155550100",
            "+1%20(415)%20555-0100",
            "sip:+14155550100@127.0.0.1:5060;user=phone",
            "SIP:+1-415-555-0100:password@[::1]",
            "sips:14155550100",
            "sip:14155550100;x=y",
            "tel:+1-415-555-0100",
            "tel:+14155550100;phone-context=+1;isub=2;ext=3",
        ] {
            let part = UserPart::read(text);
            assert_eq!((part.user.as_str(), part.is_number), ("14155550100", true), "{text}");
            assert_eq!((part.routing_number, part.is_looked_up), (None, false), "{text}");
        }
    }

    /// RFC 4694.
    #[test]
    fn the_facts_of_number_portability_are_kept() {
        for (text, routing_number, is_looked_up) in [
            ("+14155550100;npdi", None, true),
            ("+14155550100;npdi=yes;rn=+14155559999", Some("14155559999"), true),
            ("+1-415-555-0100;rn=+1-415-555-9999;npdi", Some("14155559999"), true),
            ("sip:+14155550100;NPDI;RN=4155559999@h;user=phone", Some("4155559999"), true),
            ("sip:+14155550100@h:5060;user=phone;npdi;rn=+14155559999", Some("14155559999"), true),
            ("tel:+14155550100;cic=+1-6789;rn=+1-415-555-9999", Some("14155559999"), false),
            ("+14155550100;rn=;npdi", None, true),
            ("+14155550100;rn=x", None, false),
        ] {
            let part = UserPart::read(text);
            assert_eq!(part.user, "14155550100", "{text}");
            assert_eq!(part.routing_number.as_deref(), routing_number, "{text}");
            assert_eq!(part.is_looked_up, is_looked_up, "{text}");
        }
    }

    #[test]
    fn a_name_stays_a_name() {
        for (text, user) in [
            ("weekly", "weekly"),
            ("sip:weekly@127.0.0.1", "weekly"),
            ("sip:weekly;x=y", "weekly"),
            ("sip:sip%3Auser%40x@x", "sip:user@x"),
            ("sip:user;par=u%40example.net@example.com", "user;par=u@example.net"),
            ("+", "+"),
            ("*97", "*97"),
            ("-1", "-1"),
            ("()", "()"),
            ("1st-floor", "1st-floor"),
            ("+14155550100x", "+14155550100x"),
            ("mailto:a@b", "mailto:a@b"),
            ("sip:@h", ""),
            ("", ""),
        ] {
            let part = UserPart::read(text);
            assert_eq!((part.user.as_str(), part.is_number), (user, false), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_no_sip_uri() {
        assert_eq!(bare_number("+1-415-555-0100").as_deref(), Some("14155550100"));
        assert_eq!(bare_number("tel:+1-415-555-0100").as_deref(), Some("14155550100"));
        assert_eq!(bare_number("sip:14155550100@example.com"), None);
        assert_eq!(bare_number("anna"), None);
    }
}
