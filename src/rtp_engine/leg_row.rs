//! Leg row: what a later process needs to go on with the sound of a call on the same ports.
//!
//! Rows are written behind, by a thread of their own: a leg is looked at when it has sent a packet, and
//! its row follows a new agreement or address at once, and the packet numbers now and then. They may be
//! old, therefore: a tick sends a known number of packets at most, so the time since the row says by how
//! much the numbers may have risen.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    media::{TICK, legs::LegSession},
    rtp::{
        g711::FRAME,
        latching::{RtpSource, RtpSourceRow},
        packet::{RtpStream, row::RtpStreamRow},
        srtp::{
            SrtpSession,
            row::{INDEXES_LEFT_OUT, SrtpRow},
        },
    },
};

/// The version of the rows that this release writes.
const VERSION: u8 = 1;

/// Ticks between rows of a leg of which nothing else has changed: of an encrypted one, whose keys must
/// not meet a packet number twice, and of a plain one.
pub(super) const TICKS_SECURE: u64 = 1 << 9;
pub(super) const TICKS_PLAIN: u64 = 1 << 11;

/// Time for all rows to be written at a handover.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(2);

/// Timestamp units of a tick.
const UNITS: u64 = FRAME as u64;

/// The state of a leg with an agreement. It has keys.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct LegRow {
    version: u8,
    /// The bound address of RTP.
    pub(super) address: SocketAddr,
    pub(super) cname: String,
    /// The numbers of the next packet.
    stream: RtpStreamRow,
    /// When that is due at the earliest, in nanoseconds of the boot clock.
    at: u64,
    pub(super) session: LegSession,
    source: RtpSourceRow,
    srtp: Option<SrtpRow>,
}

/// What is known of the row of a leg.
#[derive(Debug)]
pub(super) struct KeptLeg {
    /// The bound address of RTP.
    pub(super) address: SocketAddr,
    /// The tick in which the row is written again.
    pub(super) due_at: u64,
    /// What the row says that must not wait.
    pub(super) written: Option<WrittenLeg>,
    /// The number of the program that plays, and since when it does, as its row says.
    pub(super) playing: Option<(u32, Instant)>,
    /// The number of the program that the leg was playing in an earlier process, and how much of it
    /// was heard; None once something is played.
    pub(super) heard_before: Option<(u32, Duration)>,
}

/// The agreement and the address of a row, and whether that address is settled.
pub(super) type WrittenLeg = (Arc<LegSession>, SocketAddr, bool);

/// What a leg sends, from where, and to whom: the parts of a [`LegRow`].
pub(super) struct LegParts<'a> {
    pub(super) address: SocketAddr,
    pub(super) cname: &'a str,
    pub(super) stream: &'a RtpStream,
    /// The scheduled time of the next tick.
    pub(super) at: Instant,
    pub(super) session: &'a LegSession,
    pub(super) source: &'a RtpSource,
    pub(super) srtp: Option<&'a SrtpSession>,
}

/// What a row says of a leg, as of now.
pub(super) struct RestoredParts {
    pub(super) cname: String,
    pub(super) stream: RtpStream,
    pub(super) session: LegSession,
    pub(super) source: RtpSource,
    pub(super) srtp: Option<SrtpSession>,
}

/// When legs are restored, and what their rows are worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestorePoint {
    pub(super) now: Instant,
    pub(super) clock: BootClock,
    /// Each row was written after the last packet of its leg.
    pub(super) is_exact: bool,
}

impl LegRow {
    pub(super) fn of(parts: &LegParts<'_>, clock: BootClock) -> Self {
        let LegParts { address, cname, stream, at, session, source, srtp } = *parts;
        Self {
            version: VERSION,
            address,
            cname: cname.to_owned(),
            stream: stream.into(),
            at: clock.nanos(at),
            session: session.clone(),
            source: source.row(clock),
            srtp: srtp.map(SrtpRow::from),
        }
    }

    /// Reads a row.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        match body.first() {
            Some(&VERSION) => postcard::from_bytes(body).map_err(|error| error.to_string()),
            Some(version) => {
                Err(format!("its version is {version}, and this release reads {VERSION}"))
            }
            None => Err("it is empty".to_owned()),
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers and texts")
    }

    /// The leg of the row at a later time: as if it had sent a packet in each tick since, or none if the
    /// row is exact.
    pub(super) fn restore(self, point: RestorePoint) -> RestoredParts {
        let RestorePoint { now, clock, is_exact } = point;
        let Self { version: _, address: _, cname, stream, at, session, source, srtp } = self;
        let since = now.saturating_duration_since(clock.instant(at));
        let ticks = u64::try_from(since.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        let frame_ms = u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX);
        let per_tick = frame_ms.div_ceil(session.agreed.packet_ms.max(1).into());
        // A tick that has begun may have sent its packet.
        let sent = (ticks + 1).saturating_mul(per_tick);
        let left_out = if srtp.is_some() { INDEXES_LEFT_OUT.into() } else { 0 };
        let packets = if is_exact { 0 } else { sent.saturating_add(left_out) };
        RestoredParts {
            cname,
            stream: stream.restore(packets, ticks.wrapping_mul(UNITS) as u32),
            source: RtpSource::restored(now, source, clock),
            session,
            srtp: srtp.map(|it| it.restore(packets)),
        }
    }
}

/// The rows of legs on their way to the thread that writes them.
#[derive(Debug)]
pub(super) struct LegRowSink {
    pub(super) clock: BootClock,
    pub(super) sender: Sender<LegRowMessage>,
}

/// The sink of an engine; unset while nobody keeps rows.
pub(super) type LegRowLink = Arc<OnceLock<LegRowSink>>;

pub(super) enum LegRowMessage {
    Put(CallId, Box<LegRow>),
    /// The program with this number plays, whose first sample was heard at this time.
    Playing(CallId, u32, Instant),
    /// No program plays.
    Over(CallId),
    Gone(CallId),
    /// All rows before it must be written; then it is dropped.
    Sync(Sender<()>),
    /// The engine is dropped.
    Close,
}

impl LegRowSink {
    pub(super) fn put(&self, call: CallId, row: LegRow) {
        _ = self.sender.send(LegRowMessage::Put(call, Box::new(row)));
    }

    pub(super) fn playing(&self, call: CallId, number: u32, since: Instant) {
        _ = self.sender.send(LegRowMessage::Playing(call, number, since));
    }

    pub(super) fn over(&self, call: CallId) {
        _ = self.sender.send(LegRowMessage::Over(call));
    }

    pub(super) fn close(&self) {
        _ = self.sender.send(LegRowMessage::Close);
    }

    /// Waits until all rows are written. False: that takes longer than a disk may.
    pub(super) fn sync(&self) -> bool {
        let (sender, written) = mpsc::channel();
        _ = self.sender.send(LegRowMessage::Sync(sender));
        // Nothing comes: the other end is dropped.
        written.recv_timeout(SYNC_WAIT_MAX) == Err(RecvTimeoutError::Disconnected)
    }

    pub(super) fn gone(&self, call: CallId) {
        _ = self.sender.send(LegRowMessage::Gone(call));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use std::{env, fs, path::Path, time::Duration};

    use super::*;
    use crate::rtp::{
        g711::Law,
        latching::PacketOrigin::{Known, Moved, Stranger},
        packet::Packet,
        sdp::{
            Agreed, MediaDirection, Payload,
            crypto::{SrtpKey, SrtpKeys, SrtpSuite},
        },
        srtp::OVERHEAD_MAX,
    };
    use crate::{
        media::{BackendRow, BackendRows},
        rtp_engine::row_writer::write_rows,
    };

    fn session(packet_ms: u8, srtp: Option<SrtpKeys>) -> LegSession {
        let remote: SocketAddr = "192.0.2.9:4000".parse().unwrap();
        let agreed = Agreed {
            remote: Some(remote),
            remote_rtcp: None,
            named: None,
            rtcp_mux: true,
            law: Law::A,
            payload_type: 8,
            packet_ms,
            events: Some(101),
            accepts: vec![(8, Payload::Sound(Law::A)), (101, Payload::Events)],
            direction: MediaDirection::SendRecv,
            held: false,
            srtp,
        };
        LegSession { agreed, source: remote.ip(), is_early: false }
    }

    fn keys() -> SrtpKeys {
        let suite = SrtpSuite::AesCm128HmacSha1Tag80;
        let key = |byte| SrtpKey::new(suite, &[byte; 30]).unwrap();
        SrtpKeys { ours: key(1), theirs: key(2) }
    }

    /// The row of a leg whose phone has sent a packet from another port than it has named.
    fn row(
        at: Instant,
        clock: BootClock,
        session: &LegSession,
        srtp: Option<&SrtpSession>,
    ) -> LegRow {
        let remote = session.agreed.remote.unwrap();
        let mut source = RtpSource::new(at, remote, [remote.ip(); 2]);
        let packet = Packet {
            marker: false,
            payload_type: 8,
            sequence: 5,
            timestamp: 800,
            ssrc: 3,
            payload: &[],
        };
        source.receive(at, "192.0.2.9:4002".parse().unwrap(), &packet);
        let stream = RtpStream::new(9, 65_530, 1_000);
        let parts = LegParts {
            address: "127.0.0.1:20000".parse().unwrap(),
            cname: "0123456789abcdef01234567",
            stream: &stream,
            at,
            session,
            source: &source,
            srtp,
        };
        let row = LegRow::of(&parts, clock);
        let read = LegRow::read(&row.write()).unwrap();
        assert!(read == row, "what is written can be read");
        read
    }

    fn at(now: Instant, clock: BootClock) -> RestorePoint {
        RestorePoint { now, clock, is_exact: false }
    }

    fn next(parts: &mut RestoredParts) -> (u32, u16, u32, bool) {
        let mut out = [0; 200];
        let len = parts.stream.write(8, &[0; 20], 160, &mut out).unwrap();
        let Packet { ssrc, sequence, timestamp, marker, .. } = Packet::parse(&out[..len]).unwrap();
        (ssrc, sequence, timestamp, marker)
    }

    #[test]
    fn numbers_go_on_as_if_a_packet_had_been_sent_in_each_tick() {
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let later = BootClock::new(start + Duration::from_secs(3), 12_000_000_000);
        for (packet_ms, packets) in [(20, 151), (10, 302), (5, 604)] {
            let row = row(start, clock, &session(packet_ms, None), None);
            let mut parts = row.restore(at(start + Duration::from_secs(3), later));
            let sequence = 65_530_u16.wrapping_add(packets);
            assert_eq!(next(&mut parts), (9, sequence, 1_000 + 150 * 160, true));
            assert_eq!(parts.source.destination(), "192.0.2.9:4002".parse().unwrap());
            assert_eq!(parts.cname, "0123456789abcdef01234567");
            assert!(parts.srtp.is_none() && parts.session == session(packet_ms, None));
        }
    }

    #[test]
    fn an_exact_row_goes_on_with_the_next_number_and_the_time_that_has_passed() {
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let mut srtp = SrtpSession::default();
        srtp.agree(start, Some(&keys()));
        let point =
            RestorePoint { is_exact: true, ..at(start + Duration::from_millis(150), clock) };
        let plain = row(start, clock, &session(20, None), None);
        let secure = row(start, clock, &session(20, Some(keys())), Some(&srtp));
        for row in [plain, secure] {
            let mut parts = row.restore(point);
            assert_eq!(next(&mut parts), (9, 65_530, 1_000 + 7 * 160, true));
        }
    }

    #[test]
    fn rows_before_a_sync_are_written_when_it_returns() {
        #[derive(Default)]
        struct Counted(Arc<std::sync::atomic::AtomicUsize>);
        impl BackendRows for Counted {
            fn write(&self, rows: &[BackendRow]) {
                std::thread::sleep(Duration::from_millis(5));
                self.0.fetch_add(rows.len(), std::sync::atomic::Ordering::SeqCst);
            }
        }
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let (sender, messages) = mpsc::channel();
        let sink = LegRowSink { clock, sender };
        let count = Arc::default();
        let rows = Counted(Arc::clone(&count));
        let thread = std::thread::spawn(move || write_rows(&messages, &rows, clock, Instant::now));
        let row = row(start, clock, &session(20, None), None);
        (0..200).for_each(|it| sink.put(CallId::of(it), row.clone()));
        assert!(sink.sync());
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 200);
        sink.gone(CallId::of(1));
        sink.close();
        thread.join().unwrap();
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 201);
    }

    #[test]
    fn a_settled_address_stays_settled() {
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let mut parts = row(start, clock, &session(20, None), None).restore(at(start, clock));
        let mut from = |port: u16, ssrc, sequence| {
            let now = start + Duration::from_millis(20);
            let packet = Packet {
                marker: false,
                payload_type: 8,
                sequence,
                timestamp: 960,
                ssrc,
                payload: &[],
            };
            parts.source.receive(now, SocketAddr::from(([192, 0, 2, 9], port)), &packet)
        };
        assert_eq!(from(4_000, 8, 6), Stranger, "another stream of the same host");
        assert_eq!(from(4_002, 3, 6), Known);
        assert_eq!(from(4_004, 3, 7), Moved, "its own stream");
    }

    #[test]
    fn the_keys_of_a_row_meet_no_packet_number_twice() {
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let session = session(20, Some(keys()));
        let mut srtp = SrtpSession::default();
        srtp.agree(start, Some(&keys()));
        let (mut out, mut stream) = ([0; 200 + OVERHEAD_MAX], RtpStream::new(9, 65_529, 840));
        let len = stream.write(8, &[0; 20], 160, &mut out).unwrap();
        srtp.protect(&mut out, len).unwrap();
        let row = row(start, clock, &session, Some(&srtp));
        let mut parts = row.restore(at(start + Duration::from_secs(3), clock));
        let (_, sequence, ..) = next(&mut parts);
        assert_eq!(sequence, 65_530_u16.wrapping_add(151 + INDEXES_LEFT_OUT as u16));
        assert!(parts.srtp.is_some_and(|it| it.is_on()));
    }

    #[test]
    fn an_encrypted_call_is_understood_beyond_its_roll_over_through_crashes() {
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let (session, SrtpKeys { ours, theirs }) = (session(20, Some(keys())), keys());
        let (mut srtp, mut far) = (SrtpSession::default(), SrtpSession::default());
        srtp.agree(start, Some(&keys()));
        far.agree(start, Some(&SrtpKeys { ours: theirs, theirs: ours }));
        let remote = session.agreed.remote.unwrap();
        let source = RtpSource::new(start, remote, [remote.ip(); 2]);
        let mut stream = RtpStream::new(9, 65_000, 840);
        for sequence in [65_000, 1_039, 2_614_u16] {
            for n in 0..400 {
                let mut out = [0; 200 + OVERHEAD_MAX];
                let len = stream.write(8, &[0; 20], 160, &mut out).unwrap();
                assert_eq!(Packet::parse(&out[..len]).unwrap().sequence, sequence + n);
                let len = srtp.protect(&mut out, len).unwrap();
                let opened = far.open(start, false, &mut out[..len]);
                assert!(opened.is_ok(), "{sequence} {n}: {opened:?}");
            }
            let parts = LegParts {
                address: "127.0.0.1:20000".parse().unwrap(),
                cname: "0123456789abcdef01234567",
                stream: &stream,
                at: start,
                session: &session,
                source: &source,
                srtp: Some(&srtp),
            };
            let row = LegRow::read(&LegRow::of(&parts, clock).write()).unwrap();
            let parts = row.restore(at(start + Duration::from_secs(3), clock));
            (stream, srtp) = (parts.stream, parts.srtp.unwrap());
        }
    }

    /// What each release has written, every later one reads; `WRITE_ROWS=1` writes it.
    #[test]
    fn rows_of_earlier_releases_are_read() {
        let start = Instant::now();
        let clock = BootClock::new(start, 9_000_000_000);
        let mut srtp = SrtpSession::default();
        srtp.agree(start, Some(&keys()));
        let row = row(start, clock, &session(20, Some(keys())), Some(&srtp));
        let hex: String = row.write().iter().map(|it| format!("{it:02x}")).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rows");
        let this = folder.join(env!("CARGO_PKG_VERSION")).join("leg.hex");
        if env::var_os("WRITE_ROWS").is_some() {
            fs::write(&this, format!("{hex}\n")).unwrap();
        }
        // If it has changed, a new version is needed, and the old files stay.
        assert_eq!(fs::read_to_string(&this).unwrap().trim(), hex);
        for release in fs::read_dir(folder).unwrap() {
            let file = release.unwrap().path().join("leg.hex");
            let Ok(hex) = fs::read_to_string(&file) else { continue };
            let digits = hex.trim().as_bytes().chunks(2).map(|it| str::from_utf8(it).unwrap());
            let row: Vec<_> = digits.map(|it| u8::from_str_radix(it, 16).unwrap()).collect();
            assert!(LegRow::read(&row).is_ok(), "{}", file.display());
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_says_why() {
        assert_eq!(LegRow::read(&[]).err().unwrap(), "it is empty");
        let version = "its version is 2, and this release reads 1";
        assert_eq!(LegRow::read(&[2, 0]).err().unwrap(), version);
        assert!(LegRow::read(&[1, 0]).is_err());
    }
}
