//! The groups' edge: four dialects over one membership actor, each in its own file.

mod bungie;
mod capillary;
mod kirimin;
mod limit;
mod rocketchat;
mod time;

use std::{collections::BTreeMap, fmt, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method},
    response::Response,
};
use futures_util::FutureExt;
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;

use self::limit::Windows;
use super::{audit::Principal, auth::is_read, body, failure::Failure, path::Path};
use crate::{
    actor::group::{AskError, Memberships},
    credentials::{Bearer, Credentials, Holder},
    group::{Ask, Done, Head, Name, Person, PersonId, Picture, Who},
    ids::AccountId,
    store::rows::RowsError,
};

/// What the groups' edge reaches, and how it behaves.
pub struct Hall {
    memberships: Arc<Memberships>,
    credentials: Arc<Credentials>,
    settings: Settings,
    windows: Windows,
}

/// How the dialects behave where their documents and their servers differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `bungie.status`: every failure is a 500, as on the real service.
    pub is_bungie_realistic: bool,
    /// `bungie.superset`: more keys than documented, for aiobungie's high-level call.
    pub is_bungie_superset: bool,
    /// `rocketchat.kick_body`: without `group`, as the server has it.
    pub is_rocketchat_bare: bool,
    /// The status of Kirimin's owner error is 404, as its server has it.
    pub is_kirimin_server: bool,
    /// A Capillary group stays active when its primary member leaves.
    pub is_capillary_kept_active: bool,
    /// The vendors' rate limits are off.
    pub is_unlimited: bool,
}

/// Whose manners a request has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Vendor {
    Bungie,
    RocketChat,
    Kirimin,
    Capillary,
}

impl Vendor {
    /// By the path. Rocket.Chat shares its first segments with the voice API, whose third one is
    /// `Account`.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = Path::split(path)?;
        match *path.segments() {
            [first, ..] if first.eq_ignore_ascii_case("platform") => Some(Self::Bungie),
            ["api", "info"] | ["api", "v1", "login" | "logout" | "me" | "info"] => {
                Some(Self::RocketChat)
            }
            ["api", "v1", third, ..] if third.starts_with("groups.") => Some(Self::RocketChat),
            ["x", ..] => Some(Self::Kirimin),
            ["v2", "userGroup2", ..] | ["v2", "organization", "userGroup2", ..] => {
                Some(Self::Capillary)
            }
            _ => None,
        }
    }
}

/// A request, decoded as far as all dialects agree.
struct Request<'a> {
    method: &'a Method,
    /// What stands between the slashes, decoded.
    path: Vec<String>,
    query: BTreeMap<String, String>,
    headers: &'a HeaderMap,
    body: Result<Bytes, Failure>,
    peer: IpAddr,
    now: std::time::Instant,
}

impl Hall {
    /// Opens the groups' edge.
    pub fn new(
        memberships: Arc<Memberships>,
        credentials: Arc<Credentials>,
        settings: Settings,
    ) -> Self {
        Self { memberships, credentials, settings, windows: Windows::default() }
    }

    pub(super) async fn answer(
        &self,
        vendor: Vendor,
        query: Option<&str>,
        path: &str,
        visit: super::Visit<'_>,
    ) -> Response {
        let super::Visit { trail, now, peer, method, headers, body, .. } = visit;
        let segments = Path::split(path).map(|it| it.segments().iter().map(decode).collect());
        let request = Request {
            method,
            path: segments.unwrap_or_default(),
            query: pairs(query.unwrap_or_default()),
            headers,
            body: read(body).await,
            peer,
            now,
        };
        if !is_read(method)
            && let Some(who) = self.who(vendor, &request)
        {
            trail.set(who);
        }
        let answer = async {
            match vendor {
                Vendor::Bungie => bungie::answer(self, &request).await,
                Vendor::RocketChat => rocketchat::answer(self, &request).await,
                Vendor::Kirimin => kirimin::answer(self, &request).await,
                Vendor::Capillary => capillary::answer(self, &request).await,
            }
        };
        AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| match vendor {
            Vendor::Bungie => bungie::crash(self),
            Vendor::RocketChat => rocketchat::crash(),
            Vendor::Kirimin => kirimin::crash(),
            Vendor::Capillary => capillary::crash(),
        })
    }

    /// Who shows good credentials, for the audit.
    fn who(&self, vendor: Vendor, request: &Request<'_>) -> Option<Principal> {
        let person = |it: Caller| (it.account, format!("person {}", it.person).into());
        let (account, by) = match vendor {
            Vendor::Bungie => person(bungie::sign_in(self, request)?),
            Vendor::RocketChat => person(rocketchat::sign_in(self, request)?),
            Vendor::Kirimin => person(kirimin::sign_in(self, request)?),
            Vendor::Capillary => match capillary::sign_in(self, request)? {
                Holder { account, bearer: Bearer::Till(name) } => {
                    (account, format!("till {name}").into())
                }
                Holder { account, bearer: Bearer::Application | Bearer::Person { .. } } => {
                    (account, "no till".into())
                }
            },
        };
        Some(Principal { account, by })
    }

    async fn ask(&self, account: &AccountId, ask: Ask) -> Result<Done, AskError> {
        self.memberships.ask(account, ask).await
    }

    /// Asks what is answered by a group.
    async fn picture(&self, account: &AccountId, ask: Ask) -> Result<Picture, AskError> {
        Ok(match self.ask(account, ask).await? {
            Done::Group(picture) => *picture,
            Done::Removed(removed) => removed.picture,
            Done::Person(_) | Done::People(_) | Done::Groups(_) | Done::Pending => {
                unreachable!("the machine answers these asks with a group")
            }
        })
    }

    async fn person(&self, account: &AccountId, who: Who) -> Result<Person, AskError> {
        match self.ask(account, Ask::Find(who)).await? {
            Done::Person(person) => Ok(person),
            Done::People(_)
            | Done::Group(_)
            | Done::Groups(_)
            | Done::Removed(_)
            | Done::Pending => unreachable!("the machine answers a search with a person"),
        }
    }

    /// Whose token it is, if it is a person's, and whether he may administer with it.
    fn bearer(&self, token: &str) -> Option<Caller> {
        let Holder { account, bearer } = self.credentials.holder(token)?;
        match bearer {
            Bearer::Person { id, is_admin_scope } => {
                Some(Caller { account, person: PersonId(id), is_admin_scope })
            }
            Bearer::Application | Bearer::Till(_) => None,
        }
    }

    /// The person of this name, or e-mail address; nobody, if two accounts have one.
    async fn find_anywhere(&self, name: &str) -> Option<(AccountId, Person)> {
        let mut found = None;
        for account in self.memberships.accounts() {
            for name in [Name::username(name), Name::email(name)] {
                let Ok(person) = self.person(&account, Who::Name(name)).await else { continue };
                match found {
                    Some(_) => return None,
                    None => found = Some((account.clone(), person)),
                }
                break;
            }
        }
        found
    }

    /// Off the threads that serve everybody else: it takes long on purpose.
    async fn is_password(&self, person: Option<u64>, text: &str) -> bool {
        let (credentials, text) = (self.credentials.clone(), text.to_owned());
        let check = tokio::task::spawn_blocking(move || credentials.is_password(person, &text));
        check.await.unwrap_or(false)
    }

    fn head(&self, name: &str, creator: Option<PersonId>, members_max: u32) -> Head {
        let now = self.memberships.now();
        Head {
            id: self.memberships.new_group(),
            name: name.into(),
            external_id: None,
            created: now,
            modified: now,
            creator,
            revision: 0,
            is_closed: false,
            is_ownerless: false,
            door: crate::group::Door::Reviewed,
            link: uuid::Uuid::new_v4().simple().to_string().into(),
            members_max,
        }
    }
}

/// A person who asks.
struct Caller {
    account: AccountId,
    person: PersonId,
    is_admin_scope: bool,
}

/// How many a group holds where the dialect says nothing: as the real Bungie clan does.
const MEMBERS_MAX: u32 = 10_000;

/// Something to be told when a write is durable.
fn durable() -> (crate::store::rows::Committed, oneshot::Receiver<Result<(), RowsError>>) {
    let (tell, told) = oneshot::channel();
    (Box::new(move |written| drop(tell.send(written))), told)
}

fn header<'a>(request: &'a Request<'_>, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    body::read(body).await
}

fn decode(segment: &&str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// `a=b&c=d`, decoded; the first of two of the same name holds.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let word = |it: &str| decode(&&*it.replace('+', " "));
    let mut pairs = BTreeMap::new();
    for pair in text.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.entry(word(name)).or_insert_with(|| word(value));
    }
    pairs
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall").field("settings", &self.settings).finish_non_exhaustive()
    }
}
