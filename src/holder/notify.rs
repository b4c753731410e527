//! Messages to the holder: the protocol of `sd_notify(3)`, which sends descriptors as `SCM_RIGHTS`.

use std::{
    env,
    ffi::OsStr,
    io::{self, IoSlice, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Descriptors that the kernel lets one message have.
pub const DESCRIPTORS_MAX: usize = 253;

/// The line that tells `conflow supervise` that the end of this process is a handover. systemd takes no
/// notice of lines that begin with `X_`.
pub const HANDOVER: &str = "X_CONFLOW_HANDOVER=1";

/// Variable of the secret that `conflow supervise` wants in each message, as a line of that name: anybody
/// on the machine can send to its socket. systemd knows its services without one.
pub const KEY: &str = "X_CONFLOW_KEY";

/// The way to the process that keeps our sockets.
#[derive(Debug)]
pub struct SocketHolder {
    socket: UnixDatagram,
    /// The last line of each message; empty for systemd.
    key: String,
}

impl SocketHolder {
    /// The holder that `NOTIFY_SOCKET` names. None if there is none, or if it says by `FDSTORE=0` that it
    /// keeps nothing.
    pub fn from_env() -> Option<Self> {
        let path = env::var_os("NOTIFY_SOCKET").filter(|it| !it.is_empty())?;
        if env::var_os("FDSTORE").is_some_and(|it| it == "0") {
            return None;
        }
        let key = env::var(KEY).unwrap_or_default();
        match Self::connect(&path, &key) {
            Ok(it) => Some(it),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "NOTIFY_SOCKET cannot be reached: nothing holds the sockets");
                None
            }
        }
    }

    /// Connects to a path, or to an abstract name if it begins with `@`. `key` is the secret; empty for
    /// systemd.
    ///
    /// # Errors
    ///
    /// Nobody is there.
    pub fn connect(path: &OsStr, key: &str) -> io::Result<Self> {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        let key = if key.is_empty() { String::new() } else { format!("\n{KEY}={key}") };
        Ok(Self { socket, key })
    }

    /// Sends lines of the protocol, such as `READY=1`.
    ///
    /// # Errors
    ///
    /// The holder has ended.
    pub fn tell(&self, lines: &str) -> io::Result<()> {
        self.socket.send(format!("{lines}{}", self.key).as_bytes()).map(drop)
    }

    /// Gives sockets to the holder, under a name that they share. They stay open here.
    ///
    /// # Errors
    ///
    /// The holder has ended. One that has no room drops them, and nobody is told.
    pub fn store(&self, name: &str, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        // Without FDPOLL=0, systemd would drop sockets that have an error.
        let lines = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        sockets.chunks(DESCRIPTORS_MAX).try_for_each(|some| self.send(&lines, some))
    }

    /// Lets the holder close all sockets of a name.
    ///
    /// # Errors
    ///
    /// The holder has ended.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }

    /// Waits until the holder has read all messages.
    ///
    /// # Errors
    ///
    /// The holder has ended.
    pub fn wait(&self) -> io::Result<()> {
        let (mut reader, writer) = io::pipe()?;
        self.send("BARRIER=1", &[writer.as_fd()])?;
        drop(writer);
        // It ends when the holder closes its copy.
        reader.read(&mut [0]).map(drop)
    }

    fn send(&self, lines: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let has_room = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(has_room, "there are too many for one message");
        let lines = [IoSlice::new(lines.as_bytes()), IoSlice::new(self.key.as_bytes())];
        sendmsg(&self.socket, &lines, &mut control, SendFlags::empty())?;
        Ok(())
    }
}
