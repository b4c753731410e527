//! Bans: on time, on disk, and after a crash.

use super::*;
use crate::{engine::recorder::KeyKind, state_log::StateLogSettings};

#[test]
#[expect(clippy::disallowed_methods, reason = "any time does")]
fn a_ban_survives_a_restart_and_ends_on_time() {
    let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
    let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
    let who = [
        Trusted::Number("14155550100".into()),
        Trusted::SipUser("a:b".into()),
        Trusted::User("anna".into()),
    ];
    let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
    for (n, who) in (1..).zip(&who) {
        let (id, length) = (MemberId(n), Duration::from_secs(60 * n));
        ban_list.ban(now, key.clone(), id, who.clone(), Some("so".into()), length);
    }
    assert!(ban_list.lift(now, &key, MemberId(2), None).is_some());
    assert!(ban_list.lift(now, &key, MemberId(2), None).is_none());

    // The next process begins 59 seconds later.
    let ban_list = BanList::open(rows.clone(), now, wall + Duration::from_secs(59)).unwrap();
    let banned = |now| who.clone().map(|who| ban_list.is_banned(now, &key, &who));
    assert_eq!(banned(now), [true, false, true]);
    assert_eq!(banned(now + Duration::from_secs(1)), [false, false, true]);
    assert_eq!(ban_list.list(now, &key)[0].reason.as_deref(), Some("so"));
    assert_eq!(ban_list.count(now + Duration::from_secs(1), &key.account), 1);
    assert_eq!(rows.load(Table::RoomBans).unwrap().len(), 1, "expired bans are deleted");
}
/// Rows on a disk that never completes a write by itself.
#[derive(Default)]
struct SlowRows(parking_lot::Mutex<Vec<crate::store::rows::OnCommit>>);

impl RowStore for SlowRows {
    fn load(&self, _: Table) -> Result<Vec<StoredRow>, RowStoreError> {
        Ok(Vec::new())
    }

    fn commit(&self, writes: Vec<RowWrite>, done: crate::store::rows::OnCommit) {
        assert!(!writes.is_empty());
        self.0.lock().push(done);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any time does")]
fn a_ban_holds_at_once_and_is_persisted_when_the_disk_has_it() {
    let rows = Arc::new(SlowRows::default());
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
    let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
    let (id, who) = (MemberId(1), Trusted::User("anna".into()));
    ban_list.ban(now, key.clone(), id, who.clone(), None, Duration::from_secs(60));
    assert!(ban_list.is_banned(now, &key, &who));
    let mut kept = ban_list.persisted(now, &key, &[id]);
    let mut lifted = ban_list.lift(now, &key, id, None).unwrap();
    assert!(kept.try_recv().is_err() && lifted.try_recv().is_err(), "not yet");
    let queued: Vec<_> = rows.0.lock().drain(..).collect();
    let Ok([_, keep, lift]) = <[_; 3]>::try_from(queued) else { panic!("three writes") };
    lift(Err(WriteError::Full));
    keep(Ok(()));
    assert_eq!(kept.try_recv(), Ok(Ok(())));
    assert!(matches!(lifted.try_recv(), Ok(Err(_))));
    assert!(ban_list.is_banned(now, &key, &who), "it was not lifted");
    drop(ban_list.lift(now, &key, id, None));
    // The ban was lifted: there is nothing to wait for.
    assert_eq!(ban_list.persisted(now, &key, &[id]).try_recv(), Ok(Ok(())));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any time does")]
fn a_stored_ban_that_no_kick_has_made_is_removed() {
    let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
    let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
    let who = |n| (MemberId(n), Trusted::User(format!("user{n}").into()));
    let kick = Kick { ban: Some(Duration::from_secs(60)), ..Kick::default() };
    let stored = || rows.load(Table::RoomBans).unwrap().iter().map(|it| it.a).collect::<Vec<_>>();
    let (mut prepared, mut written) = ban_list.prepare(now, &key, [1, 2, 3].map(who).into(), &kick);
    assert_eq!((written.try_recv(), stored()), (Ok(Ok(())), vec![1, 2, 3]));
    assert!(!ban_list.is_banned(now, &key, &who(1).1), "before the kick");
    // The kick bans the first, another kick the second, for longer; the third has left.
    for (n, seconds) in [(1, 60), (2, 90)] {
        let (id, who) = who(n);
        ban_list.ban(now, key.clone(), id, who, None, Duration::from_secs(seconds));
    }
    assert!(prepared.contains(MemberId(3)) && !prepared.contains(MemberId(4)));
    prepared.made(&[MemberId(1)]);
    drop(prepared);
    assert_eq!(stored(), [1, 2]);
    let again = BanList::open(rows.clone(), now, wall + Duration::from_secs(89)).unwrap();
    assert!(again.is_banned(now, &key, &who(2).1));
}

/// A crash within a kick: before its frame, after it, and after its bans were stored as made.
#[test]
#[expect(clippy::disallowed_methods, reason = "any time does")]
fn after_a_crash_the_bans_hold_that_a_kick_has_made() {
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
    let kick = Kick { ban: Some(Duration::from_secs(60)), ..Kick::default() };
    let who = |n| (MemberId(n), Trusted::User(format!("user{n}").into()));
    let folder = tempfile::tempdir().unwrap();
    let state_log = state_log(folder.path());
    let open = |rows: &Arc<dyn RowStore>, is_complete| {
        let logged = state_log.keys(KeyKind::Ban as u8).into_iter();
        let logged: Vec<_> = logged.map(|it| state_log.row(it).unwrap().unwrap()).collect();
        let left = BansLeft { state_log: state_log.clone(), rows: &logged, is_complete };
        BanList::open_after(left, rows.clone(), now, wall).unwrap()
    };
    let check = |made: &[u64], is_complete, seconds, expected: &[u64]| {
        let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
        let ban_list = open(&rows, true);
        // The third was not foreseen, so only the frame has its ban.
        std::mem::forget(ban_list.prepare(now, &key, [1, 2].map(who).into(), &kick));
        for id in made {
            let (id, who) = who(*id);
            let row = ban_list.row(now, &key, id, who, None, Duration::from_secs(seconds));
            state_log.append(&[row.unwrap().line()], |_| ());
        }
        let ids = |rows: &Arc<dyn RowStore>, is_complete| {
            let list = open(rows, is_complete).list(now, &key);
            list.iter().map(|it| it.id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(&rows, is_complete), expected, "{made:?}");
        assert_eq!(state_log.keys(KeyKind::Ban as u8), [], "they are stored");
        assert_eq!(ids(&rows, true), expected, "{made:?}: another start");
    };
    check(&[], true, 60, &[]);
    check(&[1, 2], true, 60, &[1, 2]);
    check(&[2, 3], true, 60, &[2, 3]);
    check(&[3], true, 0, &[]);
    // The power has taken the frame, and the kick may have been answered.
    check(&[], false, 60, &[1, 2]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any time does")]
fn a_ban_that_is_lifted_is_not_in_the_state_log() {
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
    let folder = tempfile::tempdir().unwrap();
    let state_log = state_log(folder.path());
    let left = BansLeft { state_log: state_log.clone(), rows: &[], is_complete: true };
    let rows = Arc::new(SlowRows::default());
    let ban_list = BanList::open_after(left, rows.clone(), now, wall).unwrap();
    let (id, who, length) = (MemberId(1), Trusted::User("anna".into()), Duration::from_secs(60));
    let row = ban_list.row(now, &key, id, who.clone(), None, length).unwrap();
    state_log.append(&[row.line()], |_| ());
    ban_list.ban(now, key.clone(), id, who, None, length);
    let mut lifted = ban_list.lift(now, &key, id, None).unwrap();
    let queued: Vec<_> = rows.0.lock().drain(..).collect();
    let Ok([made, lift]) = <[_; 2]>::try_from(queued) else { panic!("two writes") };
    // It was dropped, since too many waited.
    made(Err(WriteError::Full));
    assert_eq!(state_log.keys(KeyKind::Ban as u8).len(), 1);
    lift(Ok(()));
    assert_eq!(lifted.try_recv(), Ok(Ok(())));
    assert_eq!(state_log.keys(KeyKind::Ban as u8), []);
}

fn state_log(folder: &std::path::Path) -> Arc<StateLog> {
    let settings = StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: 1 << 20,
        bytes_max: 1 << 30,
        keep_micros: u64::MAX,
        held_max: 10,
    };
    Arc::new(StateLog::open(settings, 1, 1).unwrap().log)
}
