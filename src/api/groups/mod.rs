//! Group API: four vendor dialects and the admin API over the membership actors.

pub(super) mod admin;
pub(super) mod bungie;
pub(super) mod capillary;
pub(super) mod kirimin;
mod rate_limit;
pub(super) mod rocketchat;
mod sign_in;
mod time;
mod vendor;

use std::{
    collections::BTreeMap, convert::Infallible, fmt, net::IpAddr, ops::Deref,
    panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request},
    http::{HeaderValue, header::RETRY_AFTER, request::Parts},
    response::Response,
};
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;

pub use self::admin::NewPerson;
pub(super) use self::vendor::Vendor;
use self::{
    kirimin::{signals, sockets::Sockets},
    rate_limit::Windows,
    sign_in::{Guess, PasswordGuesses, SignedInUser},
};
use super::{
    AppState,
    after_response::AfterResponse,
    body,
    context::{HandlerState, RequestContext, RequestOrigin},
    failure::{Failure, rounded_up},
    path_row::{PathRow, is_read},
    principal::Principal,
};
use crate::{
    base::ids::AccountId,
    credentials::{Bearer, GroupCredentials, Holder},
    engine::membership::{GroupAskError, Memberships},
    group::{Ask, GroupAnswer, GroupInfo, GroupSnapshot, Person, PersonId, PersonRef, Removed},
    store::rows::WriteError,
};

/// The group API: the membership actors and credentials that it uses, and its settings.
pub struct GroupsApi {
    memberships: Arc<Memberships>,
    credentials: Arc<GroupCredentials>,
    settings: Settings,
    windows: Windows,
    sockets: Arc<Sockets>,
    passwords: PasswordGuesses,
    customers: capillary::BusyCustomers,
    /// Set when the API is connected.
    app: Option<Arc<AppState>>,
}

/// Behaviour of the dialects where a vendor's documents and its server differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `bungie.status`: statuses 400 to 404 become 500, as on the real service.
    pub is_bungie_realistic: bool,
    /// `bungie.superset`: a kick returns undocumented keys for aiobungie's high-level call.
    pub is_bungie_superset: bool,
    /// `rocketchat.kick_body`: a kick's response has no `group`, as on the real server.
    pub is_rocketchat_bare: bool,
    /// `kirimin.signals`: to the target first, and before the response, as on the real server.
    pub is_kirimin_server: bool,
    /// `kirimin.owner_error`: `GRPS_OWNER_FEATURE` is a 404, as on the real server, not a 400.
    pub is_kirimin_owner_404: bool,
    /// `capillary.keep_active`: a group stays active when its primary member leaves.
    pub is_capillary_kept_active: bool,
    /// `groups.limits` is off: the vendors' rate limits do not apply.
    pub is_unlimited: bool,
}

/// A request, with the parts decoded that all dialects read alike.
#[derive(Clone)]
pub(super) struct GroupsRequest(Arc<DecodedRequest>);

pub(super) struct DecodedRequest {
    context: Arc<RequestContext>,
    query: BTreeMap<String, String>,
    body: Result<Bytes, Failure>,
    peer: IpAddr,
    now: std::time::Instant,
    /// The pending upgrade of the connection, for a WebSocket.
    upgrade: Option<OnUpgrade>,
    after_response: Mutex<Option<AfterResponse>>,
    guess: Guess,
}

impl Deref for GroupsRequest {
    type Target = DecodedRequest;

    fn deref(&self) -> &DecodedRequest {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for GroupsRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().expect("`GroupsApi::answer` inserts it").clone())
    }
}

/// Extractor of the group API. Rejects with `NoRoute` if groups are not configured.
pub(super) struct Groups(Arc<GroupsApi>);

impl FromRequestParts<HandlerState> for Groups {
    type Rejection = Failure;

    async fn from_request_parts(_: &mut Parts, state: &HandlerState) -> Result<Self, Failure> {
        state.links.groups.clone().map(Self).ok_or(Failure::NoRoute)
    }
}

impl GroupsApi {
    /// Builds the API with no open sockets and no counted requests.
    pub fn new(
        memberships: Arc<Memberships>,
        credentials: Arc<GroupCredentials>,
        settings: Settings,
    ) -> Self {
        Self {
            memberships,
            credentials,
            settings,
            windows: Windows::default(),
            sockets: Arc::default(),
            passwords: PasswordGuesses::default(),
            customers: capillary::BusyCustomers::default(),
            app: None,
        }
    }

    /// Connects the API with the accounts that its people belong to.
    pub(super) fn connect(self, app: Arc<AppState>) -> Self {
        Self { app: Some(app), ..self }
    }

    fn app(&self) -> &AppState {
        self.app.as_ref().expect("`Api::with_groups` connects it")
    }

    /// Closes every WebSocket with code 1001, going away.
    pub(super) fn close(&self) {
        self.sockets.close();
    }

    /// Answers a request of a vendor's dialect; `serve` is the way to its handler.
    pub(super) async fn answer<F: Future<Output = Response>>(
        &self,
        vendor: Vendor,
        context: &Arc<RequestContext>,
        body: Body,
        upgrade: Option<OnUpgrade>,
        serve: impl FnOnce(Request) -> F,
    ) -> Response {
        let RequestContext { peer, now, .. } = **context;
        if let Some(refused) = self.refuse_origin(vendor, context) {
            return refused;
        }
        let mut body = body::read(&context.headers, body).await;
        if let Err(failure @ Failure::Coded(_)) = &body {
            return vendor.refuse_coding(failure);
        }
        if let (Vendor::RocketChat, Ok(text)) = (vendor, &body) {
            // It takes forms. A form that cannot be read has no fields (contract 2.1).
            body = body::without_form(&context.headers, text.clone()).await;
        }
        let decoded = GroupsRequest(Arc::new(DecodedRequest {
            query: pairs(context.query()),
            context: context.clone(),
            body,
            peer,
            now,
            upgrade,
            after_response: Mutex::default(),
            guess: Guess::default(),
        }));
        if !is_read(&context.method)
            && let Some(principal) = self.principal(vendor, &decoded)
        {
            context.principal.set(principal);
        }
        let mut request = Request::default();
        request.extensions_mut().insert(decoded.clone());
        let answer = async {
            let response = serve(request).await;
            match vendor {
                Vendor::Bungie => bungie::answer(self, response),
                Vendor::RocketChat => rocketchat::answer(response),
                Vendor::Kirimin | Vendor::Capillary => response,
            }
        };
        let answered = AssertUnwindSafe(answer).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| match vendor {
            Vendor::Bungie => bungie::crash(self),
            Vendor::RocketChat => rocketchat::crash(),
            Vendor::Kirimin => kirimin::crash(),
            Vendor::Capillary => capillary::crash(),
        });
        // A request that succeeds is no guess, whatever else it shows, such as an old cookie.
        if response.status().as_u16() >= 400
            && let Some(wait) = decoded.guess.wait(&self.app().failures, now, peer)
        {
            response = throttle(vendor, wait);
        }
        if let Some(after) = decoded.after_response.lock().take() {
            response.extensions_mut().insert(after);
        }
        response
    }

    /// The answer to a page of another origin, where it may not ask.
    fn refuse_origin(&self, vendor: Vendor, context: &RequestContext) -> Option<Response> {
        match vendor {
            // A browser adds the cookie, whichever page asks (RFC 6455, section 10.2).
            Vendor::Kirimin if context.origin == RequestOrigin::Foreign => {
                Some(kirimin::foreign_origin())
            }
            Vendor::RocketChat => {
                let status = self.app().trust.read().refused_preflight(context)?;
                Some(rocketchat::refuse_preflight(status))
            }
            Vendor::Bungie | Vendor::Capillary | Vendor::Kirimin => None,
        }
    }

    pub(super) fn not_found(&self, vendor: Vendor, context: &RequestContext) -> Response {
        match vendor {
            Vendor::Bungie => bungie::not_found(self, context),
            Vendor::RocketChat => rocketchat::not_found(),
            Vendor::Kirimin => kirimin::not_found(),
            Vendor::Capillary => capillary::not_found(),
        }
    }

    /// The vendor's response to a method that the path does not take.
    pub(super) fn wrong_method(
        &self,
        vendor: Vendor,
        path: &PathRow,
        context: &RequestContext,
    ) -> Response {
        match vendor {
            Vendor::Bungie => bungie::wrong_method(self, path, context),
            Vendor::RocketChat => rocketchat::wrong_method(),
            Vendor::Kirimin => kirimin::not_found(),
            Vendor::Capillary => capillary::wrong_method(&context.method),
        }
    }

    /// The person or till whose valid credentials the request shows, for the audit log.
    fn principal(&self, vendor: Vendor, request: &GroupsRequest) -> Option<Principal> {
        let person = |it: SignedInUser| (it.account, format!("person {}", it.person).into());
        let (account, by) = match vendor {
            Vendor::Bungie => person(bungie::signed_in(self, request)?),
            Vendor::RocketChat => person(rocketchat::sign_in(self, request)?),
            Vendor::Kirimin => person(kirimin::auth::session(self, request)?),
            Vendor::Capillary => match capillary::sign_in(self, request)? {
                Holder { account, bearer: Bearer::Till(name) } => {
                    (account, format!("till {name}").into())
                }
                Holder {
                    account,
                    bearer: Bearer::Application | Bearer::Grant { .. } | Bearer::Person { .. },
                } => (account, "no till".into()),
            },
        };
        Some(Principal { account, by, life: None, session: None })
    }

    async fn ask(&self, account: &AccountId, ask: Ask) -> Result<GroupAnswer, GroupAskError> {
        self.memberships.ask(account, ask).await
    }

    async fn snapshot(
        &self,
        account: &AccountId,
        ask: Ask,
    ) -> Result<GroupSnapshot, GroupAskError> {
        Ok(match self.ask(account, ask).await? {
            GroupAnswer::Group(snapshot) => *snapshot,
            GroupAnswer::Joined(joined) => joined.snapshot,
            GroupAnswer::Removed(removed) => removed.snapshot,
            GroupAnswer::Person(_)
            | GroupAnswer::People(_)
            | GroupAnswer::Groups(_)
            | GroupAnswer::Pending => {
                unreachable!("the machine answers these asks with a group")
            }
        })
    }

    async fn person(&self, account: &AccountId, who: PersonRef) -> Result<Person, GroupAskError> {
        match self.ask(account, Ask::Find(who)).await? {
            GroupAnswer::Person(person) => Ok(person),
            GroupAnswer::People(_)
            | GroupAnswer::Group(_)
            | GroupAnswer::Groups(_)
            | GroupAnswer::Joined(_)
            | GroupAnswer::Removed(_)
            | GroupAnswer::Pending => unreachable!("the machine answers a search with a person"),
        }
    }

    /// Removes a member, and signals it to the sockets before or after the response.
    async fn remove(
        &self,
        request: &GroupsRequest,
        account: &AccountId,
        ask: Ask,
    ) -> Result<GroupSnapshot, GroupAskError> {
        let (snapshot, after) = self.take_out(account, ask).await?;
        *request.after_response.lock() = after;
        Ok(snapshot)
    }

    /// Like [`Self::remove`], but returns what to run after the response. A task of its own does the
    /// removal, which therefore completes even if the client disconnects.
    async fn take_out(
        &self,
        account: &AccountId,
        ask: Ask,
    ) -> Result<(GroupSnapshot, Option<AfterResponse>), GroupAskError> {
        let (memberships, sockets) = (self.memberships.clone(), self.sockets.clone());
        let (account, is_server) = (account.clone(), self.settings.is_kirimin_server);
        let removal = tokio::spawn(async move {
            let actor = actor(&ask);
            let GroupAnswer::Removed(removed) = memberships.ask(&account, ask).await? else {
                unreachable!("the machine answers a removal with `Removed`");
            };
            let signals = signals::of_removal(is_server, actor, &removed);
            let after = AfterResponse::new(move || sockets.send_all(signals));
            let Removed { snapshot, .. } = *removed;
            // Dropping it sends the signals.
            Ok((snapshot, (!is_server).then_some(after)))
        });
        removal.await.unwrap_or(Err(GroupAskError::Failed))
    }

    fn head(&self, name: &str, creator: Option<PersonId>, members_max: u32) -> GroupInfo {
        let now = self.memberships.now();
        GroupInfo {
            id: self.memberships.new_group(),
            name: name.into(),
            external_id: None,
            created: now,
            modified: now,
            creator,
            revision: 0,
            is_closed: false,
            is_ownerless: false,
            join_policy: crate::group::JoinPolicy::Reviewed,
            link: uuid::Uuid::new_v4().simple().to_string().into(),
            members_max,
        }
    }
}

/// The response to wrong credentials, when there were too many.
fn throttle(vendor: Vendor, wait: Duration) -> Response {
    let mut response = match vendor {
        Vendor::Bungie => bungie::throttle(wait),
        Vendor::RocketChat => rocketchat::throttle(wait),
        Vendor::Kirimin => kirimin::throttle(),
        Vendor::Capillary => capillary::throttle(wait),
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rounded_up(wait)));
    response
}

/// Members of a group at most, where the dialect sets no limit: the real Bungie's figure.
const MEMBERS_MAX: u32 = 10_000;

/// A callback for a write, and the receiver that learns whether the write is durable.
fn durable() -> (crate::store::rows::OnCommit, oneshot::Receiver<Result<(), WriteError>>) {
    let (sender, committed) = oneshot::channel();
    (Box::new(move |written| drop(sender.send(written))), committed)
}

/// Waits for a write of [`durable`].
async fn written(committed: oneshot::Receiver<Result<(), WriteError>>) -> Result<(), WriteError> {
    committed.await.unwrap_or(Err(WriteError::Ended))
}

fn header<'a>(request: &'a GroupsRequest, name: &str) -> Option<&'a str> {
    request.context.headers.get(name)?.to_str().ok()
}

/// The person who asks for a removal. None is a machine.
fn actor(ask: &Ask) -> Option<PersonId> {
    if let Ask::Leave { actor, .. } = ask {
        return Some(*actor);
    }
    let (Ask::Remove { actor, .. } | Ask::Ban { actor, .. }) = ask else {
        unreachable!("no other ask removes a member");
    };
    *actor
}

fn decode(segment: &&str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Parses and decodes `a=b&c=d`. Of two pairs with the same name, the first counts.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let word = |it: &str| decode(&&*it.replace('+', " "));
    let mut pairs = BTreeMap::new();
    for pair in text.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.entry(word(name)).or_insert_with(|| word(value));
    }
    pairs
}

impl fmt::Debug for GroupsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupsApi").field("settings", &self.settings).finish_non_exhaustive()
    }
}
