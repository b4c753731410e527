//! TODO first line.

mod mutations;
mod sdp;
