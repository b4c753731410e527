//! Base: the types that every floor uses: ids, the call map, histograms, trace context, dates.

pub mod call_map;
pub mod histogram;
pub mod ids;
pub mod traceparent;
pub mod utc;
