//! Admin API of the groups: `/groups/v1/Account/{auth_id}/…`, with the voice account's credentials.
//!
//! It creates the people, credentials and groups that the four dialects need.

mod answers;
mod groups;
mod people;
mod tokens;

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use self::people::NewPerson;
use super::{GroupAskError, Groups, GroupsApi};
use crate::{
    api::{
        body,
        context::{HandlerState, PathNames, RequestContext},
        endpoint::{DELETE, Documented::ByVendor, Endpoint, POST, handler},
        failure::Failure,
        reply,
    },
    base::ids::AccountId,
    credentials::{Basis, Bearer, Holder, TokenKind},
    group::Refusal,
};

pub(in crate::api) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("/Person", handler!(people::list), ByVendor),
    Endpoint::changes(POST, "/Person", handler!(people::add), ByVendor),
    Endpoint::reads("/Person/{person}", handler!(people::show), ByVendor),
    Endpoint::changes(POST, "/Person/{person}/Password", handler!(people::set_password), ByVendor),
    Endpoint::reads("/Person/{person}/Token", handler!(tokens::list_of_person), ByVendor),
    Endpoint::changes(POST, "/Person/{person}/Token", handler!(tokens::issue), ByVendor),
    Endpoint::changes(
        DELETE,
        "/Person/{person}/Token",
        handler!(tokens::revoke_of_person),
        ByVendor,
    ),
    Endpoint::reads("/Person/{person}/Token/{token}", handler!(tokens::show_of_person), ByVendor),
    Endpoint::changes(
        DELETE,
        "/Person/{person}/Token/{token}",
        handler!(tokens::revoke_one_of_person),
        ByVendor,
    ),
    Endpoint::changes(POST, "/Person/{person}/Code", handler!(tokens::issue_code), ByVendor),
    Endpoint::reads("/Application", handler!(tokens::list_applications), ByVendor),
    Endpoint::changes(POST, "/Application", handler!(tokens::issue_application), ByVendor),
    Endpoint::changes(DELETE, "/Application", handler!(tokens::revoke_applications), ByVendor),
    Endpoint::reads("/Application/{application}", handler!(tokens::show_application), ByVendor),
    Endpoint::changes(
        DELETE,
        "/Application/{application}",
        handler!(tokens::revoke_application),
        ByVendor,
    ),
    Endpoint::reads("/Till", handler!(tokens::list_tills), ByVendor),
    Endpoint::changes(POST, "/Till", handler!(tokens::issue_till), ByVendor),
    Endpoint::changes(DELETE, "/Till", handler!(tokens::revoke_tills), ByVendor),
    Endpoint::reads("/Till/{till}", handler!(tokens::show_till), ByVendor),
    Endpoint::changes(DELETE, "/Till/{till}", handler!(tokens::revoke_till), ByVendor),
    Endpoint::changes(POST, "/Group", handler!(groups::create), ByVendor),
    Endpoint::reads("/Group/{group}", handler!(groups::show), ByVendor),
    Endpoint::changes(POST, "/Group/{group}/Member", handler!(groups::add), ByVendor),
    Endpoint::changes(POST, "/Group/{group}/Member/{person}", handler!(groups::set_rank), ByVendor),
    Endpoint::changes(DELETE, "/Group/{group}/Member/{person}", handler!(groups::remove), ByVendor),
];

/// An authenticated request of an account.
struct AdminRequest {
    api: Arc<GroupsApi>,
    account: AccountId,
    context: Arc<RequestContext>,
    body: Bytes,
}

impl FromRequestParts<HandlerState> for AdminRequest {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HandlerState) -> Result<Self, Failure> {
        let Groups(api) = Groups::from_request_parts(parts, state).await?;
        let (context, body) = (state.context.clone(), state.body.clone());
        let principal = context.principal.get().expect("only accounts are let in");
        Ok(Self { api, account: principal.account.clone(), context, body })
    }
}

/// A person or a group.
type AtOne = PathNames<1>;

/// A group, and a person in it.
type AtMember = PathNames<2>;

/// Parses a number of the path. Anything else is an unknown path (404).
fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::NoRoute)
}

impl AdminRequest {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        body::parse(&self.context.headers, &self.body)
    }

    fn reply(&self, status: StatusCode, answer: impl Serialize) -> Response {
        reply::json(status, &AdminReply { api_id: self.context.api_id, answer })
    }

    /// Issues a token. This response is the only one that shows it.
    async fn issue(
        &self,
        kind: TokenKind,
        bearer: Bearer,
        ms: Option<u64>,
    ) -> Result<Response, Failure> {
        let holder = Holder { account: self.account.clone(), bearer };
        let issued = self.api.issue(kind, holder, ms, Basis::Operator).await;
        let token = issued?.ok_or(Failure::Internal)?;
        Ok(self.reply(StatusCode::CREATED, answers::IssuedToken { token }))
    }
}

#[derive(Serialize)]
struct AdminReply<T> {
    api_id: Uuid,
    #[serde(flatten)]
    answer: T,
}

/// Refusals become 404 or 409 with the refusal's text.
impl From<GroupAskError> for Failure {
    fn from(error: GroupAskError) -> Self {
        let refusal = match error {
            GroupAskError::Refused(refusal) => refusal,
            GroupAskError::Busy | GroupAskError::NotStored(_) => {
                return Self::Unavailable(error.to_string());
            }
            GroupAskError::Failed => return Self::Internal,
        };
        match refusal {
            Refusal::NoGroup
            | Refusal::TargetUnknown
            | Refusal::TargetNotMember
            | Refusal::NoApplication => Self::NotFound(refusal.to_string().into()),
            Refusal::Closed
            | Refusal::OtherGroup
            | Refusal::ActorNotMember
            | Refusal::NoAccess
            | Refusal::RankTooLow
            | Refusal::LastOwner
            | Refusal::SelfTarget
            | Refusal::AlreadyMember
            | Refusal::Banned
            | Refusal::NotInvited
            | Refusal::Full
            | Refusal::HasOwner
            | Refusal::OwnsTooMany
            | Refusal::NameTaken => Self::Conflict(refusal.to_string()),
        }
    }
}
