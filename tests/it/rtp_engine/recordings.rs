//! Recordings of calls and rooms with tones, read back from their WAV files.

use std::{
    fs,
    path::PathBuf,
    sync::mpsc::{self, Receiver, Sender},
    time::SystemTime,
};

use conflow::{
    base::ids::RecordingId,
    flow::RecordingFormat,
    media::{RecordingChannels, RecordingSource},
    recording::{
        Recording, RecordingEnd, RecordingEndReason,
        port::{RecordingFiles, RecordingListener},
        writer::{RecordingWriter, WriterSettings},
    },
};
use parking_lot::Mutex;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use super::*;
use crate::small_disk::SmallDisk;

/// The writer gets a core within this time, on a busy machine.
const CATCH_UP: Duration = Duration::from_millis(60);

const ROOM_RECORDED: RecordingSource = RecordingSource::Room(ROOM);

/// Phones, an engine that ticks on request, and a writer.
struct Studio {
    harness: SocketHarness,
    phones: Vec<Phone>,
    writer: RecordingWriter,
    ends: Receiver<(RecordingId, RecordingEnd)>,
    listener: Arc<EndChannel>,
    /// The folder of the files.
    folder: PathBuf,
    _temp: TempDir,
    /// The time of tick 0, or a little later.
    epoch: Instant,
}

struct EndChannel {
    ends: Sender<(RecordingId, RecordingEnd)>,
    /// While a test holds it, the writer does nothing, as on a disk that does not answer.
    gate: Mutex<()>,
}

impl RecordingListener for EndChannel {
    fn recorded(&self, recording: RecordingId, end: RecordingEnd) {
        self.ends.send((recording, end)).unwrap();
        drop(self.gate.lock());
    }
}

impl Studio {
    /// Three phones with tones in a room.
    fn new(threads: usize) -> Self {
        let temp = tempdir().unwrap();
        let settings = WriterSettings {
            free_min_mb: 0,
            free_stop_mb: 0,
            ..WriterSettings::new(temp.path().into())
        };
        Self::with(threads, temp, settings)
    }

    /// The same, with a writer of its own.
    fn with(threads: usize, temp: TempDir, writer: WriterSettings) -> Self {
        let mut harness = SocketHarness::new(settings(threads));
        // Not before that of the engine, however long that has taken to start.
        let epoch = now();
        let phones = harness.three(V4);
        let folder = writer.folder.clone();
        let writer = RecordingWriter::start(writer).unwrap();
        let (sender, ends) = mpsc::channel();
        let listener = Arc::new(EndChannel { ends: sender, gate: Mutex::default() });
        let weak: Arc<dyn RecordingListener> = listener.clone();
        writer.connect(Arc::downgrade(&weak));
        Self { harness, phones, writer, ends, listener, folder, _temp: temp, epoch }
    }

    fn time(&self) -> Instant {
        self.epoch + Duration::from_millis(20) * u32::try_from(self.harness.tick).unwrap()
    }

    fn start(&self, n: u128, source: RecordingSource, channels: RecordingChannels) -> Recording {
        let recording = recording(n, channels);
        let feed = self.writer.begin(&recording, self.time()).unwrap();
        self.harness.engine.send(AudioOrder::Record { source, feed });
        recording
    }

    fn seconds(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.harness.ticks(50, &mut self.phones);
            // The ticks are faster than time is, and the writer has only four of these seconds.
            std::thread::sleep(CATCH_UP);
        }
    }

    /// Ends a recording; returns its end, and the samples of each channel.
    fn stop(&mut self, it: &Recording, source: RecordingSource) -> (RecordingEnd, Vec<Vec<i16>>) {
        let recording = it.id;
        self.harness.engine.send(AudioOrder::StopRecording { source, recording });
        self.writer.end(recording, self.time(), RecordingEndReason::Stopped);
        self.harness.ticks(1, &mut self.phones);
        let (ended, end) = self.ends.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(ended, recording);
        let channels = self.read(it, &end);
        (end, channels)
    }

    /// The samples of each channel of a complete recording.
    fn read(&self, it: &Recording, end: &RecordingEnd) -> Vec<Vec<i16>> {
        let bytes = fs::read(self.folder.join(it.path())).unwrap();
        assert_eq!(bytes.len() as u64, end.bytes);
        assert_eq!(bytes[40..44], (bytes.len() as u32 - 44).to_le_bytes());
        let channels = usize::from(it.channels.count());
        assert_eq!(bytes[22..24], it.channels.count().to_le_bytes());
        let samples: Vec<_> =
            bytes[44..].chunks_exact(2).map(|it| i16::from_le_bytes([it[0], it[1]])).collect();
        let channel = |n: usize| samples.iter().skip(n).step_by(channels).copied().collect();
        (0..channels).map(channel).collect()
    }
}

fn recording(n: u128, channels: RecordingChannels) -> Recording {
    Recording {
        id: RecordingId::of(n),
        account: "MA1".parse().unwrap(),
        call: CallId::of(1),
        from: "1".into(),
        to: "2".into(),
        conference: None,
        api_id: Uuid::nil(),
        channels,
        format: RecordingFormat::Wav,
        started_at: SystemTime::UNIX_EPOCH,
        callback: None,
        audience: None,
        end: None,
    }
}

/// Which of the tones are in the middle of this second.
fn tones(samples: &[i16], second: usize) -> [bool; 3] {
    let middle = &samples[second * 8_000 + 2_000..][..4_000];
    TONES.map(|tone| 0.02 < amplitude(middle, 8_000, tone))
}

#[test]
fn a_room_is_recorded_with_the_voices_that_are_in_it_and_not_muted() {
    for threads in [1, 2] {
        let mut studio = Studio::new(threads);
        let it = studio.start(1, ROOM_RECORDED, RecordingChannels::Mono);
        studio.seconds(1);
        let [_, b, c] = [0, 1, 2].map(|it| studio.phones[it].call);
        studio.harness.engine.send(AudioOrder::Mute { room: ROOM, calls: vec![b], on: true });
        studio.seconds(1);
        studio.harness.engine.send(remove(c));
        studio.seconds(1);
        let (end, channels) = studio.stop(&it, ROOM_RECORDED);
        let found = [0, 1, 2].map(|second| tones(&channels[0], second));
        let expected = [[true, true, true], [true, false, true], [true, false, false]];
        assert_eq!(found, expected, "{threads} threads");
        assert_eq!((end.duration, end.lost_samples), (Duration::from_secs(3), 0));
    }
}

#[test]
fn a_call_says_in_the_left_channel_and_hears_in_the_right_wherever_it_is() {
    let mut studio = Studio::new(2);
    let a = studio.phones[0].call;
    let source = RecordingSource::Call(a);
    let it = studio.start(1, source, RecordingChannels::Stereo);
    studio.seconds(1);
    studio.harness.engine.send(AudioOrder::Mute { room: ROOM, calls: vec![a], on: true });
    studio.seconds(1);
    studio.harness.engine.send(remove(a));
    studio.seconds(1);
    // Another room, perhaps on another thread, with one of the others.
    let other = RoomId::of(1 << 64 | 9);
    let b = studio.phones[1].call;
    studio.harness.engine.send(place(other, &[a, b]));
    studio.seconds(2);
    let (end, channels) = studio.stop(&it, source);
    let left = [0, 1, 2, 4].map(|second| tones(&channels[0], second));
    let right = [0, 1, 2, 4].map(|second| tones(&channels[1], second));
    let own = [true, false, false];
    assert_eq!(left, [own, [false; 3], own, own], "muted in the second second");
    let others = [false, true, true];
    assert_eq!(right, [others, others, [false; 3], [false, true, false]]);
    assert_eq!((end.duration, end.lost_samples), (Duration::from_secs(5), 0));
}

/// A caller who holds us says nothing, whatever their phone sends.
#[test]
fn what_a_held_call_sends_is_not_recorded() {
    let mut studio = Studio::new(1);
    let call = studio.phones[0].call;
    let source = RecordingSource::Call(call);
    let it = studio.start(1, source, RecordingChannels::Stereo);
    let room = studio.start(2, ROOM_RECORDED, RecordingChannels::Mono);
    for held in [false, true, false] {
        let mut session = session(studio.phones[0].socket.local_addr().unwrap());
        session.agreed.held = held;
        studio.harness.engine.agree(call, session);
        studio.seconds(1);
    }
    let (end, channels) = studio.stop(&it, source);
    let found = [0, 1, 2].map(|second| tones(&channels[0], second)[0]);
    assert_eq!((found, end.duration), ([true, false, true], Duration::from_secs(3)));
    let (_, channels) = studio.stop(&room, ROOM_RECORDED);
    let found = [0, 1, 2].map(|second| tones(&channels[0], second));
    assert_eq!(found, [[true; 3], [false, true, true], [true; 3]]);
}

#[test]
fn a_message_has_what_the_caller_says_and_nothing_that_they_hear() {
    let mut studio = Studio::new(1);
    let a = studio.phones[0].call;
    let source = RecordingSource::Call(a);
    let it = studio.start(1, source, RecordingChannels::Said);
    studio.seconds(1);
    studio.harness.engine.send(remove(a));
    let program = [SoundKind::Beep(1).into()].into();
    studio.harness.engine.send(AudioOrder::Play { call: a, number: 1, program });
    studio.seconds(1);
    let (end, channels) = studio.stop(&it, source);
    assert_eq!([0, 1].map(|second| tones(&channels[0], second)), [[true, false, false]; 2]);
    let beep = amplitude(&channels[0][8_000..9_600], 8_000, 880.0);
    assert!(beep < 0.005, "the beep is not recorded: {beep}");
    assert_eq!((end.duration, channels.len()), (Duration::from_secs(2), 1));
}

#[test]
fn several_recordings_of_a_call_have_what_is_of_their_time_and_mono_is_the_sum() {
    let mut studio = Studio::new(1);
    let source = RecordingSource::Call(studio.phones[0].call);
    let first = studio.start(1, source, RecordingChannels::Mono);
    studio.seconds(1);
    let second = studio.start(2, source, RecordingChannels::Stereo);
    studio.seconds(1);
    let (end, channels) = studio.stop(&first, source);
    assert_eq!([0, 1].map(|it| tones(&channels[0], it)), [[true; 3]; 2]);
    assert_eq!((end.duration, channels.len()), (Duration::from_secs(2), 1));
    studio.seconds(1);
    let (end, channels) = studio.stop(&second, source);
    assert_eq!(tones(&channels[0], 0), [true, false, false]);
    assert_eq!(tones(&channels[1], 1), [false, true, true]);
    // One tick has passed with the end of the first.
    assert_eq!(end.duration, Duration::from_millis(2_020));
}

#[test]
fn a_pause_is_silence_and_does_not_shorten_the_file() {
    let mut studio = Studio::new(1);
    let it = studio.start(1, ROOM_RECORDED, RecordingChannels::Mono);
    studio.seconds(1);
    studio.writer.pause(it.id, true);
    studio.seconds(1);
    studio.writer.pause(it.id, false);
    studio.seconds(1);
    let (end, channels) = studio.stop(&it, ROOM_RECORDED);
    let found = [0, 1, 2].map(|second| tones(&channels[0], second));
    assert_eq!(found, [[true; 3], [false; 3], [true; 3]]);
    assert_eq!(end.duration, Duration::from_secs(3));
}

#[test]
fn a_room_that_begins_later_is_silent_until_then_and_the_file_as_long_as_the_time() {
    let mut studio = Studio::new(2);
    let other = RoomId::of(1 << 64 | 9);
    let source = RecordingSource::Room(other);
    let it = studio.start(1, source, RecordingChannels::Mono);
    studio.seconds(1);
    let calls: Vec<_> = studio.phones.iter().map(|it| it.call).collect();
    studio.harness.engine.send(place(other, &calls));
    studio.seconds(2);
    let (end, channels) = studio.stop(&it, source);
    assert_eq!([0, 2].map(|second| tones(&channels[0], second)), [[false; 3], [true; 3]]);
    assert_eq!(end.duration, Duration::from_secs(3));
}

#[test]
fn what_a_killed_process_leaves_is_repaired_up_to_its_last_second() {
    let mut studio = Studio::new(1);
    let it = studio.start(1, ROOM_RECORDED, RecordingChannels::Mono);
    studio.seconds(2);
    // As after a kill: nobody ends it. A second of it may be on its way.
    let part = PathBuf::from(format!("{}.part", it.path()));
    let settings = WriterSettings::new(studio.folder.clone());
    let written = || fs::read(settings.folder.join(&part)).unwrap();
    while written().len() < 44 + 16_000 {
        std::thread::yield_now();
    }
    drop(studio.writer);
    let before = written();
    assert_eq!(before[40..44], (before.len() as u32 - 44).to_le_bytes(), "it plays as it is");
    // Half a sample, as a write that was cut off leaves it.
    fs::write(settings.folder.join(&part), [&before[..], &[1]].concat()).unwrap();
    let end = RecordingWriter::start(settings.clone()).unwrap().repair(&it);
    assert_eq!((end.reason, end.bytes), (RecordingEndReason::Interrupted, before.len() as u64));
    assert!(Duration::from_secs(1) <= end.duration, "{end:?}");
    assert_eq!(fs::read(settings.folder.join(it.path())).unwrap(), before);
    assert!(!settings.folder.join(&part).exists());
    // A start that was itself interrupted finds the file complete.
    let again = RecordingWriter::start(settings).unwrap().repair(&it);
    assert_eq!(again, end);
}

#[test]
fn a_disk_that_does_not_answer_costs_the_fifth_second_and_no_tick() {
    let mut studio = Studio::new(1);
    let listener = studio.listener.clone();
    let gate = listener.gate.lock();
    let first = studio.start(1, ROOM_RECORDED, RecordingChannels::Mono);
    studio.seconds(1);
    studio.stop(&first, ROOM_RECORDED);

    // The writer is stuck in the end of the first. Four blocks wait for it, and no more.
    let it = studio.start(2, ROOM_RECORDED, RecordingChannels::Mono);
    studio.seconds(7);
    studio.phones.iter().for_each(Phone::check_stream);
    drop(gate);
    std::thread::sleep(CATCH_UP * 4);
    studio.seconds(1);
    let (end, channels) = studio.stop(&it, ROOM_RECORDED);
    assert_eq!(end.duration, Duration::from_secs(8));
    let found: Vec<_> = (0..8).map(|second| tones(&channels[0], second)).collect();
    assert_eq!(found[..4], [[true; 3]; 4], "they waited");
    assert_eq!(found[4..6], [[false; 3]; 2], "they are lost");
    assert_eq!(found[7], [true; 3]);
    let lost = end.lost_samples;
    assert!(lost.is_multiple_of(8_000) && (16_000..=24_000).contains(&lost), "{lost}");
}

/// Four seconds of each recording wait for the disk, so two cost nothing. Of seven, the first four are
/// kept, and the others are counted.
#[test]
fn each_of_several_recordings_waits_for_the_disk_for_four_seconds() {
    for (busy, lost) in [(2, 0..=0), (7, 2..=3)] {
        let mut studio = Studio::new(2);
        let (listener, call) = (studio.listener.clone(), studio.phones[0].call);
        let gate = listener.gate.lock();
        let first = studio.start(1, ROOM_RECORDED, RecordingChannels::Mono);
        studio.seconds(1);
        studio.stop(&first, ROOM_RECORDED);

        // The writer is stuck in the end of the first.
        let sources = [ROOM_RECORDED, RecordingSource::Call(call)];
        let room = studio.start(2, sources[0], RecordingChannels::Mono);
        let both = studio.start(3, sources[1], RecordingChannels::Stereo);
        let before = studio.phones.iter().map(|it| it.heads.len()).collect::<Vec<_>>();
        studio.seconds(busy);
        for (phone, before) in studio.phones.iter().zip(before) {
            phone.check_stream();
            assert_eq!(phone.heads.len(), before + busy * 50, "each tick has sent");
        }
        drop(gate);
        std::thread::sleep(CATCH_UP * 4);
        studio.seconds(1);
        let recordings = [(&room, [true; 3]), (&both, [true, false, false])];
        for (source, (it, said)) in sources.into_iter().zip(recordings) {
            let (end, channels) = studio.stop(it, source);
            let kept = end.lost_samples / 8_000;
            assert!(lost.contains(&kept) && end.lost_samples % 8_000 == 0, "{busy} s: {end:?}");
            let found = (0..busy.min(4)).all(|second| tones(&channels[0], second) == said);
            assert!(found, "{busy} s: the first four are there");
            assert_eq!(tones(&channels[0], busy), said, "{busy} s: and what came after");
        }
    }
}

/// On a file system of 5 MB: recordings end below the mark, the newest first, and the sound goes on.
#[test]
fn a_disk_that_recordings_fill_ends_them_and_no_call() {
    let temp = tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(temp.path(), 5) else { return };
    let settings = WriterSettings {
        free_min_mb: 2,
        free_stop_mb: 1,
        ..WriterSettings::new(disk.inside.clone())
    };
    let mut studio = Studio::with(1, temp, settings);
    let call = RecordingSource::Call(studio.phones[0].call);
    let before = studio.start(1, call, RecordingChannels::Stereo);
    studio.seconds(1);
    let (kept, _) = studio.stop(&before, call);

    let room = studio.start(2, ROOM_RECORDED, RecordingChannels::Mono);
    studio.seconds(1);
    let both = studio.start(3, call, RecordingChannels::Stereo);
    let mut ends = Vec::new();
    for second in 0.. {
        // Of five megabytes, so many seconds are more than there are.
        assert!(second < 400, "{ends:?}, {} bytes are free", disk.free());
        studio.seconds(1);
        ends.extend(studio.ends.try_iter());
        if ends.len() == 2 {
            break;
        }
    }
    studio.phones.iter().for_each(Phone::check_stream);
    let hears: Vec<_> = studio.phones.iter().map(|it| it.hears(20)).collect();
    assert_eq!(hears, [[false, true, true], [true, false, true], [true, true, false]]);

    let ids: Vec<_> = ends.iter().map(|it| it.0).collect();
    assert_eq!(ids, [both.id, room.id], "the newest first");
    for ((_, end), (it, said)) in
        ends.iter().zip([(&both, [true, false, false]), (&room, [true; 3])])
    {
        assert_eq!((end.reason, end.lost_samples), (RecordingEndReason::DiskFull, 0));
        let channels = studio.read(it, end);
        let seconds = end.duration.as_secs() as usize;
        assert_eq!(channels[0].len() / 8_000, seconds);
        let all = (0..seconds).filter(|it| tones(&channels[0], *it) == said).count();
        // A block that was on its way counts as silence.
        assert!(seconds - 1 <= all, "{all} of {seconds} seconds");
    }
    studio.read(&before, &kept);
    let no_parts = |it: &Recording| !studio.folder.join(format!("{}.part", it.path())).exists();
    assert!([&room, &both].into_iter().all(no_parts));

    let refused = studio.writer.begin(&recording(4, RecordingChannels::Mono), studio.time());
    assert!(refused.is_err(), "{} bytes are free", disk.free());
    fs::remove_file(studio.folder.join(both.path())).unwrap();
    // It looks once a second.
    let begun = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        studio.writer.begin(&recording(5, RecordingChannels::Mono), studio.time()).is_ok()
    });
    assert!(begun, "{} bytes are free", disk.free());
}
