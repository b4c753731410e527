//! Held sockets: those that a holder has given this process at its start.

use std::{
    collections::BTreeMap,
    env, io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use listenfd::ListenFd;
use parking_lot::Mutex;

/// The sockets that an earlier process has left with the holder. Each is taken once; dropping this closes
/// the others.
#[derive(Debug, Default)]
pub struct HeldSockets {
    listeners: Mutex<SocketTable<TcpListener>>,
    datagrams: Mutex<SocketTable<UdpSocket>>,
}

/// Sockets by name and bound address.
type SocketTable<T> = BTreeMap<(Box<str>, SocketAddr), T>;

impl HeldSockets {
    /// Takes the descriptors that `LISTEN_FDS` names. Must be called once, before other threads start:
    /// it removes the variable, so that programs that this process starts do not take them for theirs.
    pub fn from_env() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let (mut given, held) = (ListenFd::from_env(), Self::default());
        let names = names.split(':').chain(std::iter::repeat(""));
        for (at, name) in (0..given.len()).zip(names) {
            // A descriptor that is no such socket is none of ours, and stays as it is.
            if let Ok(Some(socket)) = given.take_udp_socket(at) {
                held.add_udp(name, socket).unwrap_or_default();
            } else if let Ok(Some(listener)) = given.take_tcp_listener(at) {
                held.add_tcp(name, listener).unwrap_or_default();
            }
        }
        held
    }

    /// Adds a UDP socket.
    ///
    /// # Errors
    ///
    /// The system does not say where it is bound.
    pub fn add_udp(&self, name: &str, socket: UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        self.datagrams.lock().insert((name.into(), address), socket);
        Ok(())
    }

    fn add_tcp(&self, name: &str, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        self.listeners.lock().insert((name.into(), address), listener);
        Ok(())
    }

    /// Closes those that nobody has taken.
    pub fn close(&self) {
        self.listeners.lock().clear();
        self.datagrams.lock().clear();
    }

    /// The number of sockets that have not been taken.
    pub fn count(&self) -> usize {
        self.listeners.lock().len() + self.datagrams.lock().len()
    }

    /// Takes the listener of this name and address; with port 0, any of this name and host.
    pub fn take_tcp(&self, name: &str, address: SocketAddr) -> Option<TcpListener> {
        take(&mut self.listeners.lock(), name, address)
    }

    /// Takes the UDP socket of this name and address; with port 0, any of this name and host.
    pub fn take_udp(&self, name: &str, address: SocketAddr) -> Option<UdpSocket> {
        take(&mut self.datagrams.lock(), name, address)
    }
}

fn take<T>(sockets: &mut SocketTable<T>, name: &str, address: SocketAddr) -> Option<T> {
    let key = (Box::from(name), address);
    if address.port() != 0 {
        return sockets.remove(&key);
    }
    let is_of = |(of, at): &&(Box<str>, SocketAddr)| **of == *name && at.ip() == address.ip();
    let found = sockets.keys().find(is_of).cloned()?;
    sockets.remove(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_name_and_address_once() {
        let held = HeldSockets::default();
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let bind = || UdpSocket::bind(here).unwrap();
        let (one, two) = (bind(), bind());
        let (at_one, at_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        held.add_udp("rtp", one).unwrap();
        held.add_udp("sip-udp", two).unwrap();
        held.add_tcp("http", TcpListener::bind(here).unwrap()).unwrap();
        assert_eq!(held.count(), 3);
        assert!(held.take_udp("rtp", at_two).is_none(), "another name");
        assert!(held.take_tcp("rtp", at_one).is_none(), "another kind");
        assert!(held.take_udp("rtp", SocketAddr::from(([127, 0, 0, 2], 0))).is_none());
        let taken = held.take_udp("rtp", at_one).unwrap();
        assert_eq!(taken.local_addr().unwrap(), at_one);
        assert!(held.take_udp("rtp", at_one).is_none(), "it has been taken");
        assert_eq!(held.take_udp("sip-udp", here).unwrap().local_addr().unwrap(), at_two);
        assert!(held.take_tcp("http", here).is_some());
        assert_eq!(held.count(), 0);
    }
}
