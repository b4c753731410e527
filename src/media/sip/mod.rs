//! SIP signalling: here only its port to the sound of calls.

pub mod legs;
