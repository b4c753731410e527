//! Calls (contract 5.1): those that are up, those that are over, and what can be done to them.

mod bodies;
mod cdr;
pub(super) mod make;

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tokio::time::{sleep, timeout};

use self::bodies::{CallDone, Transferred};
pub(super) use self::{
    bodies::schemas,
    cdr::{list, show},
};
use super::{ApiClient, endpoints::CallAction, members, params::RequestParams, warnings::Warnings};
use crate::{
    api::{ANSWER_WAIT_MAX, body, failure::Failure, path, reply},
    base::ids::{CallId, Dialect},
    call::{CallDirection, CallStatus, Hook},
    conference::Refusal,
    engine::{
        journal::ActiveCall,
        registry::{AskError, PendingTransfer, Registry},
    },
    flow::{Cause, DocumentRequest, Purpose, is_audio},
    media::{AnnouncementKind, AudioOrder, Sound, SoundKind},
};

/// Between two looks at a call that is on its way: it is there within microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// URLs in one request: more are better one after the other.
pub(super) const SOUNDS_MAX: usize = 100;

/// A list that is played over and over is written out so often; nobody listens longer.
const ROUNDS: usize = 1_000;

/// Seconds of a Play: no call lasts longer.
pub(super) const LENGTH_MAX: u32 = 86_400;

/// As in `<DTMF>`: more is no dialling.
pub(super) const DIGITS_MAX: usize = 256;

/// Contract 5.1.
const TRANSFER: [&str; 5] = ["legs", "aleg_url", "aleg_method", "bleg_url", "bleg_method"];

/// `GET`, `POST` and `DELETE Call/{call_uuid}/…`
pub(super) async fn serve(
    client: &ApiClient<'_>,
    segment: &str,
    action: CallAction,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    let call = id(segment)?;
    match action {
        CallAction::HangUp => {
            find(client, call, |_| true)?;
            client.state.registry.note_request(call, client.api_id, "HangUp");
            hang_up(client, call).await
        }
        CallAction::Play => {
            let params = RequestParams::of_body(headers, body)?;
            let warnings =
                Warnings::of(client, &params, &["urls", "length", "legs", "loop", "mix"]);
            let response = play_over(client, call, play(&params)?)?;
            Ok(warnings.note_in_traces(client, &[call]).add_to(client, response))
        }
        CallAction::Record => Err(Failure::NotImplemented("recording is not implemented yet")),
        CallAction::SendDigits => {
            send_digits(client, call, &RequestParams::of_body(headers, body)?)
        }
        CallAction::Show => show(client, call, query),
        CallAction::Speak => {
            let speak = body::parse::<members::SpeakParams>(headers, body)?;
            let params = RequestParams::of_body(headers, body)?;
            let sound = Sound { times: times(&params)?, ..speak.sound(client.dialect)? };
            let mixes = legs(&params, "legs").and_then(|()| params.flag("mix", true))?;
            let program = vec![sound];
            let speech =
                PlayOverCall { kind: AnnouncementKind::Speak, program, mixes, length: None };
            let known = ["text", "voice", "language", "legs", "loop", "mix", "type"];
            let mut warnings = Warnings::of(client, &params, &known);
            if params.choice("type", &["text", "ssml"])? == "ssml" {
                warnings
                    .ignored("type", "SSML is not supported yet, so the text is read as it stands");
            }
            let response = play_over(client, call, speech)?;
            Ok(warnings.note_in_traces(client, &[call]).add_to(client, response))
        }
        CallAction::StopPlay => stop(client, call, AnnouncementKind::Play),
        CallAction::StopSpeak => stop(client, call, AnnouncementKind::Speak),
        CallAction::Stream => Err(Failure::NotImplemented("streams are not implemented yet")),
        CallAction::Trace => trace(client, call),
        CallAction::Transfer => {
            transfer(client, call, &RequestParams::of_body(headers, body)?).await
        }
    }
}

/// `DELETE Request/{request_uuid}/`: only one that does not ring yet can be called off.
pub(super) async fn cancel(client: &ApiClient<'_>, segment: &str) -> Result<Response, Failure> {
    let gone = || Failure::NotFound("request not found: no call of that name is queued".into());
    let call = id(segment).map_err(|_| gone())?;
    find(client, call, |it| it.status == CallStatus::Queued).map_err(|_| gone())?;
    hang_up(client, call).await
}

/// `GET Call/{call_uuid}/Trace/`: what the call did, step by step, and why. An extension.
fn trace(client: &ApiClient<'_>, call: CallId) -> Result<Response, Failure> {
    let trace = client.state.journal.trace(client.account, call).ok_or_else(not_found)?;
    let body = bodies::CallTraceBody { api_id: client.api_id, call_uuid: call, trace };
    Ok(reply::json(StatusCode::OK, &body))
}

/// Done when answered: the call is over by then, and all are told of it.
async fn hang_up(client: &ApiClient<'_>, call: CallId) -> Result<Response, Failure> {
    let registry = &client.state.registry;
    registry.hang_up(call, Cause::HungUpByApi);
    let gone = async {
        tokio::task::yield_now().await;
        while registry.is_up(call) {
            sleep(LOOK_EVERY).await;
        }
    };
    match timeout(ANSWER_WAIT_MAX, gone).await {
        Ok(()) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Err(_) => Err(AskError::Late.into()),
    }
}

async fn transfer(
    client: &ApiClient<'_>,
    call: CallId,
    params: &RequestParams,
) -> Result<Response, Failure> {
    legs(params, "legs")?;
    let missing = || Failure::Bad("aleg_url: missing".to_owned());
    let Hook { url, method } = params.document("aleg")?.ok_or_else(missing)?;
    let mut warnings = Warnings::of(client, params, &TRANSFER);
    if params.document("bleg")?.is_some() {
        warnings.ignored("bleg_url", "there are no B legs yet, so it is ignored");
    }
    // One that comes in has a flow before it is answered; one that we make has none.
    let has_flow =
        |it: &ActiveCall| is_answered(it) || it.party.direction == CallDirection::Inbound;
    find(client, call, has_flow)?;
    client.state.registry.note_request(call, client.api_id, "Transfer");
    let (purpose, fields) = (Purpose::Transfer, Vec::new());
    let request = DocumentRequest { url, method, purpose, fields, is_private: false };
    match timeout(ANSWER_WAIT_MAX, transfer_wherever(&client.state.registry, call, &request)).await
    {
        Ok(Ok(())) => (),
        Ok(Err(AskError::Gone)) => return Err(not_found()),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(AskError::Late.into()),
    }
    let body = Transferred::new(client.dialect, call, client.api_id);
    Ok(warnings
        .note_in_traces(client, &[call])
        .add_to(client, reply::json(StatusCode::ACCEPTED, &body)))
}

/// Asks whoever has the call, wherever it goes meanwhile.
async fn transfer_wherever(
    registry: &Registry,
    call: CallId,
    request: &DocumentRequest,
) -> Result<(), AskError> {
    loop {
        match registry.transfer(call, request.clone())? {
            PendingTransfer::Call(answer) => {
                if answer.await.is_ok() {
                    return Ok(());
                }
            }
            PendingTransfer::InTransit => (),
            PendingTransfer::Room(answer) => match answer.await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(refusal @ (Refusal::Fault | Refusal::NoElement { .. }))) => {
                    return Err(refusal.into());
                }
                // It has left that room.
                Ok(Err(Refusal::NoMember)) | Err(_) => (),
            },
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What is played over a call.
struct PlayOverCall {
    kind: AnnouncementKind,
    program: Vec<Sound>,
    mixes: bool,
    length: Option<Duration>,
}

fn play_over(
    client: &ApiClient<'_>,
    call: CallId,
    over: PlayOverCall,
) -> Result<Response, Failure> {
    find(client, call, is_answered)?;
    let PlayOverCall { kind, program, mixes, length } = over;
    let program = program.into();
    client.state.registry.order(AudioOrder::PlayOver { call, kind, mixes, length, program });
    let message = match kind {
        AnnouncementKind::Play => "play started",
        AnnouncementKind::Speak => "speak started",
    };
    Ok(reply::json(StatusCode::ACCEPTED, &CallDone { message, api_id: client.api_id }))
}

/// Nothing to stop is as good.
fn stop(client: &ApiClient<'_>, call: CallId, kind: AnnouncementKind) -> Result<Response, Failure> {
    find(client, call, is_answered)?;
    client.state.registry.order(AudioOrder::StopOver { call, kind });
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn send_digits(
    client: &ApiClient<'_>,
    call: CallId,
    params: &RequestParams,
) -> Result<Response, Failure> {
    legs(params, "leg")?;
    let digits = digits("digits", &params.required("digits")?)?;
    find(client, call, is_answered)?;
    // Nobody waits for their end.
    client.state.registry.order(AudioOrder::SendDigits { call, number: 0, digits });
    let body = CallDone { message: "digits sent", api_id: client.api_id };
    let warnings = Warnings::of(client, params, &["digits", "leg"]).note_in_traces(client, &[call]);
    Ok(warnings.add_to(client, reply::json(StatusCode::ACCEPTED, &body)))
}

/// What `urls` plays, for how long, and whether with what is heard or instead of it.
fn play(params: &RequestParams) -> Result<PlayOverCall, Failure> {
    let urls = params.list("urls")?;
    if !(1..=SOUNDS_MAX).contains(&urls.len()) {
        return Err(Failure::Bad(format!("urls: give 1 to {SOUNDS_MAX} URLs, with commas")));
    }
    if let Some(url) = urls.iter().find(|it| !is_audio(it)) {
        let bad = format!("urls: {url} is not a sound: give http://…, https://… or flow:NAME");
        return Err(Failure::Bad(bad));
    }
    legs(params, "legs")?;
    let length = params.number("length", 1..=LENGTH_MAX)?;
    let length = length.map(|it| Duration::from_secs(it.into()));

    let sound = |url: &String| Sound::from(SoundKind::Url(url.as_str().into()));
    let program = match (times(params)?, &urls[..]) {
        (0, [url]) => vec![Sound { times: 0, ..sound(url) }],
        (0, urls) => {
            let rounds = ROUNDS.div_ceil(urls.len());
            std::iter::repeat_n(urls.iter().map(sound), rounds).flatten().collect()
        }
        (_, urls) => urls.iter().map(sound).collect(),
    };
    let mixes = params.flag("mix", true)?;
    Ok(PlayOverCall { kind: AnnouncementKind::Play, program, mixes, length })
}

/// `loop`: for ever, or once.
fn times(params: &RequestParams) -> Result<u32, Failure> {
    Ok(if params.flag("loop", false)? { 0 } else { 1 })
}

/// There are no second legs: a call that makes another (`<Dial>`) does not exist yet.
fn legs(params: &RequestParams, name: &str) -> Result<(), Failure> {
    match params.choice(name, &["aleg", "both", "bleg"])? {
        "bleg" => Err(Failure::NotImplemented("there are no B legs yet: give aleg")),
        _ => Ok(()),
    }
}

/// Keys and pauses.
fn digits(name: &str, text: &str) -> Result<Arc<str>, Failure> {
    let is_key = |it: char| it.is_ascii_digit() || "*#wW".contains(it);
    match text.len() <= DIGITS_MAX && text.chars().all(is_key) {
        true => Ok(text.into()),
        false => Err(Failure::Bad(format!(
            "{name}: give up to {DIGITS_MAX} of 0-9 * # w (half a second) and W (a second)"
        ))),
    }
}

/// A call of the account that is up, and as it must be.
fn find(
    client: &ApiClient<'_>,
    call: CallId,
    is_good: impl FnOnce(&ActiveCall) -> bool,
) -> Result<ActiveCall, Failure> {
    let live = client.state.journal.live_call(client.account, call);
    live.filter(is_good).ok_or_else(not_found)
}

fn is_answered(live: &ActiveCall) -> bool {
    live.status == CallStatus::InProgress
}

/// What is no id is that of no call.
fn id(segment: &str) -> Result<CallId, Failure> {
    path::decode(segment).and_then(|it| it.parse().ok()).ok_or_else(not_found)
}

fn not_found() -> Failure {
    Failure::NotFound("call not found".into())
}

/// Whose texts.
fn by_dialect<T>(dialect: Dialect, plivo: T, vobiz: T) -> T {
    match dialect {
        Dialect::Plivo => plivo,
        Dialect::Vobiz => vobiz,
    }
}
