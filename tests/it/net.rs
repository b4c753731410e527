//! In-memory network: names, servers and connections without sockets, so that a paused clock is
//! exact. The servers are real ones (axum), and the client's bytes are real HTTP.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, serve::Listener};
use conflow::fetch::{BoxFuture, ByteStream, HttpNetwork};
use parking_lot::Mutex;
use rcgen::{CertifiedKey, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// The state of the network, and what has been requested of it.
#[derive(Default)]
pub(crate) struct Net {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The answers still to come, per name. The last one stays.
    names: BTreeMap<String, VecDeque<Vec<IpAddr>>>,
    servers: BTreeMap<SocketAddr, UnboundedSender<DuplexStream>>,
    /// The tasks that copy the bytes of each connection, by the server's address.
    links: BTreeMap<SocketAddr, Vec<AbortHandle>>,
    silent: Vec<SocketAddr>,
    looked_up: usize,
    dialed: Vec<SocketAddr>,
}

impl Net {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the addresses of a name, look-up by look-up.
    pub(crate) fn name(&self, host: &str, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| answer.iter().map(|it| it.parse().unwrap()).collect();
        let answers = answers.iter().map(parse).collect();
        self.state.lock().names.insert(host.to_owned(), answers);
    }

    /// Starts a server that runs as long as the test.
    pub(crate) fn serve(&self, address: &str, router: Router) {
        let address = address.parse().unwrap();
        let port = self.listen(address);
        tokio::spawn(async move { axum::serve(port, router).await });
    }

    /// Starts a TLS server that gives every request the same response.
    pub(crate) fn serve_tls(
        &self,
        address: &str,
        own: &CertifiedKey<KeyPair>,
        answer: &'static str,
    ) {
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut port = self.listen(address.parse().unwrap());
        tokio::spawn(async move {
            while let Some(connection) = port.connections.recv().await {
                // A client that does not trust this server hangs up.
                let Ok(mut stream) = acceptor.accept(connection).await else { continue };
                assert_ne!(stream.read(&mut [0; 1_000]).await.unwrap(), 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }

    /// Accepts connections and leaves their handling to the caller.
    pub(crate) fn listen(&self, address: SocketAddr) -> Port {
        let (sender, connections) = unbounded_channel();
        self.state.lock().servers.insert(address, sender);
        Port { address, connections }
    }

    /// Kills a server: its connections break, and new ones are refused.
    pub(crate) fn kill(&self, address: &str) {
        let address = address.parse().unwrap();
        let mut state = self.state.lock();
        state.servers.remove(&address);
        let links = state.links.remove(&address);
        links.iter().flatten().for_each(AbortHandle::abort);
    }

    /// An address that accepts connections and never sends anything.
    pub(crate) fn silence(&self, address: &str) {
        self.state.lock().silent.push(address.parse().unwrap());
    }

    /// Every address that a connection was tried to, in order.
    pub(crate) fn dialed(&self) -> Vec<String> {
        self.state.lock().dialed.iter().map(ToString::to_string).collect()
    }

    /// The number of look-ups.
    pub(crate) fn looked_up(&self) -> usize {
        self.state.lock().looked_up
    }
}

/// A shared handle to the network, in the shape that the client wants.
pub(crate) struct TestNetwork(pub(crate) Arc<Net>);

impl HttpNetwork for TestNetwork {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let state = &mut *self.0.state.lock();
        state.looked_up += 1;
        let answers = state.names.get_mut(host);
        let answer = answers.and_then(|it| match it.len() {
            0 | 1 => it.front().cloned(),
            _ => it.pop_front(),
        });
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such name");
        Box::pin(async move { answer.ok_or_else(unknown) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>> {
        let mut state = self.0.state.lock();
        state.dialed.push(address);
        if state.silent.contains(&address) {
            return Box::pin(std::future::pending());
        }

        let (near, mut left) = duplex(BUFFER);
        let (mut right, far) = duplex(BUFFER);
        let is_taken = state.servers.get(&address).is_some_and(|it| it.send(far).is_ok());
        let link = tokio::spawn(async move { copy_bidirectional(&mut left, &mut right).await });
        state.links.entry(address).or_default().push(link.abort_handle());
        Box::pin(async move {
            match is_taken {
                true => Ok(Box::new(near) as Box<dyn ByteStream>),
                false => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }
}

/// More than any message of a test, except the one that is too long.
const BUFFER: usize = 64 * 1024;

/// The server's side of an address.
pub(crate) struct Port {
    address: SocketAddr,
    pub(crate) connections: UnboundedReceiver<DuplexStream>,
}

impl Listener for Port {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => (connection, self.address),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
