//! Endpoints of calls (contract 5.1): live and ended calls, and actions on live ones.

mod bodies;
mod cdr;
pub(super) mod invite;
mod legs;
pub(super) mod make;

use std::{sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use tokio::time::{sleep, timeout};

use self::{
    bodies::{CallDone, Transferred},
    legs::NamedLegs,
};
pub(super) use self::{
    bodies::{Meta, NO_MONEY, schemas},
    cdr::{list, page_query, show},
};
use super::{ApiClient, InAccount, members, params::RequestParams, warnings::Warnings};
use crate::{
    api::{
        ANSWER_WAIT_MAX, body,
        context::{PathNames, RequestBody},
        failure::Failure,
        reply,
    },
    base::ids::{CallId, Dialect},
    call::{CallDirection, CallStatus, Hook},
    conference::{LegTransfer, Refusal},
    engine::{
        journal::ActiveCall,
        recorder::Receipt,
        registry::{AskError, PendingTransfer, Registry},
    },
    flow::{Cause, DocumentRequest, Purpose, is_audio},
    media::{AnnouncementKind, AudioOrder, Program, Sound, SoundKind},
};

/// The interval for polling a call that moves or ends, which takes microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The largest number of URLs in one Play.
pub(super) const SOUNDS_MAX: usize = 100;

/// The number of sounds to which a list that is looped is written out.
const ROUNDS: usize = 1_000;

/// The largest `length` of a Play in seconds: no call lasts longer.
pub(super) const LENGTH_MAX: u32 = 86_400;

/// The largest number of digits, as in `<DTMF>`.
pub(super) const DIGITS_MAX: usize = 256;

/// The parameters of a transfer (contract 5.1).
const TRANSFER: [&str; 5] = ["legs", "aleg_url", "aleg_method", "bleg_url", "bleg_method"];

/// `DELETE Call/{call_uuid}/`
pub(super) async fn end(
    client: ApiClient,
    PathNames([call]): InAccount,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    find(&client, call, |_| true)?;
    let (answer, receipt) = client.receipt(reply::empty(StatusCode::NO_CONTENT));
    // Before the call ends: after a crash, the next start ends it for this reason.
    client.state.registry.record_answer(receipt.map(|it| it.ending(call)).as_ref());
    client.state.registry.note_request(call, client.api_id, "HangUp");
    hang_up(&client, call).await?;
    Ok(answer)
}

/// `POST Call/{call_uuid}/Play/`
pub(super) async fn play(
    client: ApiClient,
    PathNames([call]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    let params = client.params(&body)?;
    let warnings = Warnings::of(&client, &params, &["urls", "length", "legs", "loop", "mix"]);
    let legs = NamedLegs::read(&params, "legs")?;
    play_over(&client, call, legs, program(&params)?, warnings).await
}

/// `POST Call/{call_uuid}/Speak/`
pub(super) async fn speak(
    client: ApiClient,
    PathNames([call]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    let speak = body::parse::<members::SpeakParams>(&client.context.headers, &body)?;
    let params = client.params(&body)?;
    let sound = Sound { times: times(&params)?, ..speak.sound(client.dialect)? };
    let (legs, mixes) = (NamedLegs::read(&params, "legs")?, params.flag("mix", true)?);
    let program = vec![sound];
    let speech = PlayOverCall { kind: AnnouncementKind::Speak, program, mixes, length: None };
    let known = ["text", "voice", "language", "legs", "loop", "mix", "type"];
    let mut warnings = Warnings::of(&client, &params, &known);
    if params.choice("type", &["text", "ssml"])? == "ssml" {
        warnings.ignored("type", "SSML is not supported yet, so the text is read as it stands");
    }
    play_over(&client, call, legs, speech, warnings).await
}

/// `DELETE Call/{call_uuid}/Play/`
pub(super) async fn stop_play(
    client: ApiClient,
    PathNames([call]): InAccount,
) -> Result<Response, Failure> {
    stop(&client, id(&call)?, AnnouncementKind::Play)
}

/// `DELETE Call/{call_uuid}/Speak/`
pub(super) async fn stop_speak(
    client: ApiClient,
    PathNames([call]): InAccount,
) -> Result<Response, Failure> {
    stop(&client, id(&call)?, AnnouncementKind::Speak)
}

/// `GET`, `POST` and `DELETE Call/{call_uuid}/Stream/[{stream_id}/]`
pub(super) async fn stream(PathNames([call]): InAccount) -> Result<Response, Failure> {
    id(&call)?;
    Err(Failure::NotImplemented("streaming is not implemented yet"))
}

/// `DELETE Request/{request_uuid}/`: only a call that does not ring yet can be cancelled.
pub(super) async fn cancel(
    client: ApiClient,
    PathNames([call]): InAccount,
) -> Result<Response, Failure> {
    let gone = || Failure::NotFound("request not found: no call of that name is queued".into());
    let call = id(&call).map_err(|_| gone())?;
    find(&client, call, |_| true).map_err(|_| gone())?;
    let (cancelled, receipt) = client.receipt(reply::empty(StatusCode::NO_CONTENT));
    let receipt = receipt.map(|it| it.ending(call));
    let answer = client.state.registry.cancel(call, receipt).ok_or_else(gone)?;
    match timeout(ANSWER_WAIT_MAX, answer).await {
        Ok(Ok(())) => Ok(cancelled),
        Ok(Err(_)) => Err(gone()),
        Err(_) => Err(AskError::Late.into()),
    }
}

/// `GET Call/{call_uuid}/Trace/`: what the call did, step by step, and why. An extension.
pub(super) async fn trace(
    client: ApiClient,
    PathNames([call]): InAccount,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    let trace = client.state.journal.trace(&client.account, call).await.ok_or_else(not_found)?;
    let body = bodies::CallTraceBody { api_id: client.api_id, call_uuid: call, trace };
    Ok(reply::json(StatusCode::OK, &body))
}

/// Ends a call. When this returns, the call has ended and all subscribers are informed.
async fn hang_up(client: &ApiClient, call: CallId) -> Result<(), Failure> {
    let registry = &client.state.registry;
    registry.hang_up(call, Cause::HungUpByApi);
    let gone = async {
        tokio::task::yield_now().await;
        while registry.is_up(call) {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(ANSWER_WAIT_MAX, gone).await.map_err(|_| AskError::Late.into())
}

/// `POST Call/{call_uuid}/`
pub(super) async fn transfer(
    client: ApiClient,
    PathNames([call]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    let params = client.params(&body)?;
    let legs = NamedLegs::read(&params, "legs")?;
    let mut warnings = Warnings::of(&client, &params, &TRANSFER);
    let transfer = LegTransfer {
        own: leg(&params, "aleg", legs.has_own(), &mut warnings)?,
        callee: leg(&params, "bleg", legs.has_callee(), &mut warnings)?,
    };
    // An inbound call has a flow before it is answered; an outbound one does not.
    let has_flow =
        |it: &ActiveCall| is_answered(it) || it.party.direction == CallDirection::Inbound;
    find(&client, call, has_flow)?;
    let calls = legs.calls(&client, call).await?;
    calls.iter().for_each(|it| {
        client.state.registry.note_request(*it, client.api_id, "Transfer");
    });
    let body = Transferred::new(client.dialect, &calls, client.api_id);
    let answer = warnings.in_headers(reply::json(StatusCode::ACCEPTED, &body));
    let (answer, receipt) = client.receipt(answer);
    let registry = &client.state.registry;
    let transferred = transfer_wherever(registry, call, &transfer, receipt.as_ref());
    match timeout(ANSWER_WAIT_MAX, transferred).await {
        Ok(Ok(())) => (),
        Ok(Err(AskError::Gone)) => return Err(not_found()),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(AskError::Late.into()),
    }
    warnings.note_in_traces(&client, &calls).log(&client);
    Ok(answer)
}

/// The document of a leg; None if the leg is not meant.
fn leg(
    params: &RequestParams,
    name: &str,
    is_meant: bool,
    warnings: &mut Warnings,
) -> Result<Option<DocumentRequest>, Failure> {
    let (hook, url) = (params.document(name)?, format!("{name}_url"));
    let Some(Hook { url, method }) = hook.filter(|_| is_meant) else {
        if is_meant {
            return Err(Failure::Bad(format!("{url}: missing")));
        }
        if params.has(&url) {
            warnings.ignored(&url, "it is ignored, since `legs` does not name this leg");
        }
        return Ok(None);
    };
    let (purpose, fields) = (Purpose::Transfer, Vec::new());
    Ok(Some(DocumentRequest { url, method, purpose, fields, is_private: false }))
}

/// Asks the owner of the call, and asks again while the call moves.
async fn transfer_wherever(
    registry: &Registry,
    call: CallId,
    legs: &LegTransfer,
    receipt: Option<&Receipt>,
) -> Result<(), AskError> {
    loop {
        match registry.transfer(call, legs.clone(), receipt.cloned())? {
            PendingTransfer::Call(answer) => {
                if answer.await.is_ok() {
                    return Ok(());
                }
            }
            PendingTransfer::InTransit => (),
            PendingTransfer::Room(answer) => match answer.await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(
                    refusal @ (Refusal::Fault
                    | Refusal::NoCallee
                    | Refusal::NoElement { .. }
                    | Refusal::TooManyBans { .. }),
                )) => {
                    return Err(refusal.into());
                }
                // It has left that room: ask its next owner.
                Ok(Err(Refusal::NoMember)) | Err(_) => (),
            },
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Sounds to play over a call.
struct PlayOverCall {
    kind: AnnouncementKind,
    program: Vec<Sound>,
    mixes: bool,
    length: Option<Duration>,
}

async fn play_over(
    client: &ApiClient,
    call: CallId,
    legs: NamedLegs,
    over: PlayOverCall,
    warnings: Warnings,
) -> Result<Response, Failure> {
    find(client, call, is_answered)?;
    let PlayOverCall { kind, program, mixes, length } = over;
    let program: Program = program.into();
    let calls = legs.calls(client, call).await?;
    let message = match kind {
        AnnouncementKind::Play => "play started",
        AnnouncementKind::Speak => "speak started",
    };
    let done = CallDone { message, api_id: client.api_id };
    let answer = warnings
        .note_in_traces(client, &calls)
        .add_to(client, reply::json(StatusCode::ACCEPTED, &done));
    let play = |call| AudioOrder::PlayOver { call, kind, mixes, length, program: program.clone() };
    Ok(order(client, calls.into_iter().map(play), answer))
}

/// Sends orders that no machine decides on, once their answer is written.
fn order(
    client: &ApiClient,
    orders: impl IntoIterator<Item = AudioOrder>,
    answer: Response,
) -> Response {
    let (answer, receipt) = client.receipt(answer);
    client.state.registry.record_answer(receipt.as_ref());
    orders.into_iter().for_each(|it| client.state.registry.order(it));
    answer
}

/// Stopping when nothing plays is a success.
fn stop(client: &ApiClient, call: CallId, kind: AnnouncementKind) -> Result<Response, Failure> {
    find(client, call, is_answered)?;
    let answer = reply::empty(StatusCode::NO_CONTENT);
    Ok(order(client, [AudioOrder::StopOver { call, kind }], answer))
}

/// `POST Call/{call_uuid}/DTMF/`
pub(super) async fn send_digits(
    client: ApiClient,
    PathNames([call]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    let params = client.params(&body)?;
    let legs = NamedLegs::read(&params, "leg")?;
    let digits = digits("digits", &params.required("digits")?)?;
    find(&client, call, is_answered)?;
    let calls = legs.calls(&client, call).await?;
    let body = CallDone { message: "digits sent", api_id: client.api_id };
    let warnings =
        Warnings::of(&client, &params, &["digits", "leg"]).note_in_traces(&client, &calls);
    let answer = warnings.add_to(&client, reply::json(StatusCode::ACCEPTED, &body));
    // No machine waits for the end, so the number does not matter.
    let send = |call| AudioOrder::SendDigits { call, number: 0, digits: digits.clone() };
    Ok(order(&client, calls.into_iter().map(send), answer))
}

/// Parses a Play: its sounds, their length, and whether they are mixed with what is heard.
fn program(params: &RequestParams) -> Result<PlayOverCall, Failure> {
    let urls = params.list("urls")?;
    if !(1..=SOUNDS_MAX).contains(&urls.len()) {
        return Err(Failure::Bad(format!("urls: give 1 to {SOUNDS_MAX} URLs, with commas")));
    }
    if let Some(url) = urls.iter().find(|it| !is_audio(it)) {
        let bad = format!("urls: {url} is not a sound: give http://…, https://… or flow:NAME");
        return Err(Failure::Bad(bad));
    }
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

/// `loop`: 0 for endless, else 1.
fn times(params: &RequestParams) -> Result<u32, Failure> {
    Ok(if params.flag("loop", false)? { 0 } else { 1 })
}

/// Checks for DTMF keys and pauses.
fn digits(name: &str, text: &str) -> Result<Arc<str>, Failure> {
    let is_key = |it: char| it.is_ascii_digit() || "*#wW".contains(it);
    match text.len() <= DIGITS_MAX && text.chars().all(is_key) {
        true => Ok(text.into()),
        false => Err(Failure::Bad(format!(
            "{name}: give up to {DIGITS_MAX} of 0-9 * # w (half a second) and W (a second)"
        ))),
    }
}

/// A live call of the account that meets a condition.
pub(super) fn find(
    client: &ApiClient,
    call: CallId,
    is_good: impl FnOnce(&ActiveCall) -> bool,
) -> Result<ActiveCall, Failure> {
    let live = client.state.journal.live_call(&client.account, call);
    live.filter(is_good).ok_or_else(not_found)
}

pub(super) fn is_answered(live: &ActiveCall) -> bool {
    live.status == CallStatus::InProgress
}

/// A text that is not an id names no call.
pub(super) fn id(text: &str) -> Result<CallId, Failure> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> Failure {
    Failure::NotFound("call not found".into())
}

fn by_dialect<T>(dialect: Dialect, plivo: T, vobiz: T) -> T {
    match dialect {
        Dialect::Plivo => plivo,
        Dialect::Vobiz => vobiz,
    }
}
