//! Values of settings that several tables share.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IP address and a port, such as `127.0.0.1:8080`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ListenAddress(pub SocketAddr);

/// A text that is printed, logged and serialized as `"…"`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(pub String);

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
