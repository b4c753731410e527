//! WebSocket of a signed-in person (contract 3.3, RFC 6455), from the handshake to its end.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{
            CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
        },
    },
    response::Response,
};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    KiriminError, UNAUTHORIZED, auth,
    sockets::{SignalQueue, SocketRefused, Sockets},
};
use crate::{
    accounts::validity::CredentialValidity,
    api::{
        groups::{GroupsApi, GroupsRequest, header},
        reply,
    },
};

/// Interval of pings. A socket that has not answered by the next one is dropped (contract 3.3).
const PING_EVERY: Duration = Duration::from_secs(7);
/// Longest time that sending one message may take.
const SEND_WAIT_MAX: Duration = Duration::from_secs(10);
/// Largest message from a client. The server ignores all of them.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// `GET /socket?id=` with the session's cookie, or (`is_bare`) `GET /?id=` as documented. There the
/// id alone is enough: it is as hard to guess as a session.
pub(super) fn answer(
    api: &GroupsApi,
    request: &GroupsRequest,
    is_bare: bool,
) -> Result<Response, KiriminError> {
    let id = request.query.get("id").map(String::as_str).unwrap_or_default();
    let owner = api.sockets.owner(id).ok_or_else(|| {
        request.note_bad_credentials(None);
        UNAUTHORIZED
    })?;
    let session = auth::session(api, request);
    if session.as_ref().map_or(!is_bare, |it| it.person != owner) {
        return Err(UNAUTHORIZED);
    }
    let own = match session {
        Some(_) => auth::validity(api, request).ok_or(UNAUTHORIZED)?,
        None => CredentialValidity::default(),
    };
    let accept = accept(request).ok_or(NO_HANDSHAKE)?;
    let upgrade = request.upgrade.clone().ok_or(NO_HANDSHAKE)?;
    let mut queue = api.sockets.open(id).map_err(|it| match it {
        SocketRefused::Unknown => UNAUTHORIZED,
        SocketRefused::Full => super::BUSY,
    })?;
    queue.validity = queue.validity.and(own);
    tokio::spawn(serve(upgrade, queue, api.sockets.clone()));

    let mut response = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
    let mut set = |name: HeaderName, value| drop(response.headers_mut().insert(name, value));
    set(CONNECTION, HeaderValue::from_static("Upgrade"));
    set(UPGRADE, HeaderValue::from_static("websocket"));
    set(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

const NO_HANDSHAKE: KiriminError = KiriminError(400, "ERROR");

/// The value of `Sec-WebSocket-Accept`. None if the handshake is invalid (RFC 6455, 4.2.1).
fn accept(request: &GroupsRequest) -> Option<HeaderValue> {
    let has = |name: &HeaderName, word: &str| {
        let value = header(request, name.as_str()).unwrap_or_default();
        value.split(',').any(|it| it.trim().eq_ignore_ascii_case(word))
    };
    let is_handshake = request.context.method == Method::GET
        && has(&CONNECTION, "upgrade")
        && has(&UPGRADE, "websocket")
        && has(&SEC_WEBSOCKET_VERSION, "13");
    let key = header(request, SEC_WEBSOCKET_KEY.as_str()).filter(|_| is_handshake)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

async fn serve(upgrade: OnUpgrade, queue: SignalQueue, sockets: Arc<Sockets>) {
    let (person, number) = (queue.person, queue.number);
    match upgrade.await {
        Ok(stream) => {
            let config = WebSocketConfig::default()
                .read_buffer_size(MESSAGE_BYTES_MAX)
                .write_buffer_size(0)
                .max_message_size(Some(MESSAGE_BYTES_MAX))
                .max_frame_size(Some(MESSAGE_BYTES_MAX));
            let stream = TokioIo::new(stream);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config));
            tracing::debug!(%person, "websocket opened");
            run(socket.await, queue).await;
        }
        Err(error) => tracing::debug!(%person, %error, "websocket upgrade failed"),
    }
    sockets.end(person, number);
    tracing::debug!(%person, "websocket closed");
}

type KiriminSocket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn run(mut socket: KiriminSocket, queue: SignalQueue) {
    let SignalQueue { mut signals, mut closing, validity, .. } = queue;
    let mut over = pin!(validity.over());
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_alive = true;
    let code = loop {
        let message = tokio::select! {
            biased;
            // Before everything else: a session that is over hears nothing more.
            () = &mut over => break CloseCode::Policy,
            // The first tick is immediate.
            _ = pings.tick() => {
                if !is_alive {
                    return;
                }
                is_alive = false;
                Message::Ping(Default::default())
            }
            signal = signals.recv() => match signal {
                Some(text) => Message::text(text),
                // A newer socket replaced this one, or it was too slow.
                None => break CloseCode::Policy,
            },
            received = socket.next() => match received {
                Some(Ok(Message::Pong(_))) => {
                    is_alive = true;
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // The vendor's other features, posts and calls, are not supported.
                Some(Ok(_)) => continue,
            },
            _ = closing.wait_for(|it| *it) => break CloseCode::Away,
        };
        if !send(&mut socket, message).await {
            return;
        }
    };
    let close = CloseFrame { code, reason: "".into() };
    send(&mut socket, Message::Close(Some(close))).await;
}

async fn send(socket: &mut KiriminSocket, message: Message) -> bool {
    matches!(timeout(SEND_WAIT_MAX, socket.send(message)).await, Ok(Ok(())))
}
