//! Values of settings that several tables share.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::flow::RequestMethod;

/// An IP address and a port, such as `127.0.0.1:8080`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ListenAddress(pub SocketAddr);

/// A text that is printed, logged and serialized as `"…"`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(pub String);

/// The origin of a web page as browsers send it: `https://app.example`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct WebOrigin(pub String);

/// Method of a request that fetches a document.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The fields are in the query.
    Get,
    /// The fields are in the body.
    #[default]
    Post,
}

impl From<HttpMethod> for RequestMethod {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::Get,
            HttpMethod::Post => Self::Post,
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// Wraps a constant. Panics if `n` is out of range.
    pub const fn new(n: u32) -> Self {
        assert!(MIN <= n && n <= MAX, "out of bounds");
        Self(n)
    }

    /// The value, from `MIN` to `MAX`.
    pub const fn get(self) -> u32 {
        self.0
    }

    fn checked(n: Option<u32>) -> Result<Self, String> {
        let fits = n.filter(|n| (MIN..=MAX).contains(n));
        fits.map(Self).ok_or_else(|| format!("write a whole number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Count<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::checked(text.parse().ok())
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = i64::deserialize(deserializer)?;
        Self::checked(n.try_into().ok()).map_err(de::Error::custom)
    }
}

/// A number of bytes from `MIN` to `MAX`, such as `1073741824` or `1GiB`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ByteSize<const MIN: u64, const MAX: u64>(u64);

/// The units that a size may have.
const BYTE_UNITS: [(&str, u64); 4] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];

impl<const MIN: u64, const MAX: u64> ByteSize<MIN, MAX> {
    /// Wraps a constant. Panics if `n` is out of range.
    pub const fn new(n: u64) -> Self {
        assert!(MIN <= n && n <= MAX, "out of bounds");
        Self(n)
    }

    /// The number of bytes, from `MIN` to `MAX`.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for ByteSize<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = BYTE_UNITS.into_iter();
        let found =
            units.filter_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes))).next();
        let bytes = found.and_then(|(n, bytes)| n.trim().parse::<u64>().ok()?.checked_mul(bytes));
        let fits = bytes.filter(|it| (MIN..=MAX).contains(it));
        fits.map(Self).ok_or_else(|| {
            format!("write a number of bytes from {MIN} to {MAX}, such as 1073741824 or 1GiB")
        })
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for ByteSize<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let number = value.as_integer().map(|it| it.to_string());
        let text = number.or_else(|| value.as_str().map(str::to_owned)).unwrap_or_default();
        text.parse().map_err(de::Error::custom)
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    /// Refuses what no browser sends, since it would never match: a path, capitals, the default port.
    /// A pattern such as `*` is none.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, authority) = text.split_once("://").unwrap_or_default();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let is_scheme = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        let is_authority =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
        let is_origin = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(is_scheme)
            && !authority.is_empty()
            && authority.chars().all(is_authority)
            && !authority.ends_with(port);
        match is_origin {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "write an origin as a browser sends it, such as https://app.example or \
                 http://localhost:3000 (no path, no pattern), not {text:?}"
            )),
        }
    }
}

impl TryFrom<String> for WebOrigin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write an IP address and a port, such as 127.0.0.1:8080 or [::]:8080";
        text.parse().map(Self).map_err(|_| wanted.to_owned())
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Written by hand, like that of [`AccountTokens`](super::settings::AccountTokens).
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = || de::Error::custom("write a string");
        let value = toml::Value::deserialize(deserializer)?;
        value.as_str().map(|it| Self(it.to_owned())).ok_or_else(wanted)
    }
}

impl Secret {
    /// Replacement for a secret that is not shown; it is not a valid token.
    pub const HIDDEN: &'static str = "…";
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(Self::HIDDEN, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes() {
        let check = |text: &str, expected: Option<u64>| {
            let size = text.parse::<ByteSize<1_024, { 1 << 40 }>>();
            assert_eq!(size.ok().map(ByteSize::get), expected, "{text}");
        };
        check("1024", Some(1_024));
        check("3 MiB", Some(3 << 20));
        check("1GiB", Some(1 << 30));
        check("1023", None);
        check("2048GiB", None);
        check("99999999999999GiB", None);
        check("1GB", None);
        check("MiB", None);
        check("", None);
    }

    #[test]
    fn an_origin_is_as_a_browser_sends_it() {
        for text in [
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]:80801",
            "tauri://localhost",
        ] {
            assert_eq!(text.parse(), Ok(WebOrigin(text.to_owned())));
        }
        for text in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://App.example",
            "https://*.app.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://a@b",
            "https://app.example?x",
            "://x",
            "HTTPS://app.example",
        ] {
            let error = text.parse::<WebOrigin>().unwrap_err();
            assert!(error.ends_with(&format!("not {text:?}")), "{error}");
        }
    }
}
