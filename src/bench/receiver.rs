//! Receiver: an HTTP server of the bench, from which the engine fetches documents and to which it
//! sends callbacks.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
    serve::ListenerExt,
};
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use url::form_urlencoded;

use super::{
    clock::now,
    external::{ExternalEngine, external},
};

/// Handles requests, one at a time, so it must be quick.
pub(super) trait RequestHandler: Send + 'static {
    /// Gets path and form fields of query or body; returns a document or nothing.
    fn handle(&mut self, at: Instant, path: &str, fields: form_urlencoded::Parse<'_>) -> Bytes;
}

/// A server that stops on drop.
pub(super) struct BenchReceiver<E> {
    pub(super) http: SocketAddr,
    pub(super) handler: Arc<Mutex<E>>,
    task: ServerTask,
}

enum ServerTask {
    /// On the current runtime, together with the client.
    Spawned(JoinHandle<()>),
    /// On a thread of its own, which ends on drop.
    OwnThread { _stop: oneshot::Sender<()> },
}

/// Requests arrive within this time, or are lost.
pub(super) const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(20);
/// Interval of checks whether all have arrived.
const LOOK: Duration = Duration::from_millis(10);

impl<E: RequestHandler> BenchReceiver<E> {
    /// Starts on the current runtime.
    pub(super) async fn start_here(handler: E) -> Result<Self> {
        Self::start_at(own_ip(), handler).await
    }

    /// Starts on the current runtime, at an address that an engine can reach.
    pub(super) async fn start_at(own: IpAddr, handler: E) -> Result<Self> {
        let (listener, http, handler) = Self::bind(own, handler).await?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&handler)));
        Ok(Self { http, handler, task: ServerTask::Spawned(serving) })
    }

    /// Starts on a runtime of its own.
    pub(super) async fn start_in_thread(handler: E) -> Result<Self> {
        let (listener, http, handler) = Self::bind(own_ip(), handler).await?;
        let listener = listener.into_std()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("the system has no threads for it")?;
        let (stop, stopped) = oneshot::channel();
        let thread_handler = Arc::clone(&handler);
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("it was one");
                tokio::select! {
                    () = serve(listener, thread_handler) => (),
                    _ = stopped => (),
                }
            });
        });
        Ok(Self { http, handler, task: ServerTask::OwnThread { _stop: stop } })
    }

    async fn bind(own: IpAddr, handler: E) -> Result<(TcpListener, SocketAddr, Arc<Mutex<E>>)> {
        let listener = TcpListener::bind((own, 0)).await?;
        let http = listener.local_addr()?;
        Ok((listener, http, Arc::new(Mutex::new(handler))))
    }
}

fn own_ip() -> IpAddr {
    external().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), ExternalEngine::own_ip)
}

impl<E> Drop for BenchReceiver<E> {
    fn drop(&mut self) {
        match &self.task {
            ServerTask::Spawned(serving) => serving.abort(),
            ServerTask::OwnThread { .. } => (),
        }
    }
}

async fn serve<E: RequestHandler>(listener: TcpListener, handler: Arc<Mutex<E>>) {
    let answer = async |State(handler): State<Arc<Mutex<E>>>, uri: Uri, body: Bytes| -> Response {
        let at = now();
        let query = uri.query().unwrap_or_default().as_bytes();
        let fields = if body.is_empty() { query } else { &body };
        handler.lock().handle(at, uri.path(), form_urlencoded::parse(fields)).into_response()
    };
    let app = Router::new().fallback(answer).with_state(handler);
    // Nagle's algorithm is only a delay, so an error is ignored.
    let listener = listener.tap_io(|it| drop(it.set_nodelay(true)));
    // Serves until the task is dropped.
    drop(axum::serve(listener, app).await);
}

/// Waits until `count` reaches `wanted`.
///
/// # Errors
///
/// It has not within [`ARRIVAL_WAIT_MAX`].
pub(super) async fn wait_for_count(wanted: usize, count: impl Fn() -> usize) -> Result<()> {
    let all = async {
        while count() < wanted {
            sleep(LOOK).await;
        }
    };
    let waited = timeout(ARRIVAL_WAIT_MAX, all).await;
    waited.with_context(|| format!("{} of {wanted} notices have come", count()))
}
