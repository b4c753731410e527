//! Whom the engine asks for documents, and tells what happens: an HTTP server on our side.

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

/// What is done with a request. It is quick: one at a time is heard.
pub(super) trait RequestHandler: Send + 'static {
    /// Its path and its form fields, wherever these were; the answer is a document, or empty.
    fn handle(&mut self, at: Instant, path: &str, fields: form_urlencoded::Parse<'_>) -> Bytes;
}

/// A server that is gone with its owner.
pub(super) struct BenchReceiver<E> {
    pub(super) http: SocketAddr,
    pub(super) handler: Arc<Mutex<E>>,
    task: ServerTask,
}

enum ServerTask {
    /// Beside whoever asks: what is ready is heard before more is asked.
    Spawned(JoinHandle<()>),
    /// A thread of its own, which ends with this.
    OwnThread { _stop: oneshot::Sender<()> },
}

/// What is on its way arrives within this, or is lost.
pub(super) const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(20);
/// Between two looks whether all has arrived.
const LOOK: Duration = Duration::from_millis(10);

impl<E: RequestHandler> BenchReceiver<E> {
    /// On the current runtime.
    pub(super) async fn start_here(handler: E) -> Result<Self> {
        Self::start_at(own_ip(), handler).await
    }

    /// As above, where an engine reaches this machine.
    pub(super) async fn start_at(own: IpAddr, handler: E) -> Result<Self> {
        let (listener, http, handler) = Self::bind(own, handler).await?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&handler)));
        Ok(Self { http, handler, task: ServerTask::Spawned(serving) })
    }

    /// On a runtime of its own.
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
    // A connection that cannot be had without delay is one still.
    let listener = listener.tap_io(|it| drop(it.set_nodelay(true)));
    // It goes on until it is dropped.
    drop(axum::serve(listener, app).await);
}

/// Waits until all of something has come.
///
/// # Errors
///
/// It has not, after some time.
pub(super) async fn wait_for_count(wanted: usize, count: impl Fn() -> usize) -> Result<()> {
    let all = async {
        while count() < wanted {
            sleep(LOOK).await;
        }
    };
    let waited = timeout(ARRIVAL_WAIT_MAX, all).await;
    waited.with_context(|| format!("{} of {wanted} notices have come", count()))
}
