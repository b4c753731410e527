//! Endpoint that calls somebody into a conference (contract of calling, 14.3). An extension.

use std::{sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{
    bodies::{DialledMember, MemberDialled, RequestIds},
    digits,
    make::{
        RING_TIMEOUT_MAX, TIME_LIMIT_MAX, address, caller_name, own_keys, sip_headers, split, users,
    },
};
use crate::{
    api::{
        ANSWER_WAIT_MAX,
        context::{PathNames, RequestBody},
        failure::Failure,
        forms::VobizForm,
        reply,
        voice::{ApiClient, InAccount, bodies::AsText, params::RequestParams, warnings::Warnings},
    },
    base::ids::{CallId, ConferenceName, Dialect},
    call::{CallDirection, CallSession, Party, SessionDetails},
    conference::{ConferenceAnswer, Refusal},
    engine::{
        inbound,
        invite::{InviteError, InviteRequest, InvitedCallee},
        registry::AskError,
    },
    flow::{CallbackTarget, CalleeTerms, DESTINATIONS_MAX, Flow, is_target},
};

/// The default of `ring_timeout` in seconds: Plivo's for participants that are added.
pub(in crate::api::voice) const RING_TIMEOUT: u32 = 45;

/// The default of `time_limit` in seconds.
pub(in crate::api::voice) const TIME_LIMIT: u32 = 14_400;

/// The default of `confirm_timeout` in seconds: a voicemail must not hold the caller for two minutes.
pub(in crate::api::voice) const CONFIRM_TIMEOUT: u32 = 20;

/// The largest `confirm_timeout` in seconds, as of `<Dial>`.
pub(in crate::api::voice) const CONFIRM_TIMEOUT_MAX: u32 = 600;

/// The parameters of the endpoint.
pub(in crate::api::voice) const KNOWN: [&str; 23] = [
    "from",
    "to",
    "caller_name",
    "sip_headers",
    "send_digits",
    "user",
    "ring_timeout",
    "time_limit",
    "confirm_key",
    "confirm_sound",
    "confirm_timeout",
    "muted",
    "stay_alone",
    "start_conference_on_enter",
    "end_conference_on_exit",
    "hangup_on_star",
    "enter_sound",
    "exit_sound",
    "digits_match",
    "callback_url",
    "callback_method",
    "on_exit_action_url",
    "on_exit_action_method",
];

/// The parameters that are true or false, and their attributes.
pub(in crate::api::voice) const FLAGS: [(&str, &str); 5] = [
    ("muted", "muted"),
    ("stay_alone", "stayAlone"),
    ("start_conference_on_enter", "startConferenceOnEnter"),
    ("end_conference_on_exit", "endConferenceOnExit"),
    ("hangup_on_star", "hangupOnStar"),
];

/// The parameters whose values are those of an attribute.
const TEXTS: [(&str, &str); 3] =
    [("enter_sound", "enterSound"), ("exit_sound", "exitSound"), ("digits_match", "digitsMatch")];

/// `POST Conference/{name}/Member/`
pub(in crate::api::voice) async fn invite(
    client: ApiClient,
    PathNames([name]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let params = client.params(&body)?;
    let key = client.key(&name)?;
    let callees = callees(&client, &params)?;
    let (terms, flow) = (Arc::new(terms(&params)?), flow(&params, &key.name, client.dialect)?);
    let warnings = Warnings::of(&client, &params, &KNOWN);
    let state = &client.state;
    if !state.inbound.is_open() {
        return Err(Failure::Unavailable(InviteError::Closing.to_string()));
    }
    let ids: Vec<_> = callees.iter().map(|it| it.call).collect();
    let reply = MemberDialReply::new(&client, &callees);
    let by = client.asks(|| {
        let (reply, warnings) = (reply.clone(), warnings.clone());
        move |answer| warnings.in_headers(reply.to(answer))
    });
    let asked = {
        let (now, count) = (Instant::now().into_std(), callees.len());
        let _admitted = state.call_caps.admit(now, &state.journal, &client.account, count)?;
        let invitation = InviteRequest { callees, terms, flow: Arc::new(flow) };
        state.registry.invite(now, by, &key, invitation)?
    };
    let answer = match timeout(ANSWER_WAIT_MAX, asked).await {
        Ok(Ok(Ok(answer))) => reply.to(&answer),
        // No member has joined yet, or the room has ended: there is no conference.
        Ok(Ok(Err(Refusal::NoMember)) | Err(_)) => return Err(AskError::Gone.into()),
        Ok(Ok(Err(refusal))) => return Err(AskError::from(refusal).into()),
        Err(_) => return Err(AskError::Late.into()),
    };
    ids.iter().for_each(|it| state.registry.note_request(*it, client.api_id, "DialMember"));
    Ok(warnings.note_in_traces(&client, &ids).add_to(&client, answer))
}

/// How the request is answered.
#[derive(Clone)]
struct MemberDialReply {
    status: StatusCode,
    api_id: Uuid,
    from: Arc<str>,
    /// Each destination and its call.
    to: Vec<(Arc<str>, CallId)>,
}

impl MemberDialReply {
    fn new(client: &ApiClient, callees: &[InvitedCallee]) -> Self {
        let status = match (client.dialect, client.state.voice.vobiz) {
            (Dialect::Vobiz, VobizForm::Documented) => StatusCode::OK,
            (Dialect::Plivo, _) | (Dialect::Vobiz, VobizForm::Live) => StatusCode::ACCEPTED,
        };
        Self {
            status,
            api_id: client.api_id,
            from: callees.first().map_or_else(|| "".into(), |it| it.party.from.clone()),
            to: callees.iter().map(|it| (it.party.to.clone(), it.call)).collect(),
        }
    }

    fn to(&self, answer: &ConferenceAnswer) -> Response {
        let members = match answer {
            ConferenceAnswer::Members(members) => members,
            ConferenceAnswer::Banned { .. }
            | ConferenceAnswer::Callee(_)
            | ConferenceAnswer::Departures(_)
            | ConferenceAnswer::Roster(_) => unreachable!("an invitation is answered with members"),
        };
        let called = |((to, call), member): (&(Arc<str>, CallId), _)| {
            let (to, from) = (to.to_string(), self.from.to_string());
            DialledMember { to, from, call_uuid: *call, member_id: AsText(member) }
        };
        let calls: Vec<_> = self.to.iter().zip(members.iter().copied()).map(called).collect();
        let request_uuid = match &self.to[..] {
            [(_, call)] => RequestIds::One(*call),
            all => RequestIds::Many(all.iter().map(|it| it.1).collect()),
        };
        let (message, api_id) = ("member dial started", self.api_id);
        reply::json(self.status, &MemberDialled { api_id, message, request_uuid, calls })
    }
}

/// The calls to make. All parameters are checked before the first call is made.
fn callees(client: &ApiClient, params: &RequestParams) -> Result<Vec<InvitedCallee>, Failure> {
    let from = address("from", &params.required("from")?)?;
    let to = params.required("to")?;
    let destinations = split(&to);
    if !(1..=DESTINATIONS_MAX).contains(&destinations.len()) {
        return Err(Failure::Bad(format!("to: give 1 to {DESTINATIONS_MAX}, with < between them")));
    }
    let caller_name = caller_name(params)?;
    let details = SessionDetails {
        trace: Some(client.trace),
        headers: sip_headers(params)?,
        ..SessionDetails::default()
    };
    let session = CallSession::new(inbound::wall_clock(), details);
    let users = users(params, destinations.len())?;
    let keys = params.text("send_digits")?.unwrap_or_default();
    let callee = |(n, to): (usize, &&str)| {
        let to = address("to", to)?;
        let route = client.state.registry.can_dial(&client.account, &to);
        route.map_err(|no_way| Failure::Bad(format!("to: {no_way}")))?;
        let party = Party {
            from: from.clone(),
            to,
            caller_name: caller_name.clone(),
            direction: CallDirection::Outbound,
            dialect: client.dialect,
            trusted: users[n].clone().map(Box::new),
            session: session.clone(),
        };
        let own = own_keys(&keys, n);
        let digits = own.map(|it| digits("send_digits", it)).transpose()?;
        Ok(InvitedCallee { call: CallId(Uuid::new_v4()), party, digits })
    };
    destinations.iter().enumerate().map(callee).collect()
}

/// What a request that calls somebody into a conference says of how they ring and accept, and of the
/// member that they become. For `conflow simulate`, whose events have the same parameters.
///
/// # Errors
///
/// The text of the 400: which parameter is invalid, and what to give.
pub fn member_terms(
    params: Map<String, Value>,
    room: &ConferenceName,
    dialect: Dialect,
) -> Result<(CalleeTerms, Flow), String> {
    let params = RequestParams::of(params);
    let text = |failure: Failure| failure.to_string();
    let (terms, flow) = (terms(&params), flow(&params, room, dialect));
    Ok((terms.map_err(text)?, flow.map_err(text)?))
}

fn terms(params: &RequestParams) -> Result<CalleeTerms, Failure> {
    let seconds = |name: &str, max: u32, default: u32| {
        let given = params.number(name, 1..=max)?;
        Ok::<_, Failure>(Duration::from_secs(given.unwrap_or(default).into()))
    };
    let sound = params.text("confirm_sound")?;
    if sound.as_ref().is_some_and(|it| !is_target(it)) {
        let advice = "give http://…, https://… or flow:NAME";
        return Err(Failure::Bad(format!("confirm_sound: not a document: {advice}")));
    }
    let key = params.text("confirm_key")?;
    let is_key = |it: &str| it.len() == 1 && "0123456789*#".contains(it);
    if key.as_ref().is_some_and(|it| !is_key(it)) {
        return Err(Failure::Bad("confirm_key: give one of 0-9 * #".to_owned()));
    }
    let callback = params.hook("callback")?.map(|hook| {
        let (url, method, by_call, reports_floor) = (hook.url, hook.method, false, false);
        Arc::new(CallbackTarget { url, method, by_call, reports_floor })
    });
    Ok(CalleeTerms {
        ring_timeout: seconds("ring_timeout", RING_TIMEOUT_MAX, RING_TIMEOUT)?,
        time_limit: seconds("time_limit", TIME_LIMIT_MAX, TIME_LIMIT)?,
        confirm_sound: sound.map(Into::into),
        confirm_key: key.and_then(|it| it.chars().next()),
        confirm_timeout: seconds("confirm_timeout", CONFIRM_TIMEOUT_MAX, CONFIRM_TIMEOUT)?,
        callback,
    })
}

/// The document of the member: a `<Conference>` with the defaults of the dialect.
fn flow(params: &RequestParams, name: &ConferenceName, dialect: Dialect) -> Result<Flow, Failure> {
    let mut attributes: Vec<(&str, String)> = Vec::new();
    for (param, attribute) in FLAGS {
        let on = params.flag(param, false)?;
        if params.has(param) {
            attributes.push((attribute, on.to_string()));
        }
    }
    for (param, attribute) in TEXTS {
        let Some(text) = params.text(param)? else { continue };
        let bad = |why: String| Failure::Bad(format!("{param}: {why}"));
        let own = [(attribute, text)];
        let flow = Flow::of_conference(name, &own, dialect).map_err(|it| bad(it.to_string()))?;
        if let Some(warning) = flow.warnings.first() {
            return Err(bad(warning.warning.to_string()));
        }
        attributes.extend(own);
    }
    let hooks = [
        (params.hook("callback")?, "callbackUrl", "callbackMethod"),
        (params.document("on_exit_action")?, "action", "method"),
    ];
    for (hook, url, method) in hooks {
        let Some(hook) = hook else { continue };
        attributes.push((url, hook.url.to_string()));
        attributes.push((method, hook.method.text().to_owned()));
    }
    let flow = Flow::of_conference(name, &attributes, dialect);
    flow.map_err(|error| Failure::Bad(error.to_string()))
}

impl From<InviteError> for Failure {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::Ask(error) => error.into(),
            InviteError::Closing => Self::Unavailable(error.to_string()),
            InviteError::NeedsUser => Self::Bad(error.to_string()),
        }
    }
}
