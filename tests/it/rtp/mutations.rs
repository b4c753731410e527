//! Network mutations: valid input, mutated in thousands of ways. Nothing panics, and no input takes
//! more memory than its length explains. `SEED=7 cargo test mutations` replays one run.

use std::time::Instant;

use crate::{allocations::counted, fuzz_media, mutate};

/// For each property.
const MUTATIONS: usize = 20_000;

/// Bytes of heap allowed per byte of input, and the base.
const HEAP_PER_BYTE: u64 = 100;
const HEAP_BASE: u64 = 16_384;

#[test]
fn mutated_descriptions_are_answered_or_refused() {
    run(&descriptions(), fuzz_media::sdp);
}

#[test]
fn mutated_datagrams_are_taken_or_dropped() {
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the body counts")]
    let start = Instant::now();
    run(&sessions(), |bytes| fuzz_media::datagrams(start, bytes));
}

fn run(seeds: &[Vec<u8>], body: impl Fn(&[u8])) {
    mutate::run(seeds, PIECES, MUTATIONS, |bytes| {
        let ((), taken) = counted(|| body(bytes));
        let allowed = HEAP_BASE + HEAP_PER_BYTE * bytes.len() as u64;
        assert!(taken.bytes <= allowed, "{} of {allowed} bytes: {bytes:?}", taken.bytes);
    });
}

/// Fragments of descriptions, to be inserted where they do not belong.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "0",
    "-1",
    "65536",
    "4294967296",
    "18446744073709551616",
    " ",
    "/",
    ":",
    "m=audio 1 RTP/AVP 0\r\n",
    "a=rtpmap:",
    "a=rtpmap:0 PCMA/8000\r\n",
    "a=rtcp:",
    "a=rtcp-mux\r\n",
    "c=IN IP4 0.0.0.0\r\n",
    "c=IN IP6 ::\r\n",
    "a=inactive\r\n",
    "ÿ",
    "\0",
    "telephone-event/8000",
];

fn descriptions() -> Vec<Vec<u8>> {
    let simple = "v=0\r\no=- 3 4 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
                  m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\n\
                  a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
                  a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\na=rtcp:4001\r\n";
    let rich = "v=0\r\no=phone 3 4 IN IP4 192.0.2.7\r\ns=a call\r\ni=of some\r\n\
                u=https://example.com\r\ne=a@example.com\r\np=+1 555\r\nb=AS:64\r\nt=0 0\r\n\
                r=7d 1h 0 25h\r\nz=2882844526 -1h\r\nk=clear:x\r\na=sendonly\r\n\
                m=video 4002 RTP/AVP 31\r\nc=IN IP4 192.0.2.8\r\n\
                m=audio 4000/2 RTP/AVP 96 97 0\r\nc=IN IP4 192.0.2.9\r\na=rtpmap:96 opus/48000/2\r\n\
                a=rtpmap:97 PCMU/8000/1\r\na=rtcp-mux\r\na=inactive\r\n";
    let ours = simple.replace("0 101", "101").replace("8 ", "0 ");
    [simple, rich, &ours].map(|it| it.as_bytes().to_vec()).to_vec()
}

/// Datagrams in the format of the property: sound, events and reports, with ticks in between.
fn sessions() -> Vec<Vec<u8>> {
    let sound = |sequence: u8| {
        let mut packet = vec![0x80, 0, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 9];
        packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        packet.extend([0x20 + sequence; 160]);
        packet
    };
    let rich = [
        [0xb1, 0x80, 0, 9, 0, 0, 5, 0xa0, 0, 0, 0, 9].to_vec(),
        [0, 0, 0, 1, 0xbe, 0xde, 0, 1, 1, 2, 3, 4].to_vec(),
        vec![0x33; 40],
        vec![0, 0, 0, 4],
    ];
    let event = |sequence, end: u8, duration| {
        vec![0x80, 101, 0, sequence, 0, 0, 5, 0, 0, 0, 0, 9, 5, end | 10, 0, duration]
    };
    let mut report = vec![0x81, 200, 0, 12, 0, 0, 0, 9];
    report.extend([7; 20]);
    report.extend([0, 0, 0, 1, 9, 0xff, 0xff, 0xff]);
    report.extend([1; 16]);
    report.extend([0x81, 202, 0, 2, 0, 0, 0, 9, 1, 1, b'x', 0, 0x81, 203, 0, 1, 0, 0, 0, 9]);

    let tick = &[0xff, 0xff][..];
    let datagram = |it: Vec<u8>| [&(it.len() as u16).to_be_bytes()[..], &it].concat();
    let talk: Vec<u8> =
        (0..6).flat_map(|it| [datagram(sound(it)), tick.to_vec()].concat()).collect();
    let keys = [event(1, 0, 160), event(2, 0x80, 240), event(3, 0x80, 240)].map(datagram).concat();
    let reports = [datagram(report), datagram(vec![0x80, 201, 0, 1, 0, 0, 0, 9])].concat();
    let odd = datagram(rich.concat());
    vec![
        talk.clone(),
        [&talk[..], &keys, &talk, tick].concat(),
        [&odd[..], tick, &odd, tick, tick, tick].concat(),
        reports.clone(),
        [&reports[..], &talk, &keys, &odd].concat(),
    ]
}
