//! Supervised sockets: what a supervisor holds for an engine, and the messages that bring it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, IoSliceMut},
    mem::{self, MaybeUninit},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram},
    },
};

use rustix::{
    fs::fstat,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};
use tokio::{io::Interest, net::UnixDatagram};

use crate::holder::{DESCRIPTORS_MAX, HANDOVER, KEY};

/// Longest message that is read; ours are shorter.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// The socket that an engine sends to, and the sockets that have come over it.
pub(super) struct HolderSocket {
    socket: UnixDatagram,
    name: OsString,
    /// By inode: a socket is held once, however often it comes.
    held: BTreeMap<u64, NamedSocket>,
}

/// A socket that is held, with the name under which it has come.
pub(super) type NamedSocket = (Box<str>, OwnedFd);

/// What a process has said of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ChildMessages {
    /// It serves.
    pub(super) is_ready: bool,
    /// It ends since another process takes its place.
    pub(super) is_handover: bool,
}

impl HolderSocket {
    /// Binds an abstract name. Must be called within a tokio runtime.
    pub(super) fn bind(name: &str) -> io::Result<Self> {
        let socket = StdUnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        socket.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(socket)?;
        Ok(Self { socket, name: format!("@{name}").into(), held: BTreeMap::new() })
    }

    /// Its name, as `NOTIFY_SOCKET` has it.
    pub(super) fn name(&self) -> &OsString {
        &self.name
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The sockets that are held.
    pub(super) fn take(&mut self) -> Vec<NamedSocket> {
        mem::take(&mut self.held).into_values().collect()
    }

    /// Holds sockets under a name.
    pub(super) fn hold(
        &mut self,
        sockets: impl IntoIterator<Item = NamedSocket>,
    ) -> io::Result<()> {
        for (name, socket) in sockets {
            let inode = fstat(&socket)?.st_ino;
            self.held.entry(inode).or_insert((name, socket));
        }
        Ok(())
    }

    /// Reads all messages that have come from the process with this key.
    pub(super) fn read(&mut self, key: &str, said: &mut ChildMessages) -> io::Result<()> {
        let key = format!("{KEY}={key}");
        loop {
            match self.socket.try_io(Interest::READABLE, || receive(&self.socket)) {
                // Anybody on this machine may send something.
                Ok((text, sockets)) => {
                    if text.lines().any(|it| it == key) {
                        self.carry_out(&text, sockets, said)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Carries a message out. Descriptors that it does not want held are closed, which is all that
    /// `BARRIER=1` asks for.
    fn carry_out(
        &mut self,
        text: &str,
        sockets: Vec<OwnedFd>,
        said: &mut ChildMessages,
    ) -> io::Result<()> {
        let name = text.lines().find_map(|it| it.strip_prefix("FDNAME=")).unwrap_or("stored");
        for line in text.lines() {
            match line {
                "READY=1" => said.is_ready = true,
                "FDSTOREREMOVE=1" => self.held.retain(|_, it| *it.0 != *name),
                HANDOVER => said.is_handover = true,
                _ => (),
            }
        }
        match text.lines().any(|it| it == "FDSTORE=1") {
            true => self.hold(sockets.into_iter().map(|it| (name.into(), it))),
            false => Ok(()),
        }
    }
}

/// The lines of the next message, and the descriptors that came with it.
fn receive(socket: &UnixDatagram) -> io::Result<(String, Vec<OwnedFd>)> {
    const SPACE: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));
    let (mut bytes, mut space) = ([0; MESSAGE_BYTES_MAX], [MaybeUninit::uninit(); SPACE]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights);
        }
    }
    let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
    Ok((text, sockets))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        os::fd::AsFd,
        process,
    };

    use super::*;
    use crate::holder::SocketHolder;

    #[tokio::test]
    async fn sockets_of_the_child_are_held_once_until_it_removes_their_name() {
        let name = format!("conflow-test-{}", process::id());
        let mut holder = HolderSocket::bind(&name).unwrap();
        let child = SocketHolder::connect(holder.name(), "secret").unwrap();
        let mut said = ChildMessages::default();
        let http = TcpListener::bind("127.0.0.1:0").unwrap();
        let rtp: Vec<_> = (0..300).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let rtp: Vec<_> = rtp.iter().map(AsFd::as_fd).collect();
        for _ in 0..2 {
            child.store("http", &[http.as_fd()]).unwrap();
            child.store("rtp", &rtp).unwrap();
        }
        child.tell("READY=1").unwrap();
        holder.readable().await.unwrap();
        holder.read("secret", &mut said).unwrap();
        assert_eq!(holder.held.len(), 301, "each is held once");
        assert_eq!(said, ChildMessages { is_ready: true, is_handover: false });
        child.remove("rtp").unwrap();
        child.tell(HANDOVER).unwrap();
        holder.readable().await.unwrap();
        holder.read("secret", &mut said).unwrap();
        assert!(said.is_handover && holder.held.len() == 1);
        for key in ["", "other"] {
            let stranger = SocketHolder::connect(holder.name(), key).unwrap();
            stranger.remove("http").unwrap();
            stranger.store("http", &rtp).unwrap();
        }
        holder.readable().await.unwrap();
        holder.read("secret", &mut said).unwrap();
        assert_eq!(holder.held.len(), 1, "they are not its child");
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        holder.readable().await.unwrap();
        holder.read("secret", &mut said).unwrap();
        waiting.await.unwrap().unwrap();
        let taken = holder.take();
        assert!(taken.len() == 1 && holder.held.is_empty());
        holder.hold(taken).unwrap();
        assert_eq!(holder.held.len(), 1);
    }
}
