//! Settings of what is kept: the tables `[events]`, `[cdrs]` and `[traces]`.

use clap::Args;
use serde::Deserialize;

use super::values::{ByteSize, Count};

/// One layer of the table `[events]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EventsSettings {
    /// How long events are kept for readers, and the history of callbacks [default: 86400].
    #[arg(
        long = "events-keep",
        env = "CONFLOW_EVENTS_KEEP",
        value_name = "SECONDS",
        help_heading = "Events"
    )]
    pub keep: Option<Count<60, 2_592_000>>,
    /// Size beyond which the oldest events are removed earlier, in bytes or as in 512MiB
    /// [default: 1GiB].
    #[arg(
        long = "events-bytes-max",
        env = "CONFLOW_EVENTS_BYTES_MAX",
        value_name = "BYTES",
        help_heading = "Events"
    )]
    pub bytes_max: Option<ByteSize<{ 64 << 20 }, { 1 << 40 }>>,
}

/// One layer of the table `[cdrs]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CdrSettings {
    /// How long call detail records are kept [default: 7776000, which are 90 days].
    #[arg(
        id = "cdrs_keep",
        long = "cdrs-keep",
        env = "CONFLOW_CDRS_KEEP",
        value_name = "SECONDS",
        help_heading = "Call detail records and traces"
    )]
    pub keep: Option<Count<60, 1_000_000_000>>,
}

/// One layer of the table `[traces]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// How long traces of calls are kept [default: 604800, which are 7 days].
    #[arg(
        id = "traces_keep",
        long = "traces-keep",
        env = "CONFLOW_TRACES_KEEP",
        value_name = "SECONDS",
        help_heading = "Call detail records and traces"
    )]
    pub keep: Option<Count<60, 1_000_000_000>>,
    /// Size beyond which the oldest traces are removed earlier, in bytes or as in 512MiB
    /// [default: 1GiB].
    #[arg(
        id = "traces_bytes_max",
        long = "traces-bytes-max",
        env = "CONFLOW_TRACES_BYTES_MAX",
        value_name = "BYTES",
        help_heading = "Call detail records and traces"
    )]
    pub bytes_max: Option<ByteSize<{ 1 << 20 }, { 1 << 40 }>>,
}
