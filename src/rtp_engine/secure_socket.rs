//! Secure socket: the socket of a leg, which encrypts what it sends and checks what it receives, if
//! keys have been agreed on.

use std::{net::SocketAddr, os::fd::BorrowedFd, time::Instant};

use super::{
    gauges::PacketDrop,
    socket::{RtpSocket, SocketKind},
};
use crate::rtp::{
    packet,
    sdp::crypto::SrtpKeys,
    srtp::{SrtpError, SrtpSession},
};

/// A socket and the keys of its leg. Without keys, all passes as it is.
#[derive(Debug)]
pub(super) struct SecureSocket<W> {
    socket: W,
    /// None before the first keys.
    srtp: Option<Box<SrtpSession>>,
}

impl<W: RtpSocket> SecureSocket<W> {
    pub(super) fn new(socket: W) -> Self {
        Self { socket, srtp: None }
    }

    /// The descriptors that a later process needs.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.socket.descriptors()
    }

    /// Goes on with the keys of an earlier process.
    pub(super) fn restore(&mut self, srtp: Option<SrtpSession>) {
        self.srtp = srtp.map(Box::new);
    }

    /// Returns the keys. None before the first ones.
    pub(super) fn srtp(&self) -> Option<&SrtpSession> {
        self.srtp.as_deref()
    }

    /// Applies the keys of an agreement. None: plain sound from now on.
    pub(super) fn agree(&mut self, now: Instant, keys: Option<&SrtpKeys>) {
        if keys.is_some() || self.srtp.is_some() {
            self.srtp.get_or_insert_default().agree(now, keys);
        }
    }

    /// Returns the next datagram on a port, decrypted: its length and source. A datagram that is not
    /// authentic is an error; nothing has been learnt from it.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        port: SocketKind,
        buffer: &mut [u8],
    ) -> Option<(Result<usize, PacketDrop>, SocketAddr)> {
        let (len, from) = self.socket.receive(port, buffer)?;
        let Some(srtp) = self.srtp.as_mut().filter(|it| it.is_on()) else {
            return Some((Ok(len), from));
        };
        let is_rtcp = port == SocketKind::Rtcp || packet::is_rtcp(&buffer[..len]);
        let opened = srtp.open(now, is_rtcp, &mut buffer[..len]);
        let opened = opened.map_err(|error| match error {
            SrtpError::Unauthentic => PacketDrop::Unauthentic,
            SrtpError::Replayed => PacketDrop::Duplicate,
        });
        Some((opened, from))
    }

    /// Sends the packet of `len` bytes at the beginning of the buffer, which has room for
    /// [`OVERHEAD_MAX`](crate::rtp::srtp::OVERHEAD_MAX) more. Returns false if it is not sent.
    pub(super) fn send(
        &mut self,
        port: SocketKind,
        buffer: &mut [u8],
        len: usize,
        to: SocketAddr,
    ) -> bool {
        let Some(srtp) = self.srtp.as_mut().filter(|it| it.is_on()) else {
            return self.socket.send(port, &buffer[..len], to);
        };
        let sealed = match port == SocketKind::Rtcp || packet::is_rtcp(&buffer[..len]) {
            true => srtp.protect_rtcp(buffer, len),
            false => srtp.protect(buffer, len),
        };
        sealed.is_some_and(|len| self.socket.send(port, &buffer[..len], to))
    }
}
