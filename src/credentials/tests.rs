//! Tests of groups' credentials.

use parking_lot::Mutex;

use super::*;
use crate::store::rows_memory::MemoryRows;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn new(holder: Holder, kind: TokenKind, until: Option<UnixMillis>) -> NewToken {
    NewToken { holder, kind, created: NOW, until }
}

fn issue(credentials: &GroupCredentials, holder: &Holder, kind: TokenKind) -> String {
    let new = new(holder.clone(), kind, None);
    credentials.issue(new, Basis::Operator, done()).unwrap().unwrap()
}

fn person(id: u64) -> Holder {
    let bearer = Bearer::Person { id, is_admin_scope: true };
    Holder { account: "MA1".parse().unwrap(), bearer }
}

fn done() -> OnCommit {
    Box::new(|written| written.unwrap())
}

#[test]
fn tokens_and_passwords_are_good_after_the_next_start_as_well() {
    let store = Arc::new(MemoryRows::default());
    let account: AccountId = "MA1".parse().unwrap();
    let holder = |bearer| Holder { account: account.clone(), bearer };
    let first = GroupCredentials::open(store.clone()).unwrap();
    let person = holder(Bearer::Person { id: 7, is_admin_scope: true });
    let till = holder(Bearer::Till("till1".into()));
    first.set_password(&account, 7, "hush", done()).unwrap();
    let tokens = [(&person, TokenKind::Token), (&till, TokenKind::Till)];
    let tokens = tokens.map(|(holder, kind)| issue(&first, holder, kind));
    for credentials in [&first, &GroupCredentials::open(store).unwrap()] {
        let holder = |token: &str| credentials.holder(NOW, token);
        assert_eq!(holder(&tokens[0]), Ok(person.clone()));
        assert_eq!(holder(&tokens[1]), Err(BadToken::Unknown), "a till's is no bearer token");
        let till_of = |name, digest: &str| credentials.till(NOW, name, digest);
        assert_eq!(till_of("till1", &md5_hex(&tokens[1])), Some(till.clone()));
        assert_eq!(till_of("till2", &md5_hex(&tokens[1])), None);
        assert_eq!(till_of("till1", &tokens[1]), None);
        let check = |person, text, expected| {
            let is_right = credentials.check_password(person, text).is_some();
            assert_eq!(is_right, expected, "{person:?} {text}");
        };
        check(Some(7), "hush", true);
        check(Some(7), "", false);
        check(Some(8), "hush", false);
        check(None, "hush", false);
    }
}

#[test]
fn a_token_that_is_taken_back_is_none() {
    let store = Arc::new(MemoryRows::default());
    let credentials = GroupCredentials::open(store.clone()).unwrap();
    let account = "MA1".parse().unwrap();
    let holder = Holder { account, bearer: Bearer::Application };
    let token = issue(&credentials, &holder, TokenKind::Application);
    assert!(credentials.revoke(&token, done()).is_some());
    assert_eq!(credentials.revoke(&token, done()), None);
    assert_eq!(credentials.holder(NOW, &token), Err(BadToken::Unknown));
    let again = GroupCredentials::open(store).unwrap();
    assert_eq!(again.holder(NOW, &token), Err(BadToken::Unknown));
}

#[test]
fn a_token_ends_when_its_time_is_over_and_is_forgotten() {
    let store = Arc::new(MemoryRows::default());
    let credentials = GroupCredentials::open(store.clone()).unwrap();
    let holder = Holder { account: "MA1".parse().unwrap(), bearer: Bearer::Till("t".into()) };
    let until = UnixMillis(NOW.0 + 10);
    let new = new(holder.clone(), TokenKind::TillToken, Some(until));
    let token = credentials.issue(new, Basis::Operator, done()).unwrap().unwrap();
    let check = |credentials: &GroupCredentials, at, expected| {
        assert_eq!(credentials.holder(UnixMillis(NOW.0 + at), &token), expected, "after {at}");
    };
    credentials.purge(NOW);
    for credentials in [&credentials, &GroupCredentials::open(store.clone()).unwrap()] {
        check(credentials, 9, Ok(holder.clone()));
        check(credentials, 10, Err(BadToken::Expired));
    }
    credentials.purge(until);
    check(&credentials, 10, Err(BadToken::Unknown));
    check(&GroupCredentials::open(store).unwrap(), 10, Err(BadToken::Unknown));
}

/// OWASP ASVS 4.0.3, 3.3.3: a new password ends all sessions.
#[test]
fn a_new_password_ends_all_tokens_of_the_person_and_of_nobody_else() {
    let store = Arc::new(MemoryRows::default());
    let credentials = GroupCredentials::open(store.clone()).unwrap();
    let account: AccountId = "MA1".parse().unwrap();
    let grant = Bearer::Grant { id: 7, is_admin_scope: false };
    let grant = Holder { account: account.clone(), bearer: grant };
    let namesake = Holder { account: "MA2".parse().unwrap(), ..person(7) };
    let issued = [
        (&person(7), TokenKind::Token),
        (&person(7), TokenKind::Session),
        (&grant, TokenKind::Code),
        (&person(8), TokenKind::Token),
        (&namesake, TokenKind::Token),
    ];
    let tokens = issued.map(|(holder, kind)| issue(&credentials, holder, kind));
    let validity = |n: usize| credentials.validity(NOW, &tokens[n]).unwrap().1;
    let (over, kept) = (validity(1), validity(3));
    credentials.set_password(&account, 7, "new", done()).unwrap();
    assert!(over.is_over() && !kept.is_over());
    for credentials in [&credentials, &GroupCredentials::open(store).unwrap()] {
        let is_good = tokens.each_ref().map(|it| credentials.holder(NOW, it).is_ok());
        assert_eq!(is_good, [false, false, false, true, true]);
    }
}

#[test]
fn a_login_that_a_new_password_overtakes_gives_no_session() {
    let credentials = GroupCredentials::open(Arc::new(MemoryRows::default())).unwrap();
    let account: AccountId = "MA1".parse().unwrap();
    credentials.set_password(&account, 7, "old", done()).unwrap();
    let old = credentials.check_password(Some(7), "old").unwrap();
    let session = |proof: &PasswordProof| {
        let new = new(person(7), TokenKind::Session, None);
        credentials.issue(new, Basis::Password(proof), done()).unwrap()
    };
    assert!(session(&old).is_some());
    // The same text: another salt makes it another password.
    credentials.set_password(&account, 7, "old", done()).unwrap();
    assert_eq!(session(&old), None);
    assert!(session(&credentials.check_password(Some(7), "old").unwrap()).is_some());
}

#[test]
fn a_tills_password_gives_no_token_once_it_is_revoked() {
    let credentials = GroupCredentials::open(Arc::new(MemoryRows::default())).unwrap();
    let account: AccountId = "MA1".parse().unwrap();
    let till = Holder { account: account.clone(), bearer: Bearer::Till("t1".into()) };
    let digest = md5_hex(&issue(&credentials, &till, TokenKind::Till));
    let token = |digest: &str| {
        let new = new(till.clone(), TokenKind::TillToken, None);
        credentials.issue(new, Basis::Till("t1", digest), done()).unwrap()
    };
    assert_eq!(token("no"), None);
    let first = token(&digest).unwrap();
    assert_eq!(credentials.revoke_of(&account, TokenOwner::Tills(Some("t2")), None, done()), 0);
    assert_eq!(credentials.revoke_of(&account, TokenOwner::Tills(Some("t1")), None, done()), 2);
    assert_eq!(token(&digest), None);
    assert_eq!(credentials.holder(NOW, &first), Err(BadToken::Unknown));
}

#[test]
fn a_grant_is_exchanged_once_and_all_or_nothing() {
    let store = Arc::new(MemoryRows::default());
    let credentials = GroupCredentials::open(store.clone()).unwrap();
    let [one, two]: [AccountId; 2] = ["MA1", "MA2"].map(|it| it.parse().unwrap());
    let grant = Bearer::Grant { id: 7, is_admin_scope: true };
    let grant =
        issue(&credentials, &Holder { account: one.clone(), bearer: grant }, TokenKind::Code);
    let until = [1, 2].map(|it| UnixMillis(NOW.0 + it));
    let exchange =
        |account, grant: &str| credentials.exchange(NOW, account, grant, until, done()).unwrap();
    assert_eq!(exchange(&two, &grant), None, "it is another account's");
    let (id, [access, refresh]) = exchange(&one, &grant).unwrap();
    assert_eq!((id, exchange(&one, &grant)), (7, None));
    assert_eq!(exchange(&one, &access), None, "it is no grant");
    let again = GroupCredentials::open(store).unwrap();
    assert_eq!(again.holder(NOW, &access), Ok(person(7)));
    assert_eq!(again.holder(NOW, &grant), Err(BadToken::Unknown));
    assert!(again.exchange(NOW, &one, &refresh, until, done()).unwrap().is_some());
}

#[test]
fn a_list_shows_kinds_and_times_and_no_secrets_and_survives_a_restart() {
    let store = Arc::new(MemoryRows::default());
    let credentials = GroupCredentials::open(store.clone()).unwrap();
    let account: AccountId = "MA1".parse().unwrap();
    let token = issue(&credentials, &person(7), TokenKind::Token);
    issue(&credentials, &person(8), TokenKind::Token);
    let session = new(person(7), TokenKind::Session, Some(UnixMillis(NOW.0 + 10)));
    credentials.issue(session, Basis::Operator, done()).unwrap();
    let at = |ms| UnixMillis(NOW.0 + ms);
    let listed = |credentials: &GroupCredentials, now| {
        let listed = credentials.list(now, &account, TokenOwner::Person(7));
        let shown = |it: &ListedToken| (it.id, it.kind, it.created, it.last_used);
        listed.iter().map(shown).collect::<Vec<_>>()
    };
    let new = (1, TokenKind::Token, Some(NOW), None);
    assert_eq!(listed(&credentials, NOW), [new, (3, TokenKind::Session, Some(NOW), None)]);
    assert_eq!(listed(&credentials, at(10)), [new], "a session that is over is gone");
    credentials.holder(at(20), &token).unwrap();
    credentials.holder(at(30), &token).unwrap();
    assert_eq!(listed(&credentials, at(40))[0].3, Some(at(30)));
    let again = GroupCredentials::open(store.clone()).unwrap();
    assert_eq!(listed(&again, at(40))[0].3, Some(at(20)), "a use is written once an hour");
    assert_eq!(credentials.revoke_of(&account, TokenOwner::Person(7), Some(2), done()), 0);
    assert_eq!(credentials.revoke_of(&account, TokenOwner::Person(7), Some(1), done()), 1);
    assert_eq!(credentials.holder(NOW, &token), Err(BadToken::Unknown));
    assert_eq!(listed(&GroupCredentials::open(store).unwrap(), at(40)), []);
}

/// Rows on a disk that becomes full: its writes fail when the test says so.
#[derive(Default)]
struct FullRows {
    rows: MemoryRows,
    failing: Mutex<Option<Vec<OnCommit>>>,
}

impl FullRows {
    fn fail(&self) {
        let failed = self.failing.lock().replace(Vec::new());
        failed.into_iter().flatten().for_each(|done| done(Err(WriteError::Full)));
    }
}

impl RowStore for FullRows {
    fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError> {
        self.rows.load(table)
    }

    fn commit(&self, writes: Vec<RowWrite>, done: OnCommit) {
        match &mut *self.failing.lock() {
            Some(failing) => failing.push(done),
            None => self.rows.commit(writes, done),
        }
    }
}

/// What is answered with "nothing was changed" has changed nothing (issue 14, A6).
#[test]
fn what_cannot_be_written_is_undone() {
    let store = Arc::new(FullRows::default());
    let credentials = GroupCredentials::open(store.clone()).unwrap();
    let account: AccountId = "MA1".parse().unwrap();
    credentials.set_password(&account, 7, "old", done()).unwrap();
    let token = issue(&credentials, &person(7), TokenKind::Token);
    let grant = Holder { bearer: Bearer::Grant { id: 7, is_admin_scope: true }, ..person(7) };
    let grant = issue(&credentials, &grant, TokenKind::Code);
    store.fail();
    let refused = || -> OnCommit { Box::new(|it| assert_eq!(it, Err(WriteError::Full))) };
    let check = || {
        assert_eq!(credentials.holder(NOW, &token), Ok(person(7)));
        assert!(credentials.holder(NOW, &grant).is_ok());
        assert_eq!(credentials.list(NOW, &account, TokenOwner::Person(7)).len(), 2);
        assert!(credentials.check_password(Some(7), "old").is_some());
        assert!(credentials.check_password(Some(7), "new").is_none());
    };

    let issued = new(person(7), TokenKind::Session, None);
    let issued = credentials.issue(issued, Basis::Operator, refused()).unwrap().unwrap();
    store.fail();
    assert_eq!(credentials.holder(NOW, &issued), Err(BadToken::Unknown));
    check();
    credentials.exchange(NOW, &account, &grant, [UnixMillis(NOW.0 + 9); 2], refused()).unwrap();
    store.fail();
    check();
    assert!(credentials.revoke(&token, refused()).is_some());
    store.fail();
    check();
    assert_eq!(credentials.revoke_of(&account, TokenOwner::Person(7), None, refused()), 2);
    store.fail();
    check();
    credentials.set_password(&account, 7, "new", refused()).unwrap();
    store.fail();
    check();
    credentials.set_password(&account, 8, "first", refused()).unwrap();
    store.fail();
    assert!(credentials.check_password(Some(8), "first").is_none());
}
