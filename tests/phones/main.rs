//! The program with real phones: sipp, baresip, and a test phone that checks every packet.
//!
//! Run it with `cargo test --test phones`. It needs the packages `sip-tester`, `baresip-core`,
//! `sox`, `ffmpeg` and `openssl`, and the right to read packets of the network (root, or CAP_NET_RAW).

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that failed")]
#![expect(clippy::disallowed_methods, reason = "real phones live in real time")]

#[expect(dead_code, reason = "shared with the tests that need no network")]
#[path = "../it/authority.rs"]
mod authority;
mod baresip;
mod busy;
mod called;
mod callee;
mod cut;
mod dialled;
mod ear;
mod encrypted;
mod hear;
mod hearing;
mod leg;
mod meeting;
#[expect(dead_code, reason = "shared with the tests that need no network")]
#[path = "../it/phone.rs"]
mod phone;
mod program;
mod recorded;
mod registered;
mod sipp;
mod speech;
mod suite;
mod survived;
mod trunks;
mod voicemail;
mod web;
