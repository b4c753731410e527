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
    external::{Guest, guest},
    load::now,
};

/// What is done with a request. It is quick: one at a time is heard.
pub(super) trait Ear: Send + 'static {
    /// Its path and its form fields, wherever these were; the answer is a document, or empty.
    fn hear(&mut self, at: Instant, path: &str, fields: form_urlencoded::Parse<'_>) -> Bytes;
}

/// A server that is gone with its owner.
pub(super) struct Receiver<E> {
    pub(super) http: SocketAddr,
    pub(super) ear: Arc<Mutex<E>>,
    place: Place,
}

enum Place {
    /// Beside whoever asks: what is ready is heard before more is asked.
    Here(JoinHandle<()>),
    /// A thread of its own, which ends with this.
    Apart { _stop: oneshot::Sender<()> },
}

/// What is on its way arrives within this, or is lost.
pub(super) const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(20);
/// Between two looks whether all has arrived.
const LOOK: Duration = Duration::from_millis(10);

impl<E: Ear> Receiver<E> {
    /// On the current runtime.
    pub(super) async fn here(ear: E) -> Result<Self> {
        Self::at(own(), ear).await
    }

    /// As above, where an engine reaches this machine.
    pub(super) async fn at(own: IpAddr, ear: E) -> Result<Self> {
        let (listener, http, ear) = Self::bind(own, ear).await?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&ear)));
        Ok(Self { http, ear, place: Place::Here(serving) })
    }

    /// On a runtime of its own.
    pub(super) async fn apart(ear: E) -> Result<Self> {
        let (listener, http, ear) = Self::bind(own(), ear).await?;
        let listener = listener.into_std()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("the system has no threads for it")?;
        let (stop, stopped) = oneshot::channel();
        let heard = Arc::clone(&ear);
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("it was one");
                tokio::select! {
                    () = serve(listener, heard) => (),
                    _ = stopped => (),
                }
            });
        });
        Ok(Self { http, ear, place: Place::Apart { _stop: stop } })
    }

    async fn bind(own: IpAddr, ear: E) -> Result<(TcpListener, SocketAddr, Arc<Mutex<E>>)> {
        let listener = TcpListener::bind((own, 0)).await?;
        let http = listener.local_addr()?;
        Ok((listener, http, Arc::new(Mutex::new(ear))))
    }
}

fn own() -> IpAddr {
    guest().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Guest::own)
}

impl<E> Drop for Receiver<E> {
    fn drop(&mut self) {
        match &self.place {
            Place::Here(serving) => serving.abort(),
            Place::Apart { .. } => (),
        }
    }
}

async fn serve<E: Ear>(listener: TcpListener, ear: Arc<Mutex<E>>) {
    let answer = async |State(ear): State<Arc<Mutex<E>>>, uri: Uri, body: Bytes| -> Response {
        let at = now();
        let query = uri.query().unwrap_or_default().as_bytes();
        let fields = if body.is_empty() { query } else { &body };
        ear.lock().hear(at, uri.path(), form_urlencoded::parse(fields)).into_response()
    };
    let app = Router::new().fallback(answer).with_state(ear);
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
pub(super) async fn until_all(wanted: usize, count: impl Fn() -> usize) -> Result<()> {
    let all = async {
        while count() < wanted {
            sleep(LOOK).await;
        }
    };
    let waited = timeout(ARRIVAL_WAIT_MAX, all).await;
    waited.with_context(|| format!("{} of {wanted} notices have come", count()))
}
