//! Running recordings in virtual time: limits, reasons, and each end once.

use std::time::SystemTime;

use uuid::Uuid;

use super::*;
use crate::{
    base::ids::{AccountId, Dialect, MemberId},
    call::{CallDirection, CallSession, Party},
    flow::{CallbackTarget, RecordingFormat, RequestMethod},
    media::RecordingChannels,
    recording::RecordingEndReason as Reason,
};

const CALL: RecordingSource = RecordingSource::Call(CallId::of(1));
const ROOM: RecordingSource = RecordingSource::Room(RoomId::of(7));

struct World {
    begin: Instant,
    active: ActiveRecordings,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn new(max: usize) -> Self {
        Self { begin: Instant::now(), active: ActiveRecordings::new(max) }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }

    /// Starts a recording at a second, for so many seconds.
    fn start(
        &mut self,
        at: u64,
        id: u128,
        source: RecordingSource,
        length: u64,
    ) -> Result<(), RecordingRefusal> {
        self.active.check(source)?;
        let subject = match source {
            RecordingSource::Call(call) => RecordedSubject::Call(call),
            RecordingSource::Room(room) => RecordedSubject::Room(Incarnation::of(room, "weekly")),
        };
        let (now, length) = (self.at(at), Duration::from_secs(length));
        self.active.start(now, recording(id), subject, length);
        Ok(())
    }

    /// Id, second and reason of each stop.
    fn seen(&self, stops: Vec<RecordingStop>) -> Vec<(u128, u64, Reason)> {
        let show = |it: RecordingStop| {
            (it.recording.0.as_u128(), (it.at - self.begin).as_secs(), it.reason)
        };
        stops.into_iter().map(show).collect()
    }
}

fn recording(id: u128) -> Arc<Recording> {
    Arc::new(Recording {
        id: RecordingId::of(id),
        account: AccountId::try_from("MA1".to_owned()).unwrap(),
        call: CallId::of(1),
        from: "1".into(),
        to: "2".into(),
        conference: None,
        api_id: Uuid::nil(),
        channels: RecordingChannels::Mono,
        format: RecordingFormat::Wav,
        started_at: SystemTime::UNIX_EPOCH,
        callback: None,
        audience: None,
        end: None,
    })
}

fn end() -> RecordingEnd {
    RecordingEnd {
        at: SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        bytes: 44,
        lost_samples: 0,
        format: RecordingFormat::Wav,
        reason: Reason::Stopped,
    }
}

#[test]
fn a_call_has_four_recordings_and_a_room_one() {
    let mut world = World::new(100);
    for id in 1..=4 {
        assert_eq!(world.start(0, id, CALL, 60), Ok(()));
    }
    assert_eq!(world.start(0, 5, CALL, 60), Err(RecordingRefusal::TooManyOfCall));
    assert_eq!(world.start(0, 5, RecordingSource::Call(CallId::of(2)), 60), Ok(()));
    assert_eq!(world.start(0, 6, ROOM, 60), Ok(()));
    assert_eq!(world.start(0, 7, ROOM, 60), Err(RecordingRefusal::Running(recording(6))));

    // One that stops makes room for another, though its file is still open.
    let stops = world.active.stop(world.at(1), CALL, Some(RecordingId::of(2)), Reason::Stopped);
    assert_eq!(world.seen(stops), [(2, 1, Reason::Stopped)]);
    assert_eq!(world.start(1, 8, CALL, 60), Ok(()));
    let stops = world.active.stop(world.at(1), ROOM, None, Reason::Stopped);
    assert_eq!(world.seen(stops), [(6, 1, Reason::Stopped)]);
    assert_eq!(world.start(1, 9, ROOM, 60), Ok(()));
}

#[test]
fn no_more_run_than_the_server_may_have_and_an_open_file_counts() {
    let mut world = World::new(2);
    assert_eq!(world.start(0, 1, CALL, 60), Ok(()));
    assert_eq!(world.start(0, 2, ROOM, 60), Ok(()));
    assert_eq!(world.start(0, 3, CALL, 60), Err(RecordingRefusal::TooMany { max: 2 }));
    drop(world.active.stop(world.at(1), CALL, None, Reason::Stopped));
    assert_eq!(world.start(1, 3, CALL, 60), Err(RecordingRefusal::TooMany { max: 2 }));
    assert!(world.active.take(RecordingId::of(1), end()).is_some());
    assert_eq!(world.start(1, 3, CALL, 60), Ok(()));
}

#[test]
fn each_ends_at_its_limit_however_late_that_is_seen() {
    let mut world = World::new(100);
    for (id, length) in [(1, 30), (2, 10), (3, 1_000_000)] {
        assert_eq!(world.start(5, id, CALL, length), Ok(()));
    }
    assert_eq!(world.active.deadline(), Some(world.at(15)));
    let stops = world.active.expire(world.at(14));
    assert_eq!(world.seen(stops), []);
    let stops = world.active.expire(world.at(50));
    assert_eq!(world.seen(stops), [(2, 15, Reason::MaxLength), (1, 35, Reason::MaxLength)]);
    assert_eq!(world.active.deadline(), Some(world.at(5 + 86_400)), "none is longer than a day");
}

#[test]
fn the_first_reason_stands() {
    let mut world = World::new(100);
    assert_eq!(world.start(0, 1, CALL, 10), Ok(()));
    assert_eq!(world.start(0, 2, CALL, 10), Ok(()));
    let stops = world.active.stop(world.at(3), CALL, Some(RecordingId::of(1)), Reason::Stopped);
    assert_eq!(world.seen(stops), [(1, 3, Reason::Stopped)]);
    let stops = world.active.source_ended(world.at(4), CALL);
    assert_eq!(world.seen(stops), [(2, 4, Reason::HungUp)]);
    let stops = world.active.expire(world.at(60));
    assert_eq!(world.seen(stops), []);
    assert_eq!(world.active.deadline(), None);
}

#[test]
fn the_end_of_a_call_ends_no_other_recording_and_a_shutdown_says_so() {
    let mut world = World::new(100);
    assert_eq!(world.start(0, 1, CALL, 10), Ok(()));
    assert_eq!(world.start(0, 2, ROOM, 10), Ok(()));
    let stops = world.active.source_ended(world.at(1), CALL);
    assert_eq!(world.seen(stops), [(1, 1, Reason::HungUp)]);
    world.active.drain();
    let stops = world.active.source_ended(world.at(2), ROOM);
    assert_eq!(world.seen(stops), [(2, 2, Reason::Drained)]);
}

#[test]
fn a_file_that_ends_by_itself_is_over_at_once() {
    let mut world = World::new(100);
    assert_eq!(world.start(0, 1, ROOM, 10), Ok(()));
    let taken = world.active.take(RecordingId::of(1), end()).unwrap();
    assert!(!taken.was_stopped);
    assert_eq!(taken.recording.end, Some(end()));
    assert_eq!(taken.subject.room(), Some(RoomId::of(7)));
    assert_eq!(world.active.take(RecordingId::of(1), end()), None);
    assert!(world.active.is_empty() && world.active.deadline().is_none());
    assert_eq!(world.start(1, 2, ROOM, 10), Ok(()));
}

fn member(n: u64, has_callback: bool) -> MemberInfo {
    let party = Party {
        from: "1".into(),
        to: "2".into(),
        caller_name: "".into(),
        direction: CallDirection::Inbound,
        dialect: Dialect::Plivo,
        trusted: None,
        session: CallSession::at(SystemTime::UNIX_EPOCH),
    };
    let callback = CallbackTarget {
        url: "http://app.example/".into(),
        method: RequestMethod::Post,
        by_call: false,
        reports_floor: false,
    };
    MemberInfo {
        member: MemberId(n),
        call: CallId::of(n.into()),
        party: Arc::new(party),
        callback: has_callback.then(|| Arc::new(callback)),
    }
}

#[test]
fn the_row_has_the_first_members_who_are_told_and_the_end_tells_all() {
    let mut world = World::new(100);
    assert_eq!(world.start(0, 1, ROOM, 10), Ok(()));
    let id = RecordingId::of(1);
    assert_eq!(world.active.add_member(id, member(1, false), true), None, "nobody to tell");
    for n in 2..2 + AUDIENCE_MAX as u64 {
        let row = world.active.add_member(id, member(n, true), false).unwrap();
        let audience = row.audience.as_ref().unwrap();
        assert_eq!((audience.room, audience.members.len() as u64), (RoomId::of(7), n - 1));
        assert_eq!(audience.members.last().unwrap().member, MemberId(n));
    }
    let more = 2 + AUDIENCE_MAX as u64;
    assert_eq!(world.active.add_member(id, member(more, true), false), None);
    let taken = world.active.take(id, end()).unwrap();
    assert_eq!((taken.recording.audience, taken.told.len() as u64), (None, more));
    assert_eq!(world.active.add_member(id, member(1, true), false), None, "it is over");
}

#[test]
fn a_pause_changes_a_recording_once() {
    let mut world = World::new(100);
    assert_eq!(world.start(0, 1, CALL, 10), Ok(()));
    let changed = world.active.pause(CALL, true);
    assert_eq!(changed, [RecordingId::of(1)]);
    assert_eq!(world.start(1, 2, CALL, 10), Ok(()));
    assert_eq!(world.active.pause(CALL, true), [RecordingId::of(2)]);
    assert_eq!(world.active.pause(CALL, true), []);
    assert_eq!(world.active.pause(CALL, false).len(), 2);
    assert_eq!(world.active.pause(ROOM, true), []);
}
