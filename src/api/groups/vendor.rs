//! Vendors: the dialects of the group API with error bodies of their own.

use axum::{
    http::{HeaderValue, header::ACCEPT_ENCODING},
    response::Response,
};

use super::{bungie, capillary, kirimin, rocketchat};
use crate::api::{dialect::ApiDialect, failure::Failure};

/// A vendor's dialect, which has error bodies of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::api) enum Vendor {
    Bungie,
    RocketChat,
    Kirimin,
    Capillary,
}

impl Vendor {
    pub(in crate::api) fn of(dialect: ApiDialect) -> Option<Self> {
        match dialect {
            ApiDialect::Bungie => Some(Self::Bungie),
            ApiDialect::RocketChat => Some(Self::RocketChat),
            ApiDialect::Kirimin => Some(Self::Kirimin),
            ApiDialect::Capillary => Some(Self::Capillary),
            ApiDialect::Plivo
            | ApiDialect::Vobiz
            | ApiDialect::Sim
            | ApiDialect::Console
            | ApiDialect::Ops
            | ApiDialect::Groups => None,
        }
    }

    /// The vendor's response to a compressed body: 415, with what is accepted (RFC 9110, 15.5.16).
    pub(super) fn refuse_coding(self, failure: &Failure) -> Response {
        let text = failure.to_string();
        let mut response = match self {
            Self::Bungie => bungie::refuse_coding(),
            Self::RocketChat => rocketchat::refuse_coding(text),
            Self::Kirimin => kirimin::refuse_coding(),
            Self::Capillary => capillary::refuse_coding(text),
        };
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        response
    }
}
