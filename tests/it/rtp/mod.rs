//! RTP: SDP offers and answers, and mutated packets.

mod mutations;
mod sdp;
