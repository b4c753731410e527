//! RTP: SDP offers and answers, and mutated packets.

mod crypto;
mod mutations;
mod sdp;
mod srtp;
