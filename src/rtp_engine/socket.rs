//! RTP sockets of one leg: an even port for RTP, the next odd one for RTCP.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use super::gauges::{GaugeGuard, RtpGauges};
use crate::{
    holder::{HeldSockets, names},
    media::legs::NoPort,
};

/// Sends and receives a leg's datagrams. Never blocks.
pub(super) trait RtpSocket: Send + 'static {
    /// Returns the next datagram on a port, if there is one. It is cut to the buffer's length.
    fn receive(&mut self, port: SocketKind, buffer: &mut [u8]) -> Option<(usize, SocketAddr)>;

    /// Sends a datagram. Returns false if the system refuses.
    fn send(&mut self, port: SocketKind, datagram: &[u8], to: SocketAddr) -> bool;

    /// The descriptors that a later process needs to go on with the socket.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
}

/// One of the two ports of a leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SocketKind {
    Rtp,
    Rtcp,
}

/// A pair of UDP sockets.
#[derive(Debug)]
pub(super) struct UdpSocketPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    is_ipv6: bool,
    _gauge_guard: GaugeGuard,
}

/// Ports tried at random before all are tried in order.
const TRIES: usize = 8;

impl UdpSocketPair {
    /// Binds an even port of the range and the one above it. `random` chooses which.
    ///
    /// # Errors
    ///
    /// All are in use, or the address is not ours.
    pub(super) fn bind(
        local: IpAddr,
        ports: &RangeInclusive<u16>,
        mut random: u128,
        gauges: &Arc<RtpGauges>,
    ) -> Result<(Self, SocketAddr), NoPort> {
        let first = ports.start().div_ceil(2);
        let n_pairs = usize::from(ports.end().saturating_add(1) / 2).saturating_sub(first.into());
        if n_pairs == 0 {
            return Err(NoPort);
        }
        let port = |pair: usize| first * 2 + 2 * pair as u16;
        for _ in 0..TRIES {
            let pair = (random % n_pairs as u128) as usize;
            random = random.rotate_right(16);
            if let Ok(bound) = Self::bind_at(SocketAddr::new(local, port(pair)), gauges) {
                return Ok(bound);
            }
        }
        let start = (random % n_pairs as u128) as usize;
        let all = (start..n_pairs).chain(0..start);
        for pair in all {
            match Self::bind_at(SocketAddr::new(local, port(pair)), gauges) {
                Ok(bound) => return Ok(bound),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => (),
                Err(error) => {
                    tracing::error!(%local, %error, "cannot bind an RTP port for a call");
                    return Err(NoPort);
                }
            }
        }
        Err(NoPort)
    }

    /// Binds one pair of ports.
    ///
    /// # Errors
    ///
    /// One of them is in use, or the address is not ours.
    pub(super) fn bind_at(
        address: SocketAddr,
        gauges: &Arc<RtpGauges>,
    ) -> io::Result<(Self, SocketAddr)> {
        let bind = |address: SocketAddr| {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        let (rtp, rtcp) = (bind(address)?, bind(beside(address))?);
        Ok((Self::of(rtp, rtcp, gauges), address))
    }

    /// Takes the pair that an earlier process has left with the holder; else binds it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::bind_at`].
    pub(super) fn take_at(
        address: SocketAddr,
        held: &HeldSockets,
        gauges: &Arc<RtpGauges>,
    ) -> io::Result<(Self, SocketAddr)> {
        let take = |address| held.take_udp(names::RTP, address);
        match (take(address), take(beside(address))) {
            (Some(rtp), Some(rtcp)) => Ok((Self::of(rtp, rtcp, gauges), address)),
            // Half a pair is closed before the whole is bound.
            (_, _) => Self::bind_at(address, gauges),
        }
    }

    fn of(rtp: UdpSocket, rtcp: UdpSocket, gauges: &Arc<RtpGauges>) -> Self {
        let is_ipv6 = rtp.local_addr().is_ok_and(|it| it.is_ipv6());
        Self { rtp, rtcp, is_ipv6, _gauge_guard: GaugeGuard::new(gauges, 2, |it| &it.sockets) }
    }

    /// A dual-stack IPv6 socket reaches IPv4 under mapped addresses.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        }
    }

    fn socket(&self, port: SocketKind) -> &UdpSocket {
        match port {
            SocketKind::Rtp => &self.rtp,
            SocketKind::Rtcp => &self.rtcp,
        }
    }
}

impl RtpSocket for UdpSocketPair {
    fn receive(&mut self, port: SocketKind, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        // An error here comes from an earlier packet (no such host, port closed).
        self.socket(port).recv_from(buffer).ok()
    }

    fn send(&mut self, port: SocketKind, datagram: &[u8], to: SocketAddr) -> bool {
        self.socket(port).send_to(datagram, self.reachable(to)).is_ok()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.rtp.as_fd(), self.rtcp.as_fd()]
    }
}

/// The address of RTCP for one of RTP.
fn beside(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::atomic::Ordering};

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A range of `n_pairs` pairs that nobody uses.
    fn free_range(n_pairs: u16) -> RangeInclusive<u16> {
        let start = (32_400..32_700)
            .step_by(16)
            .find(|start| (0..2 * n_pairs).all(|it| UdpSocket::bind((LOCAL, start + it)).is_ok()));
        let start = start.unwrap();
        start..=start + 2 * n_pairs - 1
    }

    #[test]
    fn all_even_ports_of_a_range_are_given_out_once_and_again_when_freed() {
        let gauges = Arc::new(RtpGauges::default());
        let range = free_range(4);
        let bind = |random| UdpSocketPair::bind(LOCAL, &range, random, &gauges);
        let bound: Vec<_> = (0..4).map(|it| bind(it << 64).unwrap()).collect();
        let mut ports: Vec<_> = bound.iter().map(|it| it.1.port()).collect();
        ports.sort_unstable();
        let expected: Vec<_> = range.clone().step_by(2).collect();
        assert_eq!(ports, expected);
        assert_eq!(bind(9).unwrap_err(), NoPort);
        assert_eq!(gauges.sockets.load(Ordering::Relaxed), 8);
        drop(bound);
        assert_eq!(gauges.sockets.load(Ordering::Relaxed), 0);
        assert!(bind(9).is_ok());
    }

    #[test]
    fn a_range_without_a_pair_has_no_port() {
        let gauges = Arc::new(RtpGauges::default());
        for range in [40_000..=40_000, 40_001..=40_002, RangeInclusive::new(40_002, 40_001)] {
            assert_eq!(
                UdpSocketPair::bind(LOCAL, &range, 1, &gauges).unwrap_err(),
                NoPort,
                "{range:?}"
            );
        }
        let elsewhere = "192.0.2.77".parse().unwrap();
        assert_eq!(
            UdpSocketPair::bind(elsewhere, &(40_000..=40_100), 1, &gauges).unwrap_err(),
            NoPort
        );
    }

    #[test]
    fn one_socket_may_serve_both_families() {
        let gauges = Arc::new(RtpGauges::default());
        let range = 30_000..=60_000;
        let any = "::".parse().unwrap();
        let (mut both, _) = UdpSocketPair::bind(any, &range, 7, &gauges).unwrap();
        for local in [LOCAL, "::1".parse().unwrap()] {
            let (mut one, at) = UdpSocketPair::bind(local, &range, 8 << 40, &gauges).unwrap();
            assert!(both.send(SocketKind::Rtp, b"hello", at));
            let mut buffer = [0; 8];
            let (_, from) = one.receive(SocketKind::Rtp, &mut buffer).unwrap();
            assert!(one.send(SocketKind::Rtp, b"hello", from));
            let (_, from) = both.receive(SocketKind::Rtp, &mut buffer).unwrap();
            assert_eq!(from.ip().to_canonical(), local);
        }
    }

    #[test]
    fn both_families_carry_datagrams() {
        let gauges = Arc::new(RtpGauges::default());
        for local in [LOCAL, "::1".parse().unwrap()] {
            let range = 30_000..=60_000;
            let (mut a, at_a) = UdpSocketPair::bind(local, &range, 7, &gauges).unwrap();
            let (mut b, at_b) = UdpSocketPair::bind(local, &range, 8 << 40, &gauges).unwrap();
            let mut buffer = [0; 8];
            assert_eq!(b.receive(SocketKind::Rtp, &mut buffer), None);
            assert!(a.send(SocketKind::Rtp, b"hello", at_b));
            assert_eq!(b.receive(SocketKind::Rtp, &mut buffer), Some((5, at_a)));
            assert_eq!(b.receive(SocketKind::Rtcp, &mut buffer), None);
        }
    }
}
