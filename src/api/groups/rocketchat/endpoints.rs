//! Endpoints of the Rocket.Chat dialect.

use axum::response::Response;
use serde_json::json;

use super::{admit, count, count_by, fields, finish, login};
use crate::{
    api::{
        endpoint::{Documented::ByVendor, Endpoint, POST, handler},
        groups::{Groups, GroupsRequest},
    },
    group::Rank,
};

pub(in crate::api) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("/info", handler!(server), ByVendor),
    Endpoint::reads("/v1/info", handler!(server), ByVendor),
    Endpoint::changes(POST, "/v1/login", handler!(log_in), ByVendor),
    Endpoint::reads("/v1/me", handler!(me), ByVendor),
    Endpoint::changes(POST, "/v1/logout", handler!(logout), ByVendor),
    Endpoint::reads("/v1/groups.info", handler!(info), ByVendor),
    Endpoint::reads("/v1/groups.members", handler!(members), ByVendor),
    Endpoint::reads("/v1/groups.list", handler!(list), ByVendor),
    Endpoint::changes(POST, "/v1/groups.create", handler!(create), ByVendor),
    Endpoint::changes(POST, "/v1/groups.invite", handler!(invite), ByVendor),
    Endpoint::changes(POST, "/v1/groups.kick", handler!(kick), ByVendor),
    Endpoint::changes(POST, "/v1/groups.leave", handler!(leave), ByVendor),
    Endpoint::changes(POST, "/v1/groups.addOwner", handler!(add_owner), ByVendor),
    Endpoint::changes(POST, "/v1/groups.addModerator", handler!(add_moderator), ByVendor),
    Endpoint::changes(POST, "/v1/groups.removeOwner", handler!(remove_owner), ByVendor),
    Endpoint::changes(POST, "/v1/groups.removeModerator", handler!(remove_moderator), ByVendor),
];

/// `GET info`: the server's version, with or without a login.
async fn server(Groups(api): Groups, request: GroupsRequest) -> Response {
    let mut limits = Vec::new();
    let info = json!({ "version": "8.0", "info": { "version": "8.0.0" } });
    let counted = count(&api, &request, "info", &mut limits);
    finish(counted.map(|()| info), limits)
}

/// `POST login`: a token for a name and password, or the token that it resumes.
async fn log_in(Groups(api): Groups, request: GroupsRequest) -> Response {
    let (mut limits, fields) = (Vec::new(), fields(&request));
    // By what is named, too: otherwise the logins of strangers would keep people out who share their
    // address.
    let name = login::name(&fields).unwrap_or_default();
    let key = format!("rocketchat login {} {}", request.peer, blake3::hash(name.as_bytes()));
    let result = match count_by(&api, &request, key, &mut limits) {
        Ok(()) => login::login(&api, &request, &fields).await,
        Err(error) => Err(error),
    };
    finish(result, limits)
}

/// Handlers of the methods that require a login.
macro_rules! handlers {
    ($($(#[$doc:meta])* $name:ident: $text:literal, |$it:ident, $request:ident| $call:expr;)*) => {
        $($(#[$doc])*
        async fn $name(Groups(api): Groups, request: GroupsRequest) -> Response {
            let mut limits = Vec::new();
            let result = match admit(&api, &request, $text, &mut limits) {
                Ok($it) => {
                    let $request = &request;
                    let _ = $request;
                    $call.await
                }
                Err(error) => Err(error),
            };
            finish(result, limits)
        })*
    };
}

handlers! {
    /// `GET me`: the signed-in person and their roles.
    me: "me", |it, request| it.me();
    /// `POST logout`: revokes the token of the request.
    logout: "logout", |it, request| it.logout(request);
    /// `GET groups.info`: one group, if the person is a member.
    info: "groups.info", |it, request| it.info();
    /// `GET groups.members`: a page of members, with an optional `filter`.
    members: "groups.members", |it, request| it.members(request);
    /// `GET groups.list`: a page of the person's groups.
    list: "groups.list", |it, request| it.list();
    /// `POST groups.create`: creates a group with the person as owner.
    create: "groups.create", |it, request| it.create();
    /// `POST groups.invite`: adds one or more people.
    invite: "groups.invite", |it, request| it.invite();
    /// `POST groups.kick`: removes a member.
    kick: "groups.kick", |it, request| it.kick(request);
    /// `POST groups.leave`: removes the signed-in person.
    leave: "groups.leave", |it, request| it.leave(request);
    /// `POST groups.addOwner`: sets the rank to owner.
    add_owner: "groups.addOwner", |it, request| it.set_rank(Rank::Owner);
    /// `POST groups.addModerator`: sets the rank to admin.
    add_moderator: "groups.addModerator", |it, request| it.set_rank(Rank::Admin);
    /// `POST groups.removeOwner`: sets the rank to member.
    remove_owner: "groups.removeOwner", |it, request| it.set_rank(Rank::Member);
    /// `POST groups.removeModerator`: sets the rank to member.
    remove_moderator: "groups.removeModerator", |it, request| it.set_rank(Rank::Member);
}
