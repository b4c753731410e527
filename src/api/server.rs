//! HTTP server: accepts connections, bounds their number and time, and drains them at the end.
//!
//! Every wait has a deadline: for the TLS handshake ([`HANDSHAKE_WAIT_MAX`]), a request's head ([`HEAD_WAIT_MAX`]), its body
//! ([`super::BODY_WAIT_MAX`]), its answer ([`super::ANSWER_WAIT_MAX`]), and for the client to
//! receive it ([`TAKE_WAIT_MAX`]).

use std::{
    convert::Infallible, future::Future, io, net::SocketAddr, os::fd::AsRawFd, pin::pin, sync::Arc,
};

use axum::{body::Body, http::Request};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Duration, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Api,
    after_response::{AfterResponse, AfterResponseSlot, NotifyingStream},
    strangers::{Stranger, Strangers},
};
use crate::{
    descriptors,
    tls::{HANDSHAKE_WAIT_MAX, ServerTls},
};

/// The time for the head of a request, and for an idle connection. Clients keep connections for
/// this long; a slow client delays nobody else.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(60);

/// The time for a client to receive its answer (`TCP_USER_TIMEOUT`, enforced by the system).
pub const TAKE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The largest head of a request: some headers, and a path with a thousand member ids.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The largest number of connections. The next one takes the place of the oldest one that has shown no
/// good credentials, or waits if there is none. With the largest head and body on each, they take
/// 400 MB. If the system allows fewer files, accepting pauses earlier.
pub const CONNECTIONS_MAX: usize = 4_096;

/// The time for open requests once the server stops: longer than any answer takes.
pub const GOODBYE_MAX: Duration = Duration::from_secs(6);

/// The time for the first request of a client that connects while the server stops: it has been told that
/// it may ask.
const NEWCOMER_WAIT: Duration = Duration::from_millis(200);

/// The pause after a failed accept: files may be free again by then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves, then answers the open requests and closes. With `tls`, HTTPS only.
///
/// Idle connections are closed at once, and those without a request after a moment: their request may be
/// on its way, and would be lost. A connection that is not done within [`GOODBYE_MAX`] is
/// dropped.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    api: Api,
    stop: impl Future<Output = ()>,
) {
    serve_at_most(CONNECTIONS_MAX, listener, tls, api, stop).await;
}

/// [`serve`] with another largest number of connections.
pub async fn serve_at_most(
    connections_max: usize,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    api: Api,
    stop: impl Future<Output = ()>,
) {
    let (stopped, stopping) = watch::channel(());
    let permits = Arc::new(Semaphore::new(connections_max));
    let strangers = Strangers::default();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // What is not encrypted would be no answer to a client of HTTPS.
            Ok((stream, _)) if descriptors::is_scarce(stream.as_raw_fd()) => {
                refuse(&stream, tls.is_some());
            }
            Ok((stream, peer)) => {
                if permits.available_permits() == 0 {
                    strangers.make_room();
                }
                // A client that was accepted is served, also if the server stops now.
                let permit = tokio::select! {
                    biased;
                    permit = permits.clone().acquire_owned() => permit.expect("it is never closed"),
                    () = &mut stop => break,
                };
                let place = (permit, strangers.come_in());
                let client = Client { peer, api: api.clone(), stopping: stopping.clone(), place };
                match &tls {
                    Some(tls) => drop(tokio::spawn(client.serve_tls(stream, tls.acceptor()))),
                    None => drop(tokio::spawn(client.serve(stream))),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                descriptors::note(&error);
                sleep(accept_pause(&error)).await;
            }
        }
    }

    drop(listener);
    api.close();
    drop(stopped);
    drop(stopping);
    let all = u32::try_from(connections_max).expect("it is small");
    if timeout(GOODBYE_MAX, permits.acquire_many(all)).await.is_err() {
        tracing::warn!("some connections are given up in the middle of a request");
    }
}

/// Refuses a connection: the last descriptors are for files, calls and the store.
fn refuse(stream: &TcpStream, is_tls: bool) {
    descriptors::complain("an HTTP connection is refused, because too many files are open");
    if !is_tls {
        // A fresh connection takes this much at once.
        drop(SockRef::from(stream).send(REFUSAL));
    }
}

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Type: application/json\r\nContent-Length: 32\r\nConnection: close\r\n\r\n\
    {\"error\": \"too many open files\"}";

/// One client: its connection's place among all, and what serves it.
struct Client {
    peer: SocketAddr,
    api: Api,
    stopping: watch::Receiver<()>,
    place: (OwnedSemaphorePermit, Stranger),
}

impl Client {
    /// Serves HTTPS. A client whose handshake fails or takes too long is dropped; meanwhile it may have
    /// to make room, as any other that has shown no credentials.
    async fn serve_tls(self, stream: TcpStream, acceptor: TlsAcceptor) {
        let peer = self.peer;
        prepare(&stream, peer);
        let handshake = tokio::select! {
            handshake = timeout(HANDSHAKE_WAIT_MAX, acceptor.accept(stream)) => handshake,
            () = self.place.1.must_leave() => {
                return tracing::debug!(%peer, "a connection makes room");
            }
        };
        match handshake {
            Ok(Ok(stream)) => self.serve_http(stream).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    /// Serves HTTP without encryption.
    async fn serve(self, stream: TcpStream) {
        prepare(&stream, self.peer);
        self.serve_http(stream).await;
    }

    /// Serves one client until it disconnects or the server stops.
    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let Self { peer, api, mut stopping, place: (permit, stranger) } = self;
        let (slot, asked) = (AfterResponseSlot::default(), Notify::new());
        let service = service_fn(|request: Request<Incoming>| {
            let (slot, stranger) = (&slot, &stranger);
            asked.notify_one();
            // An async block would hold the answer's future twice.
            api.answer_known(peer.ip(), request.map(Body::new)).map(
                move |(mut answer, is_known)| {
                    if is_known {
                        stranger.is_known();
                    }
                    if let Some(after) = answer.extensions_mut().remove::<AfterResponse>() {
                        slot.put(after);
                    }
                    Ok::<_, Infallible>(answer)
                },
            )
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WAIT_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(NotifyingStream::new(stream, slot.clone())), service)
            .with_upgrades();
        let mut serving = pin!(serving);

        let served = tokio::select! {
            served = &mut serving => served,
            () = stranger.must_leave() => return tracing::debug!(%peer, "a connection makes room"),
            // The channel carries no values: it closes when the server stops.
            _ = stopping.changed() => tokio::select! {
                served = &mut serving => served,
                () = first_request(&asked) => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            },
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a connection broke off");
        }
        drop(permit);
    }
}

/// Waits for a request, if there was none yet; not for long.
async fn first_request(asked: &Notify) {
    drop(timeout(NEWCOMER_WAIT, asked.notified()).await);
}

/// Sets `TCP_NODELAY`, since answers are small and awaited, and [`TAKE_WAIT_MAX`].
fn prepare(stream: &TcpStream, peer: SocketAddr) {
    let prepared = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let prepared =
        prepared.and_then(|()| SockRef::from(stream).set_tcp_user_timeout(Some(TAKE_WAIT_MAX)));
    if let Err(error) = prepared {
        tracing::debug!(%peer, %error, "a connection keeps its defaults");
    }
}

/// No pause after a client that has disconnected already; one if files are missing.
fn accept_pause(error: &io::Error) -> Duration {
    let kind = error.kind();
    match kind == io::ErrorKind::ConnectionAborted || kind == io::ErrorKind::ConnectionReset {
        true => Duration::ZERO,
        false => ACCEPT_PAUSE,
    }
}
