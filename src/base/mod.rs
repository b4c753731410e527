//! Base: the types that every floor uses: ids, the call map, histograms, networks, token buckets, trace
//! context, numbers and names in addresses, dates, times that outlive the process.

pub mod boot_clock;
pub mod call_map;
pub mod histogram;
pub mod ids;
pub mod network;
pub mod public_address;
pub mod token_bucket;
pub mod traceparent;
pub mod user_part;
pub mod utc;
