//! Signatures of outgoing requests, as the vendors' own validators check them.
//!
//! Every text form here is the one that the shipped validators use, not the one that the vendors'
//! prose describes; contract section 4.8 lists the differences.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::form_urlencoded;

use crate::{base::ids::Dialect, flow::RequestMethod};

/// A form field of a request: name and value, both plain text.
pub type FormField = (Cow<'static, str>, String);

/// Decimal digits of a nonce: as many as the vendors send.
pub const NONCE_DIGITS: usize = 20;

/// The keys of an account, and the dialect of its headers.
#[derive(Clone, Eq, PartialEq)]
pub struct Signer {
    /// Vendor whose header names are used.
    pub dialect: Dialect,
    /// The account's tokens: one, or two while one replaces the other, newest first. Only the
    /// newest signs where validators expect one signature (all but Plivo's V3).
    pub tokens: Vec<String>,
    /// Token of the main account, if this is a sub-account.
    pub parent_token: Option<String>,
}

impl Signer {
    /// Headers that authenticate a request; none without a token.
    ///
    /// `url` is sent without its fragment, which is not signed. `fields` are those in the body of a
    /// POST; those of a GET may be here or in the URL, with equal results. `nonce` is
    /// [`NONCE_DIGITS`] decimal digits, never used twice.
    pub fn sign(
        &self,
        method: RequestMethod,
        url: &str,
        fields: &[FormField],
        nonce: &str,
    ) -> Vec<(&'static str, String)> {
        let Some(newest) = self.tokens.first() else { return Vec::new() };

        let bare = bare(url);
        let newest = std::slice::from_ref(newest);
        let (names, third, third_keys) = match self.dialect {
            Dialect::Plivo => (&PLIVO, plivo_v3(method, url, fields), &*self.tokens),
            Dialect::Vobiz => (&VOBIZ, bare.to_owned(), newest),
        };
        let third = format!("{third}.{nonce}");
        let second = format!("{bare}{nonce}");
        let parent = self.parent_token.as_slice();
        let (third_own, second_own) = (hmacs(third_keys, &third), hmacs(newest, &second));
        let main = match (parent.is_empty(), self.dialect) {
            (false, Dialect::Plivo | Dialect::Vobiz) => {
                Some((hmacs(parent, &third), hmacs(parent, &second)))
            }
            // Plivo's documents have these headers in every request; a main account is its own
            // parent.
            (true, Dialect::Plivo) => Some((third_own.clone(), second_own.clone())),
            (true, Dialect::Vobiz) => None,
        };
        let mut headers = vec![
            (names.third, third_own),
            (names.third_nonce, nonce.to_owned()),
            (names.second, second_own),
            (names.second_nonce, nonce.to_owned()),
        ];
        if let Some((third, second)) = main {
            headers.extend([(names.third_parent, third), (names.second_parent, second)]);
        }
        headers
    }
}

/// Leaves the tokens out: they are secrets.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dialect, tokens, parent_token } = self;
        f.debug_struct("Signer")
            .field("dialect", dialect)
            .field("tokens", &tokens.len())
            .field("has_parent_token", &parent_token.is_some())
            .finish()
    }
}

/// Header names of a vendor.
struct HeaderNames {
    third: &'static str,
    third_nonce: &'static str,
    third_parent: &'static str,
    second: &'static str,
    second_nonce: &'static str,
    second_parent: &'static str,
}

const PLIVO: HeaderNames = HeaderNames {
    third: "X-Plivo-Signature-V3",
    third_nonce: "X-Plivo-Signature-V3-Nonce",
    third_parent: "X-Plivo-Signature-Ma-V3",
    second: "X-Plivo-Signature-V2",
    second_nonce: "X-Plivo-Signature-V2-Nonce",
    second_parent: "X-Plivo-Signature-Ma-V2",
};

const VOBIZ: HeaderNames = HeaderNames {
    third: "X-Vobiz-Signature-V3",
    third_nonce: "X-Vobiz-Signature-V3-Nonce",
    third_parent: "X-Vobiz-Signature-MA-V3",
    second: "X-Vobiz-Signature-V2",
    second_nonce: "X-Vobiz-Signature-V2-Nonce",
    second_parent: "X-Vobiz-Signature-MA-V2",
};

/// Fields sorted by name and value, in the order of code points, which is UTF-8's.
type SortedFields<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Text that Plivo's V3 signs, without the nonce.
fn plivo_v3(method: RequestMethod, url: &str, fields: &[FormField]) -> String {
    let bare = bare(url);
    let query = sorted(form_urlencoded::parse(query(url).as_bytes()));
    let mut fields =
        sorted(fields.iter().map(|(name, value)| (name.as_ref().into(), value.as_str().into())));
    match method {
        RequestMethod::Get => {
            fields.retain(|(name, _)| !query.iter().any(|(other, _)| other == name));
            let fields = sorted(fields.into_iter().chain(query));
            match fields.is_empty() {
                true => bare.to_owned(),
                false => format!("{bare}?{}", as_query(&fields)),
            }
        }
        RequestMethod::Post if fields.is_empty() && query.is_empty() => bare.to_owned(),
        RequestMethod::Post if fields.is_empty() => format!("{bare}?{}", as_query(&query)),
        // The bare `?` is intentional: the validators expect it.
        RequestMethod::Post if query.is_empty() => format!("{bare}?{}", as_text(&fields)),
        RequestMethod::Post => format!("{bare}?{}.{}", as_query(&query), as_text(&fields)),
    }
}

/// The URL before its query.
fn bare(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Text between `?` and `#`.
fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

fn sorted<'a>(fields: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> SortedFields<'a> {
    let mut sorted: SortedFields<'_> = fields.collect();
    sorted.sort_unstable();
    sorted
}

/// Fields as `a=1&b=2`, without escapes.
fn as_query(fields: &SortedFields<'_>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let and = if text.is_empty() { "" } else { "&" };
        text.extend([and, name, "=", value]);
    }
    text
}

/// Fields as `a1b2`, without separators.
fn as_text(fields: &SortedFields<'_>) -> String {
    fields.iter().flat_map(|(name, value)| [&**name, &**value]).collect()
}

/// One signature for each key; a validator accepts any of them.
fn hmacs(keys: &[String], text: &str) -> String {
    keys.iter().map(|key| hmac(key, text)).collect::<Vec<_>>().join(",")
}

fn hmac(key: &str, text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    let mac = mac.expect("HMAC takes a key of any length").chain_update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{
        RequestMethod::{Get, Post},
        *,
    };

    const NONCE: &str = "05429567804466091622";
    const P: &[(&str, &str)] = &[
        ("CallUUID", "u1"),
        ("From", "+14155550100"),
        ("To", "14155550101"),
        ("ConferenceAction", "enter"),
    ];

    type Vector = (
        RequestMethod,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );

    /// Method, URL, fields, signed text, signature; computed with the vendor's own code (contract
    /// 4.8).
    const VECTORS: &[Vector] = &[
        (
            Post,
            "https://example.com/cb",
            P,
            "https://example.com/cb?CallUUIDu1ConferenceActionenterFrom+14155550100To14155550101",
            "0cJ1uwVJJvZZhEMlzLFMToj/Hl2im5gpKZQJuOL5pFA=",
        ),
        (
            Post,
            "https://example.com/cb/?b=2&a=1",
            P,
            "https://example.com/cb/?a=1&b=2.\
             CallUUIDu1ConferenceActionenterFrom+14155550100To14155550101",
            "GhaAXXQ6hztAAvrjxHMuTH+LoL6uos8q9fkdok0zaaQ=",
        ),
        (
            Post,
            "https://example.com/cb?x=1",
            &[],
            "https://example.com/cb?x=1",
            "ULZFPXEPYP2/uH9DuIdcV8mcE2txffTjHWG9Nl8uWYo=",
        ),
        (
            Get,
            "https://example.com/cb",
            &[],
            "https://example.com/cb",
            "xYJoyDMT7Ulz29Oyrs72MAsmKD9vlSlh+6wsQHSjZrY=",
        ),
        (
            Post,
            "https://example.com/cb",
            &[],
            "https://example.com/cb",
            "xYJoyDMT7Ulz29Oyrs72MAsmKD9vlSlh+6wsQHSjZrY=",
        ),
        (
            Get,
            "https://example.com/cb",
            P,
            "https://example.com/cb?\
             CallUUID=u1&ConferenceAction=enter&From=+14155550100&To=14155550101",
            "oMQTV4w6/dxKyXzgpdULOLVdV88lqQMTSw6cYr0/Pmo=",
        ),
        (
            Get,
            "https://example.com/cb?z=9&a=b%20c",
            P,
            "https://example.com/cb?\
             CallUUID=u1&ConferenceAction=enter&From=+14155550100&To=14155550101&a=b c&z=9",
            "I5r1pN4HsgsVbabe9Xgz398i4pOYUOoF4vP+SDvKVsQ=",
        ),
        (
            Post,
            "https://example.com:8443/cb?x=",
            &[("E", ""), ("a", "1"), ("B", "2")],
            "https://example.com:8443/cb?x=.B2Ea1",
            "+mRxT4eZhAqWx7bSc7uVZ+242BspPS5Zd7jCoCwE2Mo=",
        ),
        (
            Post,
            "https://example.com/cb?a=2&a=1",
            &[("k", "b"), ("k", "a")],
            "https://example.com/cb?a=1&a=2.kakb",
            "SQUq1x9lg8fsMdcmoaBaOVmt795ef/UNI4rTzJG9xAQ=",
        ),
        (
            Post,
            "https://example.com/a#ct=2000&rc=3",
            P,
            "https://example.com/a?CallUUIDu1ConferenceActionenterFrom+14155550100To14155550101",
            "Sp7AVaDjKY+c+aW3fX4lW7eusoLmwePXXUwFQm8nT0g=",
        ),
    ];

    fn fields(of: &[(&'static str, &str)]) -> Vec<FormField> {
        of.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect()
    }

    fn signer(dialect: Dialect, tokens: &[&str], parent: Option<&str>) -> Signer {
        let tokens = tokens.iter().map(|it| (*it).to_owned()).collect();
        Signer { dialect, tokens, parent_token: parent.map(str::to_owned) }
    }

    #[test]
    fn plivo_v3_is_what_plivos_validators_compute() {
        for (method, url, of, text, signature) in VECTORS {
            assert_eq!(plivo_v3(*method, url, &fields(of)), *text, "{method:?} {url}");
            let signer = signer(Dialect::Plivo, &["TESTTOKEN"], None);
            let headers = signer.sign(*method, url, &fields(of), NONCE);
            assert_eq!(headers[0], ("X-Plivo-Signature-V3", (*signature).to_owned()), "{url}");
            assert_eq!(headers[1], ("X-Plivo-Signature-V3-Nonce", NONCE.to_owned()));
        }
    }

    #[test]
    fn of_equal_names_in_a_get_the_query_wins() {
        let url = "https://example.com/cb?To=2";
        assert_eq!(plivo_v3(Get, url, &fields(&[("To", "1")])), url);
    }

    #[test]
    fn every_header_of_either_vendor_is_keyed_and_written_as_that_vendor_does() {
        let check = |dialect, parent, expected: &[(&str, &str, &str)]| {
            let signer = signer(dialect, &["T"], parent);
            let url = "https://example.com/cb?x=1#rc=2";
            let headers = signer.sign(Post, url, &fields(&[("k", "v")]), NONCE);
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, key, text)| match key.is_empty() {
                    true => (*name, (*text).to_owned()),
                    false => (*name, hmac(key, text)),
                })
                .collect();
            assert_eq!(headers, expected, "{dialect}");
        };

        let v2 = "https://example.com/cb05429567804466091622";
        let plivo_v3 = "https://example.com/cb?x=1.kv.05429567804466091622";
        let vobiz_v3 = "https://example.com/cb.05429567804466091622";
        // Without a parent, the account is its own parent.
        for (parent, key) in [(Some("PARENT"), "PARENT"), (None, "T")] {
            check(
                Dialect::Plivo,
                parent,
                &[
                    ("X-Plivo-Signature-V3", "T", plivo_v3),
                    ("X-Plivo-Signature-V3-Nonce", "", NONCE),
                    ("X-Plivo-Signature-V2", "T", v2),
                    ("X-Plivo-Signature-V2-Nonce", "", NONCE),
                    ("X-Plivo-Signature-Ma-V3", key, plivo_v3),
                    ("X-Plivo-Signature-Ma-V2", key, v2),
                ],
            );
        }
        check(
            Dialect::Vobiz,
            None,
            &[
                ("X-Vobiz-Signature-V3", "T", vobiz_v3),
                ("X-Vobiz-Signature-V3-Nonce", "", NONCE),
                ("X-Vobiz-Signature-V2", "T", v2),
                ("X-Vobiz-Signature-V2-Nonce", "", NONCE),
            ],
        );
        check(
            Dialect::Vobiz,
            Some("PARENT"),
            &[
                ("X-Vobiz-Signature-V3", "T", vobiz_v3),
                ("X-Vobiz-Signature-V3-Nonce", "", NONCE),
                ("X-Vobiz-Signature-V2", "T", v2),
                ("X-Vobiz-Signature-V2-Nonce", "", NONCE),
                ("X-Vobiz-Signature-MA-V3", "PARENT", vobiz_v3),
                ("X-Vobiz-Signature-MA-V2", "PARENT", v2),
            ],
        );
    }

    #[test]
    fn while_a_token_is_replaced_both_sign_where_validators_split_at_commas() {
        let sign = |dialect, tokens: &[&str]| {
            let signer = signer(dialect, tokens, None);
            let headers = signer.sign(Post, "https://example.com/cb", &[], NONCE);
            if dialect == Dialect::Plivo {
                // The headers of a main account are equal to its own.
                assert_eq!([&headers[4].1, &headers[5].1], [&headers[0].1, &headers[2].1]);
            }
            [headers[0].1.clone(), headers[2].1.clone()]
        };

        let [new_v3, new_v2] = sign(Dialect::Plivo, &["NEW"]);
        let [old_v3, _] = sign(Dialect::Plivo, &["OLD"]);
        assert_eq!(sign(Dialect::Plivo, &["NEW", "OLD"]), [format!("{new_v3},{old_v3}"), new_v2]);
        assert_eq!(sign(Dialect::Vobiz, &["NEW", "OLD"]), sign(Dialect::Vobiz, &["NEW"]));
    }

    #[test]
    fn no_token_is_no_header_and_no_token_is_ever_printed() {
        let none = signer(Dialect::Plivo, &[], Some("PARENT"));
        assert_eq!(none.sign(Post, "https://example.com/", &[], NONCE), []);
        let secret = signer(Dialect::Plivo, &["SECRET"], Some("SECRET"));
        assert!(!format!("{secret:?}").contains("SECRET"));
    }
}
