//! Settings of what is kept: the tables `[events]`, `[recovery]`, `[cdrs]` and `[traces]`.

use clap::{Args, builder::BoolishValueParser};
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

/// One layer of the table `[recovery]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RecoverySettings {
    /// After a restart, how many phones are asked in a second whether they are still there
    /// [default: 200].
    #[arg(
        long = "recovery-reinvites-per-second",
        env = "CONFLOW_RECOVERY_REINVITES_PER_SECOND",
        value_name = "N",
        help_heading = "Recovery"
    )]
    pub reinvites_per_second: Option<Count<1, 10_000>>,
    /// Keep rows of calls of simulated phones, too, to see and measure what real ones keep; they do
    /// not outlive the process [default: false].
    #[arg(
        long = "recovery-simulated", env = "CONFLOW_RECOVERY_SIMULATED", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Recovery"
    )]
    pub simulated: Option<bool>,
}

impl RecoverySettings {
    /// These settings; where they are None, those of `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            reinvites_per_second: self.reinvites_per_second.or(below.reinvites_per_second),
            simulated: self.simulated.or(below.simulated),
        }
    }
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
