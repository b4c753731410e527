//! Changes of endpoints and applications: how handlers ask for them, and what a refusal becomes.

use axum::{http::StatusCode, response::Response};
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

use super::{ApiClient, params::RequestParams, warnings::Warnings};
use crate::{
    api::{ANSWER_WAIT_MAX, failure::Failure, reply},
    base::ids::Dialect,
    engine::registry::AskError,
    provisioning::{Command, ProvisioningError, ProvisioningTable, Refusal, RegisteredPhone},
};

impl ApiClient {
    /// What the account has.
    pub(super) fn provisioned(&self) -> std::sync::Arc<ProvisioningTable> {
        self.state.provisioning.of(&self.account)
    }

    /// The SIP URI of an endpoint's user or of an application.
    pub(super) fn sip_uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.state.provisioning.sip_host())
    }

    /// The newest phone of each user.
    pub(super) async fn phones(&self, users: Vec<String>) -> Vec<Option<RegisteredPhone>> {
        let (count, (tell, found)) = (users.len(), oneshot::channel());
        self.state.provisioning.phones(users, Box::new(move |it| drop(tell.send(it))));
        let found = timeout(ANSWER_WAIT_MAX, found).await;
        found.ok().and_then(Result::ok).unwrap_or_else(|| vec![None; count])
    }

    /// Makes a change, and answers once it is durable and in effect.
    pub(super) async fn provision(
        &self,
        command: Command,
        answer: Response,
        warnings: Warnings,
    ) -> Result<Response, Failure> {
        let (answer, row) = self.row(warnings.in_headers(answer));
        let (tell, changed) = oneshot::channel();
        let done = Box::new(move |it| drop(tell.send(it)));
        self.state.provisioning.clone().change(self.account.clone(), command, row, done);
        match timeout(ANSWER_WAIT_MAX, changed).await {
            Ok(Ok(changed)) => changed?,
            Ok(Err(_)) => return Err(Failure::Internal),
            Err(_) => return Err(AskError::Late.into()),
        }

        warnings.log(self);
        Ok(answer)
    }

    /// The answer to a change of something that stays.
    pub(super) fn changed(&self) -> Response {
        let status = match self.dialect {
            Dialect::Plivo => StatusCode::ACCEPTED,
            Dialect::Vobiz => StatusCode::OK,
        };
        reply::json(status, &json!({ "api_id": self.api_id, "message": "changed" }))
    }
}

/// So many random digits, the first of which is no zero.
pub(super) fn random_digits(count: u32) -> String {
    let low = 10_u128.pow(count - 1);
    // The bias is one in 10^20.
    (low + Uuid::new_v4().as_u128() % (9 * low)).to_string()
}

/// Warns about parameters of the vendors that have no effect here.
pub(super) fn warn_of_subaccount(params: &RequestParams, warnings: &mut Warnings) {
    for name in ["subaccount", "sub_account"].into_iter().filter(|it| params.has(it)) {
        warnings.ignored(name, "there are no subaccounts, so it is ignored");
    }
}

impl From<ProvisioningError> for Failure {
    fn from(error: ProvisioningError) -> Self {
        match error {
            ProvisioningError::Refused(refusal) => refusal.into(),
            ProvisioningError::NotWritten(error) => error.into(),
            ProvisioningError::Failed => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NoAccount => Self::NoAccount,
            Refusal::NoEndpoint | Refusal::NoApplication => Self::NotFound(text.into()),
            Refusal::UnknownApplication { .. } | Refusal::Invalid { .. } => Self::Bad(text),
            Refusal::Fixed(_)
            | Refusal::InUse(_)
            | Refusal::TooManyEndpoints
            | Refusal::TooManyApplications
            | Refusal::TooManyRows { .. }
            | Refusal::Taken => Self::Conflict(text),
        }
    }
}
