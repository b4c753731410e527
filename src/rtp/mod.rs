//! RTP: packets, RTCP, SDP, G.711 and source latching. Pure: no clock, no IO.

pub mod g711;
pub mod latching;
pub mod packet;
pub mod rtcp;
pub mod sdp;
