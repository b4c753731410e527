//! Values of settings that several tables share.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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
