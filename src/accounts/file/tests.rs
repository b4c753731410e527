//! Tests of the stored accounts.

use super::*;
use crate::{
    accounts::{Accounts, validity::CredentialValidity},
    store::rows_memory::MemoryRows,
};

const KEY: [u8; 32] = [7; 32];

fn id(text: &str) -> AccountId {
    text.parse().unwrap()
}

fn store(rows: &Arc<MemoryRows>) -> AccountStore {
    AccountStore::new(rows.clone(), KEY)
}

/// For each token, the label and role with which an engine that reads the rows now accepts it.
fn good(rows: &Arc<MemoryRows>, tokens: &[&str]) -> Vec<Option<(String, Role)>> {
    let accounts = Accounts::new(KEY);
    assert_eq!(accounts.set_stored(&store(rows).load().unwrap()), []);
    let verified = |it: &&str| accounts.verify("MA1", it).map(|it| (it.token.to_string(), it.role));
    tokens.iter().map(verified).collect()
}

fn full(label: &str) -> Option<(String, Role)> {
    Some((label.to_owned(), Role::Full))
}

#[test]
fn while_a_token_is_rotated_both_are_good_and_sign_and_afterwards_the_new_one_alone() {
    let (rows, now, ma1) = (Arc::new(MemoryRows::default()), SystemTime::UNIX_EPOCH, id("MA1"));
    let store = store(&rows);
    let first = store.add(&ma1, Dialect::Plivo, now).unwrap();
    assert_eq!(good(&rows, &[&first, "other"]), [full("t1"), None]);
    let second = store.rotate(&ma1, Role::Full, now).unwrap();
    assert_ne!(first, second);
    assert_eq!(good(&rows, &[&first, &second]), [full("t1"), full("t2")]);
    let accounts = Accounts::new(KEY);
    accounts.set_stored(&store.load().unwrap());
    let signer = accounts.signer(&ma1, Dialect::Plivo).unwrap();
    assert_eq!(signer.tokens, [second.clone(), first.clone()], "the newest signs first");
    assert_eq!(accounts.dialect(&ma1), Dialect::Plivo);

    let refused = store.rotate(&ma1, Role::Full, now).unwrap_err().to_string();
    assert!(refused.contains("t1 and t2 already") && refused.contains("--finish"), "{refused}");
    assert_eq!(&*store.finish(&ma1, Role::Full).unwrap(), "t1");
    assert_eq!(good(&rows, &[&first, &second]), [None, full("t2")]);
    let refused = store.finish(&ma1, Role::Full).unwrap_err().to_string();
    assert!(refused.contains("no older token"), "{refused}");
    let third = store.rotate(&ma1, Role::Full, now).unwrap();
    assert_eq!(good(&rows, &[&third]), [full("t3")], "labels do not come back");
}

#[test]
fn a_read_only_token_is_beside_the_others_and_signs_nothing() {
    let (rows, now, ma1) = (Arc::new(MemoryRows::default()), SystemTime::UNIX_EPOCH, id("MA1"));
    let store = store(&rows);
    let missing = store.add_read_only(&ma1, now).unwrap_err();
    assert_eq!(missing, AccountStoreError::Missing(ma1.clone()));
    let first = store.add(&ma1, Dialect::Vobiz, now).unwrap();
    let reader = store.add_read_only(&ma1, now).unwrap();
    let read_only = Some(("t2".to_owned(), Role::ReadOnly));
    assert_eq!(good(&rows, &[&first, &reader]), [full("t1"), read_only.clone()]);
    for _ in 1..READ_ONLY_TOKENS_MAX {
        store.add_read_only(&ma1, now).unwrap();
    }
    let refused = store.add_read_only(&ma1, now).unwrap_err().to_string();
    assert!(refused.contains("8 read-only tokens already"), "{refused}");
    store.rotate(&ma1, Role::ReadOnly, now).unwrap_err();
    store.set_dialect(&ma1, Dialect::Plivo).unwrap();
    let accounts = Accounts::new(KEY);
    accounts.set_stored(&store.load().unwrap());
    assert_eq!(accounts.signer(&ma1, Dialect::Vobiz).unwrap().tokens, std::slice::from_ref(&first));
    assert_eq!(accounts.dialect(&ma1), Dialect::Plivo);

    store.remove_token(&ma1, "t2").unwrap();
    assert_eq!(good(&rows, &[&first, &reader]), [full("t1"), None]);
    let refused = store.remove_token(&ma1, "t1").unwrap_err().to_string();
    assert!(refused.contains("no token but t1"), "{refused}");
    store.remove(&ma1).unwrap();
    assert_eq!(good(&rows, &[&first]), [None]);
}

#[test]
fn a_change_ends_the_streams_of_the_tokens_that_are_gone_and_of_no_others() {
    let (rows, now, ma1) = (Arc::new(MemoryRows::default()), SystemTime::UNIX_EPOCH, id("MA1"));
    let (store, accounts) = (store(&rows), Accounts::new(KEY));
    let first = store.add(&ma1, Dialect::Vobiz, now).unwrap();
    let reader = store.add_read_only(&ma1, now).unwrap();
    let follow = || drop(accounts.set_stored(&store.changed().unwrap().unwrap().accounts));
    follow();
    let validity = |token: &str| accounts.verify("MA1", token).unwrap().life.validity();
    let (first, reader) = (validity(&first), validity(&reader));
    let second = store.rotate(&ma1, Role::Full, now).unwrap();
    follow();
    let second = validity(&second);
    let over = || [&first, &reader, &second].map(CredentialValidity::is_over);
    assert_eq!(over(), [false; 3]);
    store.finish(&ma1, Role::Full).unwrap();
    follow();
    assert_eq!(over(), [true, false, false]);
    store.remove_token(&ma1, "t2").unwrap();
    follow();
    assert_eq!(over(), [true, true, false]);
    let of_account = accounts.life(&ma1).unwrap().validity();
    store.add(&id("MA2"), Dialect::Vobiz, now).unwrap();
    follow();
    assert!(!second.is_over() && !of_account.is_over());
    store.remove(&ma1).unwrap();
    follow();
    assert!(second.is_over() && of_account.is_over());
}

#[test]
fn the_rows_and_what_is_printed_say_no_token_and_another_key_is_found_out() {
    let (rows, now, ma1) = (Arc::new(MemoryRows::default()), SystemTime::UNIX_EPOCH, id("MA1"));
    let store = store(&rows);
    let token = store.add(&ma1, Dialect::Vobiz, now).unwrap();
    let reader = store.add_read_only(&ma1, now).unwrap();
    let row = format!("{:?} {:?}", rows.load(Table::Accounts).unwrap(), store.load().unwrap());
    assert!(!row.contains(&token) && !row.contains(&reader), "{row}");
    let other = AccountStore::new(rows, [8; 32]).load().unwrap_err().to_string();
    assert!(other.contains("another account-key"), "{other}");
}

#[test]
fn an_account_that_is_gone_lets_nobody_in_and_its_last_calls_are_signed() {
    let (rows, now, ma1) = (Arc::new(MemoryRows::default()), SystemTime::UNIX_EPOCH, id("MA1"));
    let store = store(&rows);
    let token = store.add(&ma1, Dialect::Vobiz, now).unwrap();
    let mut accounts = Accounts::new(KEY);
    accounts.add(&id("MA2"), "of-the-file").unwrap();
    accounts.set_stored(&store.changed().unwrap().unwrap().accounts);
    assert!(store.changed().unwrap().is_none(), "nothing has happened since");
    let life = accounts.life(&ma1).unwrap().validity();
    let of_token = accounts.verify("MA1", &token).unwrap().life.validity();
    assert!(accounts.verify("MA1", &token).is_some() && accounts.has(&ma1));
    store.remove(&ma1).unwrap();
    store.add(&id("MA2"), Dialect::Vobiz, now).unwrap();
    let clashes = accounts.set_stored(&store.changed().unwrap().unwrap().accounts);
    assert_eq!(clashes, [id("MA2")]);
    assert!(accounts.verify("MA2", "of-the-file").is_some(), "the configuration stands");
    assert!(accounts.verify("MA1", &token).is_none() && !accounts.has(&ma1));
    assert!(life.is_over() && of_token.is_over() && accounts.life(&ma1).is_none());
    assert_eq!(accounts.signer(&ma1, Dialect::Vobiz).unwrap().tokens, [token]);
    assert_eq!(accounts.ids(), [id("MA2")]);
}
