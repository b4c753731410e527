//! Webhook: a callback to a URL, and the request that it makes.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    base::{
        ids::{AccountId, Dialect},
        traceparent::Traceparent,
    },
    fetch::{
        self, Budget, FetchError, OutgoingRequest, TargetUrl,
        signature::{FormField, Signer},
    },
    flow::RequestMethod,
    webhooks::{
        delivery::QueueKey,
        history::{DeliveryChange, DeliveryState, EarlierTries},
    },
};

/// A callback to a URL.
#[derive(Debug)]
pub struct Webhook {
    /// The account that has the callback.
    pub account: AccountId,
    /// Callbacks with equal keys are delivered in order.
    pub queue: QueueKey,
    /// Sequence number within its conference, or among its call's events.
    pub sequence: u64,
    /// URL of the receiver. Its fragment changes timeouts, the number of attempts (`rc`), and the
    /// failures that are retried (`rp`).
    pub target: Arc<TargetUrl>,
    /// GET or POST, as the URL's author chose.
    pub method: RequestMethod,
    /// Selects the user agent that the receiver sees.
    pub dialect: Dialect,
    /// Signer of the account; None leaves the callback unsigned.
    pub signer: Option<Arc<Signer>>,
    /// Source of the form fields.
    pub fields: Arc<dyn WebhookFields>,
}

/// Fields of a callback. They are made when it is sent, so that waiting callbacks stay small.
pub trait WebhookFields: fmt::Debug + Send + Sync {
    /// Names and values in the order of sending.
    fn fields(&self) -> Vec<FormField>;

    /// Trace that the callback belongs to, if any.
    fn trace(&self) -> Option<Traceparent> {
        None
    }

    /// Value of `X-Conflow-Event-Id`: the same in each attempt, and the id in the event stream. None:
    /// the callback is of no event.
    fn event_id(&self) -> Option<String> {
        None
    }

    /// Whether the next start sends the callback, if this process does not.
    fn outlives_the_process(&self) -> bool {
        false
    }

    /// What earlier processes have done for the callback.
    fn earlier_tries(&self) -> EarlierTries {
        EarlierTries::default()
    }

    /// Called at each change of the callback; after [`DeliveryChange::Settled`] there is no other one.
    fn note(&self, _change: DeliveryChange<'_>) {}

    /// Notes that the callback has arrived.
    fn settle(&self) {
        self.note(DeliveryChange::Settled(DeliveryState::Arrived, None));
    }
}

impl WebhookFields for Vec<FormField> {
    fn fields(&self) -> Vec<FormField> {
        self.clone()
    }
}

/// The header by which a receiver knows that it has had a callback.
const EVENT_ID: HeaderName = HeaderName::from_static("x-conflow-event-id");

/// Timeout of one attempt. A receiver only has to confirm: one that does its work first gets the
/// callback again, and delays its own further callbacks.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn request(callback: &Webhook) -> OutgoingRequest {
    let Webhook { target, method, dialect, signer, fields, .. } = callback;
    let usual = Budget { read: READ_TIMEOUT, retries: 0, ..Budget::default() };
    let mut budget = target.budget(usual);
    budget.total = target.options().total.unwrap_or(budget.connect + budget.read);
    OutgoingRequest {
        target: Arc::clone(target),
        method: *method,
        fields: fields.fields(),
        headers: headers(&**fields),
        dialect: *dialect,
        signer: signer.clone(),
        budget,
        answer_bytes_max: None,
    }
}

fn headers(fields: &dyn WebhookFields) -> HeaderMap {
    let mut headers = fetch::trace_headers(fields.trace());
    let id = fields.event_id().and_then(|it| HeaderValue::try_from(it).ok());
    headers.extend(id.map(|it| (EVENT_ID, it)));
    headers
}

/// Whether no retry would help, or the URL's author wants none.
pub(super) fn is_final(error: &FetchError, target: &TargetUrl) -> bool {
    match target.options().retry_on {
        Some(policy) => !error.is_retried_by(policy),
        None => !error.is_temporary() && error.status().is_none(),
    }
}
