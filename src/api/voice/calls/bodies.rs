//! Bodies of answers about calls: the keys of contract 5.1 and of Plivo's pages.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    api::{
        openapi::{Schemas, one_or_many},
        voice::bodies::AsText,
    },
    base::{
        ids::{AccountId, CallId, Dialect, MemberId},
        utc,
    },
    call::{CallDirection, CallStatus},
    cdr::Cdr,
    engine::journal::ActiveCall,
    media::legs::LegSummary,
    trace::ShownTrace,
};

/// Calls cost nothing here.
pub(in crate::api::voice) const NO_MONEY: &str = "0.00000";

/// The schemas of these bodies.
pub(in crate::api::voice) fn schemas(schemas: &mut Schemas) {
    schemas.put::<CdrBody>();
    schemas.put::<CallDone>();
    schemas.put::<Fired>();
    schemas.put::<CallIds>();
    schemas.put::<DialledMember>();
    schemas.put::<MemberDialled>();
    schemas.put::<LiveCall<'_>>();
    schemas.put::<CdrListBody>();
    schemas.put::<Transferred>();
}

/// `GET Call/{call_uuid}/Trace/`
#[derive(Serialize)]
pub(super) struct CallTraceBody {
    pub(super) api_id: Uuid,
    pub(super) call_uuid: CallId,
    #[serde(flatten)]
    pub(super) trace: ShownTrace,
}

/// The success of an action on a call.
#[derive(Serialize, ToSchema)]
#[schema(as = CallDone)]
pub(super) struct CallDone {
    pub(super) message: &'static str,
    pub(super) api_id: Uuid,
}

/// The success of making calls.
#[derive(Serialize, ToSchema)]
pub(super) struct Fired {
    pub(super) message: &'static str,
    #[schema(schema_with = one_or_many)]
    pub(super) request_uuid: RequestIds,
    pub(super) api_id: Uuid,
}

/// One id, or one for each destination.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum RequestIds {
    Many(Vec<CallId>),
    One(CallId),
}

/// The success of calling somebody into a conference.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberDialled {
    pub(super) api_id: Uuid,
    pub(super) message: &'static str,
    #[schema(schema_with = one_or_many)]
    pub(super) request_uuid: RequestIds,
    pub(super) calls: Vec<DialledMember>,
}

/// A call into a conference, and the member that it may become.
#[derive(Serialize, ToSchema)]
pub(super) struct DialledMember {
    pub(super) to: String,
    pub(super) from: String,
    #[schema(value_type = Uuid)]
    pub(super) call_uuid: CallId,
    #[schema(value_type = String)]
    pub(super) member_id: AsText<MemberId>,
}

/// The success of a transfer.
#[derive(Serialize, ToSchema)]
pub(super) struct Transferred {
    message: &'static str,
    #[schema(value_type = Option<Uuid>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    call_uuid: Option<CallId>,
    #[schema(value_type = Option<Vec<Uuid>>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    call_uuids: Option<Vec<CallId>>,
    api_id: Uuid,
}

impl Transferred {
    /// The first call is the one that the request names.
    pub(super) fn new(dialect: Dialect, calls: &[CallId], api_id: Uuid) -> Self {
        let calls = (dialect == Dialect::Vobiz).then(|| calls.to_vec());
        let call_uuid = calls.as_ref().and_then(|it| it.first().copied());
        Self { message: "call transferred", call_uuid, call_uuids: calls, api_id }
    }
}

/// A list of live or queued calls.
#[derive(Serialize, ToSchema)]
#[schema(as = CallIds)]
pub(super) struct CallIds {
    pub(super) api_id: Uuid,
    #[schema(value_type = Vec<Uuid>)]
    pub(super) calls: Vec<CallId>,
}

/// A live or queued call.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveCall<'a> {
    api_id: Uuid,
    call_status: &'static str,
    #[schema(value_type = Uuid)]
    call_uuid: CallId,
    caller_name: &'a str,
    direction: &'static str,
    from: &'a str,
    /// Only of a call that another call has made: the B leg of a `<Dial>`.
    #[schema(value_type = Option<Uuid>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_call_uuid: Option<CallId>,
    #[schema(value_type = Option<Uuid>, required = true)]
    request_uuid: Option<CallId>,
    session_start: String,
    to: &'a str,
}

impl<'a> LiveCall<'a> {
    pub(super) fn new(call: CallId, live: &'a ActiveCall, api_id: Uuid) -> Self {
        let ActiveCall { party, status, .. } = live;
        Self {
            api_id,
            call_status: status.text(),
            call_uuid: call,
            caller_name: &party.caller_name,
            direction: party.direction.text(),
            from: &party.from,
            parent_call_uuid: party.session.parent(),
            request_uuid: (party.direction == CallDirection::Outbound).then_some(call),
            session_start: utc::precise(party.session.began_at),
            to: &party.to,
        }
    }
}

/// A page of ended calls.
#[derive(Serialize, ToSchema)]
#[schema(as = Records)]
pub(super) struct CdrListBody {
    pub(super) api_id: Uuid,
    pub(super) meta: Meta,
    pub(super) objects: Vec<CdrBody>,
}

/// The position of a page in its list (contract 1).
#[derive(Serialize, ToSchema)]
pub(in crate::api::voice) struct Meta {
    pub(in crate::api::voice) limit: usize,
    #[schema(required = true)]
    pub(in crate::api::voice) next: Option<String>,
    pub(in crate::api::voice) offset: usize,
    #[schema(required = true)]
    pub(in crate::api::voice) previous: Option<String>,
    pub(in crate::api::voice) total_count: usize,
}

/// An ended call.
#[derive(Serialize, ToSchema)]
#[schema(as = CallRecord)]
pub(super) struct CdrBody {
    #[schema(required = true)]
    answer_time: Option<String>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    api_id: Option<Uuid>,
    bill_duration: u64,
    billed_duration: u64,
    call_direction: &'static str,
    call_duration: u64,
    call_state: &'static str,
    #[schema(value_type = Uuid)]
    call_uuid: CallId,
    #[schema(required = true)]
    conference_uuid: Option<String>,
    end_time: String,
    from_number: String,
    hangup_cause_code: u16,
    /// An extension, and only of calls that ended because a document was missing.
    #[schema(value_type = Option<String>, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hangup_cause_detail: Option<Arc<str>>,
    hangup_cause_name: &'static str,
    hangup_source: &'static str,
    initiation_time: String,
    #[schema(value_type = Option<Uuid>, required = true)]
    parent_call_uuid: Option<CallId>,
    resource_uri: String,
    /// An extension, and only for calls with real sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<SoundQuality>,
    to_number: String,
    total_amount: &'static str,
    total_rate: &'static str,
}

impl CdrBody {
    pub(super) fn new(
        cdr: &Cdr,
        dialect: Dialect,
        account: &AccountId,
        api_id: Option<Uuid>,
    ) -> Self {
        let (party, ending, talked) = (&cdr.party, cdr.ending, cdr.talked().as_secs());
        Self {
            answer_time: cdr.answered_at.map(utc::seconds),
            api_id,
            bill_duration: talked,
            billed_duration: talked.div_ceil(60) * 60,
            call_direction: party.direction.text(),
            call_duration: talked,
            call_state: state(cdr.status()),
            call_uuid: cdr.call,
            conference_uuid: cdr.conference.map(|it| it.to_string()),
            end_time: utc::seconds(cdr.ended_at),
            from_number: party.from.to_string(),
            hangup_cause_code: ending.cause.code(),
            hangup_cause_detail: cdr.detail.clone(),
            hangup_cause_name: ending.cause.name(),
            hangup_source: ending.source.text(),
            initiation_time: utc::seconds(party.session.began_at),
            parent_call_uuid: party.session.parent(),
            resource_uri: format!("{}{}/", calls_uri(dialect, account), cdr.call),
            sound: cdr.leg_summary.get().map(SoundQuality::from),
            to_number: party.to.to_string(),
            total_amount: NO_MONEY,
            total_rate: NO_MONEY,
        }
    }
}

/// Packet counts and jitter of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Sound)]
struct SoundQuality {
    packets_sent: u64,
    packets_received: u64,
    packets_lost: u64,
    jitter_ms: f64,
}

impl From<&LegSummary> for SoundQuality {
    fn from(sound: &LegSummary) -> Self {
        let LegSummary { sent, received, lost, jitter_us } = *sound;
        Self {
            packets_sent: sent,
            packets_received: received,
            packets_lost: lost,
            jitter_ms: f64::from(jitter_us) / 1_000.0,
        }
    }
}

/// The path of an account's calls.
pub(super) fn calls_uri(dialect: Dialect, account: &AccountId) -> String {
    let root = super::by_dialect(dialect, "/v1", "/api/v1");
    format!("{root}/Account/{account}/Call/")
}

/// `call_state` in Plivo's words.
fn state(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Busy => "BUSY",
        CallStatus::Cancel => "CANCEL",
        CallStatus::Completed | CallStatus::InProgress => "ANSWER",
        CallStatus::Failed => "FAILED",
        CallStatus::NoAnswer => "NO_ANSWER",
        CallStatus::Queued | CallStatus::Ringing => "RINGING",
        CallStatus::Timeout => "TIMEOUT",
    }
}
