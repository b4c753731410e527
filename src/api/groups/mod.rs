//! The groups' edge: four dialects over one membership actor, each in its own file.

pub(super) mod admin;
mod bungie;
mod capillary;
mod kirimin;
mod limit;
mod rocketchat;
mod time;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, header::UPGRADE},
    response::Response,
};
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::sync::{Semaphore, oneshot};

pub use self::admin::NewPerson;
use self::{
    kirimin::{signals, sockets::Sockets},
    limit::Windows,
};
use super::{
    after_response::After, audit::Principal, auth::is_read, body, failure::Failure,
    limit::PerAddress, path::Path,
};
use crate::{
    base::ids::AccountId,
    credentials::{BadToken, Bearer, Credentials, Holder},
    engine::membership::{AskError, Memberships},
    group::{
        Ask, Done, Head, Name, Person, PersonId, Picture, Removed, Which, Who,
        rule::{LastOwner, Rule},
    },
    store::rows::RowsError,
};

/// What the groups' edge reaches, and how it behaves.
pub struct Hall {
    memberships: Arc<Memberships>,
    credentials: Arc<Credentials>,
    settings: Settings,
    windows: Windows,
    sockets: Arc<Sockets>,
    password_checks: Semaphore,
    customers: capillary::Customers,
}

/// Passwords that are checked at a time. Each takes 19 MiB and a processor for a while: more of
/// them would only be slower, all of them.
const PASSWORD_CHECKS_MAX: usize = 2;

/// How the dialects behave where their documents and their servers differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `bungie.status`: every failure is a 500, as on the real service.
    pub is_bungie_realistic: bool,
    /// `bungie.superset`: more keys than documented, for aiobungie's high-level call.
    pub is_bungie_superset: bool,
    /// `rocketchat.kick_body`: without `group`, as the server has it.
    pub is_rocketchat_bare: bool,
    /// `kirimin.signals`: the target first, and before the answer, as its server has it.
    pub is_kirimin_server: bool,
    /// `kirimin.owner_error`: 404, as its server has it.
    pub is_kirimin_owner_404: bool,
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
    /// `Account`; Kirimin's socket is at the root, where nothing else is.
    pub(super) fn of(path: Option<&Path<'_>>, headers: &HeaderMap) -> Option<Self> {
        match *path?.segments() {
            [first, ..] if first.eq_ignore_ascii_case("platform") => Some(Self::Bungie),
            ["api", "info"] | ["api", "v1", "login" | "logout" | "me" | "info"] => {
                Some(Self::RocketChat)
            }
            ["api", "v1", third, ..] if third.starts_with("groups.") => Some(Self::RocketChat),
            ["x", ..] | ["invite", _] | ["socket"] => Some(Self::Kirimin),
            [] if headers.contains_key(UPGRADE) => Some(Self::Kirimin),
            ["v2", "userGroup2", ..] | ["v2", "organization", "userGroup2", ..] => {
                Some(Self::Capillary)
            }
            ["v3", "oauth", "token", "generate"] => Some(Self::Capillary),
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
    /// The connection itself, when nothing more is asked on it.
    upgrade: Option<OnUpgrade>,
    /// What is to be done when the answer has left.
    after: Mutex<Option<After>>,
    /// Wrong credentials have been shown.
    has_guessed: AtomicBool,
}

impl Request<'_> {
    /// Whoever has sent it shows credentials that are nobody's.
    fn guess(&self) {
        self.has_guessed.store(true, Ordering::Relaxed);
    }
}

impl Hall {
    /// Opens the groups' edge.
    pub fn new(
        memberships: Arc<Memberships>,
        credentials: Arc<Credentials>,
        settings: Settings,
    ) -> Self {
        Self {
            memberships,
            credentials,
            settings,
            windows: Windows::default(),
            sockets: Arc::default(),
            password_checks: Semaphore::new(PASSWORD_CHECKS_MAX),
            customers: capillary::Customers::default(),
        }
    }

    /// Ends the sockets.
    pub(super) fn close(&self) {
        self.sockets.close();
    }

    pub(super) async fn answer(
        &self,
        vendor: Vendor,
        visit: super::Visit<'_>,
        upgrade: Option<OnUpgrade>,
        failures: Option<&PerAddress>,
    ) -> Response {
        let super::Visit { trail, now, peer, method, path, query, headers, body, .. } = visit;
        if let Some(Err(wait)) = failures.map(|it| it.check(now, peer)) {
            return match vendor {
                Vendor::Bungie => bungie::throttle(wait),
                Vendor::RocketChat => rocketchat::throttle(wait),
                Vendor::Kirimin => kirimin::throttle(),
                Vendor::Capillary => capillary::throttle(wait),
            };
        }
        let segments = Path::split(path).map(|it| it.segments().iter().map(decode).collect());
        let request = Request {
            method,
            path: segments.unwrap_or_default(),
            query: pairs(query),
            headers,
            body: body::read(body).await,
            peer,
            now,
            upgrade,
            after: Mutex::default(),
            has_guessed: AtomicBool::new(false),
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
        let answered = AssertUnwindSafe(answer).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| match vendor {
            Vendor::Bungie => bungie::crash(self),
            Vendor::RocketChat => rocketchat::crash(),
            Vendor::Kirimin => kirimin::crash(),
            Vendor::Capillary => capillary::crash(),
        });
        if let Some(failures) = failures.filter(|_| request.has_guessed.into_inner()) {
            failures.failed(now, peer);
        }
        if let Some(after) = request.after.into_inner() {
            response.extensions_mut().insert(after);
        }
        response
    }

    /// Who shows good credentials, for the audit.
    fn who(&self, vendor: Vendor, request: &Request<'_>) -> Option<Principal> {
        let person = |it: Caller| (it.account, format!("person {}", it.person).into());
        let (account, by) = match vendor {
            Vendor::Bungie => person(bungie::caller(self, request)?),
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

    /// Takes somebody out, and tells the sockets: before the answer, or when it has left.
    async fn remove(
        &self,
        request: &Request<'_>,
        account: &AccountId,
        ask: Ask,
    ) -> Result<Picture, AskError> {
        let (picture, after) = self.take_out(account, ask).await?;
        *request.after.lock() = after;
        Ok(picture)
    }

    /// As above, and leaves to the caller what is to be done after the answer. It is done to its
    /// end even if he hangs up meanwhile.
    async fn take_out(
        &self,
        account: &AccountId,
        ask: Ask,
    ) -> Result<(Picture, Option<After>), AskError> {
        let (memberships, sockets) = (self.memberships.clone(), self.sockets.clone());
        let (account, is_server) = (account.clone(), self.settings.is_kirimin_server);
        let removal = tokio::spawn(async move {
            let (actor, group, rule) = parts(&ask);
            // When a group ends, its members are told, who are none any more by then.
            let before = match rule.last_owner {
                LastOwner::Closes => {
                    let before = show(&memberships, &account, group.clone()).await?;
                    before.group.members.keys().copied().collect()
                }
                LastOwner::Stays | LastOwner::Goes => Vec::new(),
            };
            let Done::Removed(removed) = memberships.ask(&account, ask).await? else {
                unreachable!("the machine answers a removal with what was removed");
            };
            let signals = signals::of_removal(is_server, actor, &removed, &before);
            let after = After::new(move || sockets.send_all(signals));
            let Removed { picture, .. } = *removed;
            // Dropped is done.
            Ok((picture, (!is_server).then_some(after)))
        });
        removal.await.unwrap_or(Err(AskError::Failed))
    }

    /// Whose token it is, if it is a person's, and whether he may administer with it.
    fn bearer(&self, request: &Request<'_>, token: &str) -> Result<Caller, BadToken> {
        let Holder { account, bearer } = self.holder(request, token)?;
        match bearer {
            Bearer::Person { id, is_admin_scope } => {
                Ok(Caller { account, person: PersonId(id), is_admin_scope })
            }
            Bearer::Application | Bearer::Till(_) | Bearer::Grant { .. } => Err(BadToken::Unknown),
        }
    }

    /// Whose token it is.
    fn holder(&self, request: &Request<'_>, token: &str) -> Result<Holder, BadToken> {
        let holder = self.credentials.holder(self.memberships.now(), token);
        if holder == Err(BadToken::Unknown) {
            request.guess();
        }
        holder
    }

    /// The person of one of these names; nobody, if two accounts have one.
    async fn find_anywhere(&self, names: &[Name]) -> Option<(AccountId, Person)> {
        let mut found = None;
        for account in self.memberships.accounts() {
            for name in names {
                let who = Who::Name(name.clone());
                let Ok(person) = self.person(&account, who).await else { continue };
                match found {
                    Some(_) => return None,
                    None => found = Some((account.clone(), person)),
                }
                break;
            }
        }
        found
    }

    /// Whose password it is. Off the threads that serve everybody else: it takes long on purpose,
    /// and as long for names of nobody.
    async fn log_in(
        &self,
        request: &Request<'_>,
        names: &[Name],
        password: &str,
    ) -> Option<(AccountId, Person)> {
        let found = self.find_anywhere(names).await;
        let id = found.as_ref().map(|(_, person)| person.id.0);
        let place = self.password_checks.acquire().await;
        let (credentials, text) = (self.credentials.clone(), password.to_owned());
        let check = tokio::task::spawn_blocking(move || credentials.is_password(id, &text));
        let is_his = check.await.unwrap_or(false);
        drop(place);
        if !is_his {
            request.guess();
        }
        found.filter(|_| is_his)
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

async fn show(
    memberships: &Memberships,
    account: &AccountId,
    group: Which,
) -> Result<Picture, AskError> {
    let Done::Group(picture) = memberships.ask(account, Ask::Show(group)).await? else {
        unreachable!("the machine answers a look at a group with the group");
    };
    Ok(*picture)
}

/// Who takes somebody out of which group, by which rule.
fn parts(ask: &Ask) -> (Option<PersonId>, &Which, &Rule) {
    if let Ask::Leave { actor, group, rule } = ask {
        return (Some(*actor), group, rule);
    }
    let (Ask::Remove { actor, group, rule, .. } | Ask::Ban { actor, group, rule, .. }) = ask else {
        unreachable!("nothing else takes somebody out");
    };
    (*actor, group, rule)
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
