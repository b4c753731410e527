//! Connections: resolves a name, checks its addresses, and connects to one of them.
//!
//! The address that is checked is the one that is used. An IP literal takes the same path as a
//! name, so connections are made in one place, and nothing bypasses the check.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::guard::{AddressGuard, RefusedAddress};
use crate::tls::{self, BadCertificates};

/// A boxed future, as the method of a trait object returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Network that the client uses: [`Internet`], or a fake one in tests.
pub trait HttpNetwork: Send + Sync + 'static {
    /// Resolves a host name to all of its addresses.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Opens a stream of bytes to an address.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>>;
}

/// A stream of bytes in both directions, such as TCP.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// The system's resolver, and TCP. It ignores proxies of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Internet;

impl HttpNetwork for Internet {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(lookup_host((host, 0)).await?.map(|it| it.ip()).collect()) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // A request is one write, so waiting for more would only delay it.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

/// Reason why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The guard refuses every address of the host.
    #[error("{0}")]
    Guard(RefusedAddress),
    /// The resolver failed, or does not know the name.
    #[error("its name cannot be resolved ({0})")]
    Lookup(io::Error),
    /// The resolver knows the name, but no address.
    #[error("its name has no address")]
    NoAddress,
    /// TCP failed; the address is the last that was tried.
    #[error("{0} does not take a connection ({1})")]
    Tcp(SocketAddr, io::Error),
    /// TLS failed, most often because of a certificate.
    #[error("no secure connection ({0})")]
    Tls(io::Error),
}

/// Makes the connections of a pool; uses TLS if the URI's scheme is `https`.
#[derive(Clone)]
pub struct Connector {
    network: Arc<dyn HttpNetwork>,
    guard: Arc<AddressGuard>,
    tls: TlsConnector,
}

impl Connector {
    /// `authorities` are PEM blocks of certificates that are trusted in addition to the public
    /// ones.
    ///
    /// # Errors
    ///
    /// [`BadCertificates`]: the authorities cannot be read.
    pub fn new(
        network: Arc<dyn HttpNetwork>,
        guard: Arc<AddressGuard>,
        authorities: &[u8],
    ) -> Result<Self, BadCertificates> {
        let config = tls::client_config(authorities)?;
        Ok(Self { network, guard, tls: TlsConnector::from(config) })
    }

    async fn connect(self, uri: Uri) -> Result<Box<dyn ByteStream>, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });

        let addresses = self.addresses(host).await?;
        let stream = self.race(addresses.into_iter().map(|it| SocketAddr::new(it, port))).await?;
        if !is_secure {
            return Ok(stream);
        }

        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|it| ConnectError::Tls(io::Error::other(it)))?;
        Ok(Box::new(self.tls.connect(name, stream).await.map_err(ConnectError::Tls)?))
    }

    /// Addresses of a host that the guard allows; never empty.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let mut addresses = match host.parse() {
            Ok(literal) => vec![literal],
            Err(_) => self.network.resolve(host).await.map_err(ConnectError::Lookup)?,
        };
        let mut refusal = None;
        addresses.retain(|it| match self.guard.check(*it) {
            Ok(()) => true,
            Err(error) => {
                refusal.get_or_insert(error);
                false
            }
        });
        addresses.truncate(ADDRESSES_MAX);
        match (addresses.is_empty(), refusal) {
            (false, _) => Ok(addresses),
            (true, Some(error)) => Err(ConnectError::Guard(error)),
            (true, None) => Err(ConnectError::NoAddress),
        }
    }

    /// Returns the first connection that succeeds; each address gets a head start over the next.
    async fn race(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Box<dyn ByteStream>, ConnectError> {
        let mut untried: VecDeque<_> = addresses.collect();
        let mut tries = JoinSet::new();
        let mut error = ConnectError::NoAddress;
        loop {
            if let Some(address) = untried.pop_front() {
                let connecting = self.network.connect(address);
                tries.spawn(async move { connecting.await.map_err(|it| (address, it)) });
            }
            let next = match untried.is_empty() {
                true => tries.join_next().await,
                false => match timeout(HEAD_START, tries.join_next()).await {
                    Ok(next) => next,
                    Err(_) => continue,
                },
            };
            match next {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err((address, why)))) => error = ConnectError::Tcp(address, why),
                Some(Err(_)) => (),
                None if untried.is_empty() => return Err(error),
                None => (),
            }
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn ByteStream>>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move { Ok(TokioIo::new(connecting.await?)) })
    }
}

impl Connection for Box<dyn ByteStream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// More are not useful; a hostile name may have thousands.
const ADDRESSES_MAX: usize = 8;

/// RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);
