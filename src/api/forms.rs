//! Forms of the voice answers: where a vendor documents one and its servers send another, the
//! configuration picks.

use axum::http::{HeaderMap, header::USER_AGENT};
use serde::Deserialize;

/// `voice` in the configuration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// The form of Plivo's answers, from `voice.plivo`.
    pub plivo: PlivoForm,
    /// The form of Vobiz's answers, from `voice.vobiz`.
    pub vobiz: VobizForm,
}

/// The JSON type of `member_id` in Plivo's dialect.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum PlivoForm {
    /// `["10","15"]`, for clients that read nothing else (plivo-go, plivo-java).
    Array,
    /// By client (contract 2.2): an array for those of `ARRAY_CLIENTS`, else a string.
    #[default]
    ByClient,
    /// `"10,15"`, as on Plivo's pages.
    String,
}

/// The SDKs that parse `member_id` only as an array, by their product in `User-Agent`.
const ARRAY_CLIENTS: [&str; 2] = ["plivo-go", "plivo-java"];

impl PlivoForm {
    /// The form for the client that sends these headers.
    pub(super) fn for_client(self, headers: &HeaderMap) -> Self {
        let agents = headers.get_all(USER_AGENT).iter().filter_map(|it| it.to_str().ok());
        let mut products = agents.flat_map(str::split_whitespace);
        let is_array = |it: &str| {
            let product = it.split('/').next().unwrap_or_default();
            ARRAY_CLIENTS.iter().any(|it| it.eq_ignore_ascii_case(product))
        };
        match self {
            Self::ByClient if products.any(is_array) => Self::Array,
            Self::ByClient => Self::String,
            Self::Array | Self::String => self,
        }
    }
}

/// The status of a success and the JSON type of `member_id` (contract 0.2).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum VobizForm {
    /// 200 and strings, as on Vobiz's pages.
    #[default]
    Documented,
    /// 202 and arrays, as its servers answer.
    Live,
}
