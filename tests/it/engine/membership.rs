//! Membership actor: each race has one outcome, and a change that cannot be written does not
//! happen.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use conflow::{
    base::ids::AccountId,
    engine::membership::{GroupAskError, Memberships},
    group::{Ask, Person, PersonId, Rank, Refusal, rule::Rule},
    store::{
        rows::{
            OnCommit, RowStore, RowStoreError, RowWrite, StoreHealth, StoredRow, Table, WriteError,
        },
        rows_memory::MemoryRows,
    },
};

use crate::group::{GROUP, NOW, group_info, group_ref, person_ref, removal};

/// A store that fails on request.
#[derive(Default)]
pub(crate) struct FailingRows {
    memory: MemoryRows,
    pub(crate) fails: AtomicBool,
}

impl RowStore for FailingRows {
    fn load(&self, table: Table) -> Result<Vec<StoredRow>, RowStoreError> {
        self.memory.load(table)
    }

    fn commit(&self, writes: Vec<RowWrite>, done: OnCommit) {
        match self.fails.load(Ordering::Relaxed) {
            true => done(Err(WriteError::Full)),
            false => self.memory.commit(writes, done),
        }
    }

    fn health(&self) -> StoreHealth {
        let error = self.fails.load(Ordering::Relaxed).then_some(WriteError::Full);
        StoreHealth { failures: u64::from(error.is_some()), error, ..StoreHealth::default() }
    }
}

async fn open(rows: &Arc<FailingRows>) -> (Memberships, AccountId) {
    let memberships = Memberships::open(rows.clone(), Box::new(|| NOW)).unwrap();
    (memberships, "MA1".parse().unwrap())
}

async fn fill_group(memberships: &Memberships, account: &AccountId) {
    for n in 1..=3 {
        let person = Person::new(PersonId(n), &format!("user{n}"));
        memberships.ask(account, Ask::AddPerson(person)).await.unwrap();
    }
    memberships.ask(account, Ask::Create(group_info(GROUP, "weekly", Some(1)))).await.unwrap();
    for n in 2..=3 {
        let (group, target, rank) = (group_ref(), person_ref(n), Rank::Member);
        memberships.ask(account, Ask::Add { group, actor: None, target, rank }).await.unwrap();
    }
}

#[tokio::test]
async fn of_racing_kicks_one_removes_and_the_others_find_no_member() {
    let (memberships, account) = open(&Arc::default()).await;
    fill_group(&memberships, &account).await;
    let kick = || memberships.ask(&account, removal(Some(1), 2, Rule::BUNGIE));
    let outcomes = futures_util::future::join_all((0..50).map(|_| kick())).await;
    let removed = outcomes.iter().filter(|it| it.is_ok()).count();
    let not_member = Err(GroupAskError::Refused(Refusal::TargetNotMember));
    let rest = outcomes.iter().filter(|it| **it == not_member).count();
    assert_eq!((removed, rest), (1, 49));
}

#[tokio::test]
async fn a_change_that_cannot_be_written_does_not_happen() {
    let rows = Arc::new(FailingRows::default());
    let (memberships, account) = open(&rows).await;
    fill_group(&memberships, &account).await;
    let kick = |n| memberships.ask(&account, removal(Some(1), n, Rule::BUNGIE));
    rows.fails.store(true, Ordering::Relaxed);
    assert_eq!(kick(2).await, Err(GroupAskError::NotStored(WriteError::Full)));
    rows.fails.store(false, Ordering::Relaxed);
    kick(2).await.unwrap();
    let (again, _) = open(&rows).await;
    let outcome = again.ask(&account, removal(Some(1), 2, Rule::BUNGIE)).await;
    assert_eq!(outcome, Err(GroupAskError::Refused(Refusal::TargetNotMember)));
    again.ask(&account, removal(Some(1), 3, Rule::BUNGIE)).await.unwrap();
}

#[tokio::test]
async fn a_ban_holds_after_a_restart() {
    let rows = Arc::new(FailingRows::default());
    let (memberships, account) = open(&rows).await;
    fill_group(&memberships, &account).await;
    let (group, target, rule) = (group_ref(), person_ref(2), Rule::BUNGIE);
    let ban = Ask::Ban { group, actor: None, target, rule, reason: "loud".into(), until: None };
    memberships.ask(&account, ban).await.unwrap();
    let (again, _) = open(&rows).await;
    let (group, target, rank) = (group_ref(), person_ref(2), Rank::Member);
    let back = again.ask(&account, Ask::Add { group, actor: None, target, rank }).await;
    assert_eq!(back, Err(GroupAskError::Refused(Refusal::Banned)));
}
