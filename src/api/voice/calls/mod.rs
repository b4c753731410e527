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

use self::bodies::{Done, Transferred};
pub(super) use self::{
    bodies::schemas,
    cdr::{list, show},
};
use super::{Asker, endpoints::CallWish, members, params::Params, warnings::Remarks};
use crate::{
    api::{ANSWER_WAIT_MAX, body, failure::Failure, path, reply},
    base::ids::{CallId, Dialect},
    call::{CallStatus, Direction, Hook},
    conference::Refusal,
    engine::{
        journal::Live,
        registry::{AskError, House, Transferring},
    },
    flow::{Cause, Purpose, Request, is_audio},
    media::{AnnouncementKind, Order, Sound, What},
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
    asker: &Asker<'_>,
    segment: &str,
    wish: CallWish,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    let call = id(segment)?;
    match wish {
        CallWish::HangUp => {
            find(asker, call, |_| true)?;
            asker.desk.house.note_request(call, asker.api_id, "HangUp");
            hang_up(asker, call).await
        }
        CallWish::Play => {
            let params = Params::of_body(headers, body)?;
            let remarks = Remarks::of(asker, &params, &["urls", "length", "legs", "loop", "mix"]);
            let response = over(asker, call, play(&params)?)?;
            Ok(remarks.of_calls(asker, &[call]).tell(asker, response))
        }
        CallWish::Record => Err(Failure::NotImplemented("recording is not implemented yet")),
        CallWish::SendDigits => send_digits(asker, call, &Params::of_body(headers, body)?),
        CallWish::Show => show(asker, call, query),
        CallWish::Speak => {
            let speak = body::parse::<members::Speak>(headers, body)?;
            let params = Params::of_body(headers, body)?;
            let sound = Sound { times: times(&params)?, ..speak.sound(asker.dialect)? };
            let mixes = legs(&params, "legs").and_then(|()| params.flag("mix", true))?;
            let program = vec![sound];
            let speech = Over { kind: AnnouncementKind::Speak, program, mixes, length: None };
            let known = ["text", "voice", "language", "legs", "loop", "mix", "type"];
            let mut remarks = Remarks::of(asker, &params, &known);
            if params.choice("type", &["text", "ssml"])? == "ssml" {
                remarks.idle("type", "SSML is not supported yet, so the text is read as it stands");
            }
            let response = over(asker, call, speech)?;
            Ok(remarks.of_calls(asker, &[call]).tell(asker, response))
        }
        CallWish::StopPlay => stop(asker, call, AnnouncementKind::Play),
        CallWish::StopSpeak => stop(asker, call, AnnouncementKind::Speak),
        CallWish::Stream => Err(Failure::NotImplemented("streams are not implemented yet")),
        CallWish::Trace => trace(asker, call),
        CallWish::Transfer => transfer(asker, call, &Params::of_body(headers, body)?).await,
    }
}

/// `DELETE Request/{request_uuid}/`: only one that does not ring yet can be called off.
pub(super) async fn cancel(asker: &Asker<'_>, segment: &str) -> Result<Response, Failure> {
    let gone = || Failure::Missing("request not found: no call of that name is queued".into());
    let call = id(segment).map_err(|_| gone())?;
    find(asker, call, |it| it.status == CallStatus::Queued).map_err(|_| gone())?;
    hang_up(asker, call).await
}

/// `GET Call/{call_uuid}/Trace/`: what the call did, step by step, and why. An extension.
fn trace(asker: &Asker<'_>, call: CallId) -> Result<Response, Failure> {
    let trace = asker.desk.journal.trace(asker.account, call).ok_or_else(not_found)?;
    let body = bodies::Traced { api_id: asker.api_id, call_uuid: call, trace };
    Ok(reply::json(StatusCode::OK, &body))
}

/// Done when answered: the call is over by then, and all are told of it.
async fn hang_up(asker: &Asker<'_>, call: CallId) -> Result<Response, Failure> {
    let house = &asker.desk.house;
    house.hang_up(call, Cause::HungUpByApi);
    let gone = async {
        tokio::task::yield_now().await;
        while house.is_up(call) {
            sleep(LOOK_EVERY).await;
        }
    };
    match timeout(ANSWER_WAIT_MAX, gone).await {
        Ok(()) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Err(_) => Err(AskError::Late.into()),
    }
}

async fn transfer(asker: &Asker<'_>, call: CallId, params: &Params) -> Result<Response, Failure> {
    legs(params, "legs")?;
    let missing = || Failure::Bad("aleg_url: missing".to_owned());
    let Hook { url, method } = params.document("aleg")?.ok_or_else(missing)?;
    let mut remarks = Remarks::of(asker, params, &TRANSFER);
    if params.document("bleg")?.is_some() {
        remarks.idle("bleg_url", "there are no B legs yet, so it is ignored");
    }
    // One that comes in has a flow before it is answered; one that we make has none.
    let has_flow = |it: &Live| is_answered(it) || it.party.direction == Direction::Inbound;
    find(asker, call, has_flow)?;
    asker.desk.house.note_request(call, asker.api_id, "Transfer");
    let (purpose, fields) = (Purpose::Transfer, Vec::new());
    let request = Request { url, method, purpose, fields, is_private: false };
    match timeout(ANSWER_WAIT_MAX, move_over(&asker.desk.house, call, &request)).await {
        Ok(Ok(())) => (),
        Ok(Err(AskError::Gone)) => return Err(not_found()),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(AskError::Late.into()),
    }
    let body = Transferred::new(asker.dialect, call, asker.api_id);
    Ok(remarks.of_calls(asker, &[call]).tell(asker, reply::json(StatusCode::ACCEPTED, &body)))
}

/// Asks whoever has the call, wherever it goes meanwhile.
async fn move_over(house: &House, call: CallId, request: &Request) -> Result<(), AskError> {
    loop {
        match house.transfer(call, request.clone())? {
            Transferring::Call(answer) => {
                if answer.await.is_ok() {
                    return Ok(());
                }
            }
            Transferring::OnItsWay => (),
            Transferring::Room(answer) => match answer.await {
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
struct Over {
    kind: AnnouncementKind,
    program: Vec<Sound>,
    mixes: bool,
    length: Option<Duration>,
}

fn over(asker: &Asker<'_>, call: CallId, over: Over) -> Result<Response, Failure> {
    find(asker, call, is_answered)?;
    let Over { kind, program, mixes, length } = over;
    let program = program.into();
    asker.desk.house.order(Order::PlayOver { call, kind, mixes, length, program });
    let message = match kind {
        AnnouncementKind::Play => "play started",
        AnnouncementKind::Speak => "speak started",
    };
    Ok(reply::json(StatusCode::ACCEPTED, &Done { message, api_id: asker.api_id }))
}

/// Nothing to stop is as good.
fn stop(asker: &Asker<'_>, call: CallId, kind: AnnouncementKind) -> Result<Response, Failure> {
    find(asker, call, is_answered)?;
    asker.desk.house.order(Order::StopOver { call, kind });
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn send_digits(asker: &Asker<'_>, call: CallId, params: &Params) -> Result<Response, Failure> {
    legs(params, "leg")?;
    let digits = digits("digits", &params.required("digits")?)?;
    find(asker, call, is_answered)?;
    // Nobody waits for their end.
    asker.desk.house.order(Order::SendDigits { call, number: 0, digits });
    let body = Done { message: "digits sent", api_id: asker.api_id };
    let remarks = Remarks::of(asker, params, &["digits", "leg"]).of_calls(asker, &[call]);
    Ok(remarks.tell(asker, reply::json(StatusCode::ACCEPTED, &body)))
}

/// What `urls` plays, for how long, and whether with what is heard or instead of it.
fn play(params: &Params) -> Result<Over, Failure> {
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

    let sound = |url: &String| Sound::from(What::Url(url.as_str().into()));
    let program = match (times(params)?, &urls[..]) {
        (0, [url]) => vec![Sound { times: 0, ..sound(url) }],
        (0, urls) => {
            let rounds = ROUNDS.div_ceil(urls.len());
            std::iter::repeat_n(urls.iter().map(sound), rounds).flatten().collect()
        }
        (_, urls) => urls.iter().map(sound).collect(),
    };
    let mixes = params.flag("mix", true)?;
    Ok(Over { kind: AnnouncementKind::Play, program, mixes, length })
}

/// `loop`: for ever, or once.
fn times(params: &Params) -> Result<u32, Failure> {
    Ok(if params.flag("loop", false)? { 0 } else { 1 })
}

/// There are no second legs: a call that makes another (`<Dial>`) does not exist yet.
fn legs(params: &Params, name: &str) -> Result<(), Failure> {
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
    asker: &Asker<'_>,
    call: CallId,
    is_good: impl FnOnce(&Live) -> bool,
) -> Result<Live, Failure> {
    let live = asker.desk.journal.live_call(asker.account, call);
    live.filter(is_good).ok_or_else(not_found)
}

fn is_answered(live: &Live) -> bool {
    live.status == CallStatus::InProgress
}

/// What is no id is that of no call.
fn id(segment: &str) -> Result<CallId, Failure> {
    path::decode(segment).and_then(|it| it.parse().ok()).ok_or_else(not_found)
}

fn not_found() -> Failure {
    Failure::Missing("call not found".into())
}

/// Whose texts.
fn by_dialect<T>(dialect: Dialect, plivo: T, vobiz: T) -> T {
    match dialect {
        Dialect::Plivo => plivo,
        Dialect::Vobiz => vobiz,
    }
}
