//! Row of a sent stream: its numbers, so that a later process goes on with them.

use serde::{Deserialize, Serialize};

use super::RtpStream;

/// An [`RtpStream`] as plain data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RtpStreamRow {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    packets: u32,
    octets: u32,
}

impl From<&RtpStream> for RtpStreamRow {
    fn from(it: &RtpStream) -> Self {
        let RtpStream { ssrc, sequence, timestamp, begins: _, packets, octets } = *it;
        Self { ssrc, sequence, timestamp, packets, octets }
    }
}

impl RtpStreamRow {
    /// The stream of the row, so many packets and timestamp units later. Its next packet starts a
    /// talkspurt.
    pub fn restore(self, later: u64, units: u32) -> RtpStream {
        let Self { ssrc, sequence, timestamp, packets, octets } = self;
        RtpStream {
            ssrc,
            sequence: sequence.wrapping_add(later as u16),
            timestamp: timestamp.wrapping_add(units),
            begins: true,
            packets,
            octets,
        }
    }
}
