//! Endpoints of the Kirimin dialect. A wrong method gets the response of an unknown path.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    response::Response,
};

use super::{Data, KiriminError, KiriminHandler, accept, admit, auth, body, invitation, socket};
use crate::api::{
    context::PathNames,
    endpoint::{Documented::ByVendor, Endpoint, POST, handler},
    groups::{Groups, GroupsRequest},
    reply,
};

pub(in crate::api) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("/", handler!(open_bare_socket), ByVendor).streams(),
    Endpoint::reads("/socket", handler!(open_socket), ByVendor).streams(),
    Endpoint::reads("/invite/{secret}", handler!(show_invitation), ByVendor),
    Endpoint::reads("/x/auth/isUser", handler!(is_user), ByVendor),
    // It ends only the sender's own session, so it has no audit line.
    Endpoint::reads("/x/auth/logout", handler!(log_out), ByVendor),
    Endpoint::changes(POST, "/x/auth/sign-in", handler!(sign_in), ByVendor),
    Endpoint::changes(POST, "/x/auth/verify", handler!(verify), ByVendor),
    Endpoint::changes(POST, "/x/group/kick/{group}/{member}", handler!(kick), ByVendor),
    Endpoint::changes(POST, "/x/group/join/{group}", handler!(join), ByVendor),
    Endpoint::changes(POST, "/x/group/leave/{group}", handler!(leave), ByVendor),
    Endpoint::changes(POST, "/x/group/reset-link", handler!(reset_link), ByVendor),
    Endpoint::changes(POST, "/x/group/create", handler!(create), ByVendor),
];

type Answer = Result<Response, KiriminError>;

async fn open_bare_socket(Groups(api): Groups, request: GroupsRequest) -> Answer {
    socket::answer(&api, &request, true)
}

async fn open_socket(Groups(api): Groups, request: GroupsRequest) -> Answer {
    socket::answer(&api, &request, false)
}

async fn is_user(Groups(api): Groups, request: GroupsRequest) -> Answer {
    auth::is_user(&api, &request).await.map(accept)
}

async fn log_out(Groups(api): Groups, request: GroupsRequest) -> Answer {
    let mut response = reply::empty(StatusCode::FOUND);
    let cookie = auth::log_out(&api, &request).await?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/app"));
    Ok(response)
}

async fn sign_in(Groups(api): Groups, request: GroupsRequest) -> Answer {
    let signed_in = auth::sign_in(&api, &request, &body(&request)?, true).await?;
    Ok(session(signed_in))
}

async fn verify(Groups(api): Groups, request: GroupsRequest) -> Answer {
    let signed_in = auth::sign_in(&api, &request, &body(&request)?, false).await?;
    Ok(session(signed_in))
}

fn session((data, cookie): (Data, Option<HeaderValue>)) -> Response {
    let mut response = accept(data);
    cookie.map(|it| response.headers_mut().insert(SET_COOKIE, it));
    response
}

async fn show_invitation(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([link]): PathNames<1>,
) -> Answer {
    let user = admit(&api, &request)?;
    Ok(invitation(&api, &user, &link).await)
}

fn open(Groups(api): Groups, request: GroupsRequest) -> Result<KiriminHandler, KiriminError> {
    let user = admit(&api, &request)?;
    let body = body(&request)?;
    Ok(KiriminHandler { api, request, user, body })
}

async fn kick(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, member]): PathNames<2>,
) -> Answer {
    open(api, request)?.kick(&group, &member).await.map(accept)
}

async fn join(api: Groups, request: GroupsRequest, PathNames([group]): PathNames<1>) -> Answer {
    open(api, request)?.join(&group).await.map(accept)
}

async fn leave(api: Groups, request: GroupsRequest, PathNames([group]): PathNames<1>) -> Answer {
    open(api, request)?.leave(&group).await.map(accept)
}

async fn reset_link(api: Groups, request: GroupsRequest) -> Answer {
    open(api, request)?.reset_link().await.map(accept)
}

async fn create(api: Groups, request: GroupsRequest) -> Answer {
    open(api, request)?.create().await.map(accept)
}
