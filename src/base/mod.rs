//! Base: the types that every floor uses: ids, the call map, histograms, networks, token buckets, trace
//! context, dates.

pub mod call_map;
pub mod histogram;
pub mod ids;
pub mod network;
pub mod token_bucket;
pub mod traceparent;
pub mod utc;
