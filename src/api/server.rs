//! The HTTP server: connections, their limits and deadlines, and their end.
//!
//! Everything that waits has a deadline of its own: a request's head ([`HEAD_WAIT_MAX`]), its body
//! ([`super::BODY_WAIT_MAX`]), its answer ([`super::ANSWER_WAIT_MAX`]), and the client that is to
//! take it ([`TAKE_WAIT_MAX`]).

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc};

use axum::{body::Body, http::Request};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Duration, sleep, timeout},
};

use super::{
    Api,
    after_response::{After, Afters, Watched},
};

/// How long a client may take for the head of a request, or stay connected without one. Clients
/// keep connections for this long, and a slow one holds up nothing but itself.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a client may leave its answer where it is. The system watches over this one.
pub const TAKE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The head of a request: some headers, and a path with a thousand member ids.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Connections at a time; the next waits to be accepted. Were each to send the largest head and
/// body, that would be 400 MB. Where the system has fewer files for us, accepting pauses earlier.
pub const CONNECTIONS_MAX: usize = 4_096;

/// How long open requests have once the server stops: more than any answer takes.
pub const GOODBYE_MAX: Duration = Duration::from_secs(6);

/// Accepting fails for want of files, and not for ever.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is over; then answers what has been asked, and closes.
///
/// A connection that is idle is closed at once. One that is not done within [`GOODBYE_MAX`] is
/// given up.
pub async fn serve(listener: TcpListener, api: Api, stop: impl Future<Output = ()>) {
    let (stopped, stopping) = watch::channel(());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stop = pin!(stop);
    loop {
        let place = tokio::select! {
            () = &mut stop => break,
            place = places.clone().acquire_owned() => place.expect("it is never closed"),
        };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, api.clone(), stopping.clone(), place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(accept_pause(&error)).await;
            }
        }
    }

    drop(listener);
    api.close();
    drop(stopped);
    drop(stopping);
    let all = u32::try_from(CONNECTIONS_MAX).expect("it is small");
    if timeout(GOODBYE_MAX, places.acquire_many(all)).await.is_err() {
        tracing::warn!("some connections are given up in the middle of a request");
    }
}

/// Serves one client until it goes, or the server stops.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    api: Api,
    mut stopping: watch::Receiver<()>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%peer, %error, "a connection keeps its defaults");
    }
    let afters = Afters::default();
    let service = service_fn(|request: Request<Incoming>| {
        let afters = &afters;
        // An async block would have room for the answer's future twice.
        api.answer(peer.ip(), request.map(Body::new)).map(move |mut answer| {
            if let Some(after) = answer.extensions_mut().remove::<After>() {
                afters.put(after);
            }
            Ok::<_, Infallible>(answer)
        })
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Watched::new(stream, afters.clone())), service)
        .with_upgrades();
    let mut serving = pin!(serving);

    let served = tokio::select! {
        served = &mut serving => served,
        // It says nothing but that the server is gone.
        _ = stopping.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
    drop(place);
}

/// Answers are small, and each is awaited.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(TAKE_WAIT_MAX))?;
    Ok(())
}

/// A client that has gone already costs no time; want of files does.
fn accept_pause(error: &io::Error) -> Duration {
    let kind = error.kind();
    match kind == io::ErrorKind::ConnectionAborted || kind == io::ErrorKind::ConnectionReset {
        true => Duration::ZERO,
        false => ACCEPT_PAUSE,
    }
}
