//! The membership actor: races have one outcome each, and what cannot be written has not happened.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use conflow::{
    base::ids::AccountId,
    engine::membership::{AskError, Memberships},
    group::{Ask, Person, PersonId, Rank, Refusal, rule::Rule},
    store::{
        rows::{Committed, Row, Rows, RowsError, Table, Write},
        rows_memory::Memory,
    },
};

use crate::group::{GROUP, NOW, head, removal, which, who};

/// A store that fails when it is told to.
#[derive(Default)]
pub(crate) struct Frail {
    memory: Memory,
    pub(crate) fails: AtomicBool,
}

impl Rows for Frail {
    fn load(&self, table: Table) -> Result<Vec<Row>, RowsError> {
        self.memory.load(table)
    }

    fn commit(&self, writes: Vec<Write>, done: Committed) {
        match self.fails.load(Ordering::Relaxed) {
            true => done(Err(RowsError("the disk is full".to_owned()))),
            false => self.memory.commit(writes, done),
        }
    }
}

async fn open(records: &Arc<Frail>) -> (Memberships, AccountId) {
    let memberships = Memberships::open(records.clone(), Box::new(|| NOW)).unwrap();
    (memberships, "MA1".parse().unwrap())
}

async fn settle_in(memberships: &Memberships, account: &AccountId) {
    for n in 1..=3 {
        let person = Person::new(PersonId(n), &format!("user{n}"));
        memberships.ask(account, Ask::AddPerson(person)).await.unwrap();
    }
    memberships.ask(account, Ask::Create(head(GROUP, "weekly", Some(1)))).await.unwrap();
    for n in 2..=3 {
        let (group, target, rank) = (which(), who(n), Rank::Member);
        memberships.ask(account, Ask::Add { group, actor: None, target, rank }).await.unwrap();
    }
}

#[tokio::test]
async fn of_racing_kicks_one_removes_and_the_rest_find_nobody() {
    let (memberships, account) = open(&Arc::default()).await;
    settle_in(&memberships, &account).await;
    let kick = || memberships.ask(&account, removal(Some(1), 2, Rule::BUNGIE));
    let outcomes = futures_util::future::join_all((0..50).map(|_| kick())).await;
    let removed = outcomes.iter().filter(|it| it.is_ok()).count();
    let not_member = Err(AskError::Refused(Refusal::TargetNotMember));
    let rest = outcomes.iter().filter(|it| **it == not_member).count();
    assert_eq!((removed, rest), (1, 49));
}

#[tokio::test]
async fn what_cannot_be_written_has_not_happened() {
    let records = Arc::new(Frail::default());
    let (memberships, account) = open(&records).await;
    settle_in(&memberships, &account).await;
    let kick = |n| memberships.ask(&account, removal(Some(1), n, Rule::BUNGIE));
    records.fails.store(true, Ordering::Relaxed);
    assert_eq!(kick(2).await, Err(AskError::Failed));
    records.fails.store(false, Ordering::Relaxed);
    kick(2).await.unwrap();
    let (again, _) = open(&records).await;
    let outcome = again.ask(&account, removal(Some(1), 2, Rule::BUNGIE)).await;
    assert_eq!(outcome, Err(AskError::Refused(Refusal::TargetNotMember)));
    again.ask(&account, removal(Some(1), 3, Rule::BUNGIE)).await.unwrap();
}

#[tokio::test]
async fn a_ban_holds_after_a_restart() {
    let records = Arc::new(Frail::default());
    let (memberships, account) = open(&records).await;
    settle_in(&memberships, &account).await;
    let (group, target, rule) = (which(), who(2), Rule::BUNGIE);
    let ban = Ask::Ban { group, actor: None, target, rule, reason: "loud".into(), until: None };
    memberships.ask(&account, ban).await.unwrap();
    let (again, _) = open(&records).await;
    let (group, target, rank) = (which(), who(2), Rank::Member);
    let back = again.ask(&account, Ask::Add { group, actor: None, target, rank }).await;
    assert_eq!(back, Err(AskError::Refused(Refusal::Banned)));
}
