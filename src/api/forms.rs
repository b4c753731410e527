//! Forms of the voice answers: where a vendor documents one and its servers send another, the
//! configuration picks.

use serde::Deserialize;

/// `voice` in the configuration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// `voice.plivo`.
    pub plivo: PlivoForm,
    /// `voice.vobiz`.
    pub vobiz: VobizForm,
}

/// The JSON type of `member_id`: a string on Plivo's pages, an array for some of its clients.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum PlivoForm {
    /// `["10","15"]`, for clients that read nothing else (plivo-go).
    Array,
    /// `"10,15"`, as documented.
    #[default]
    String,
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
