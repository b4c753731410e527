//! RTP: SDP offers, and mutated packets.

mod mutations;
mod sdp;
