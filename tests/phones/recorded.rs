//! Recordings of three baresips, as sox and ffprobe read them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    baresip::{Baresip, samples},
    ear::hears,
    program::{Conflow, beside_others, eventually},
};

const MEETING: &str = "<Response><Conference stayAlone=\"true\">meeting</Conference></Response>";

const TONES: [(&str, f64); 3] = [("anna", 500.0), ("bert", 1_100.0), ("carl", 1_900.0)];

/// The time between two changes.
const PART: Duration = Duration::from_secs(2);

/// The begin and the length in milliseconds of what is listened to in a part, apart from changes.
const LISTEN_MS: (usize, usize) = (700, 1_000);

/// Starts a recording; returns its id.
fn record(conflow: &Conflow, path: &str, channels: &str) -> String {
    let body = format!(r#"{{"file_format":"wav","record_channel_type":"{channels}"}}"#);
    let (status, body) = conflow.ask("POST", "api/v1", &format!("{path}/Record/"), &body);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["recording_id"].as_str().unwrap().to_owned()
}

/// The file of a complete recording.
pub(crate) fn file(folder: &Path, id: &str) -> PathBuf {
    let name = format!("{id}.wav");
    eventually(&name, || {
        let mut found = vec![folder.join("recordings")];
        while let Some(path) = found.pop() {
            if path.ends_with(&name) {
                return Some(path);
            }
            found.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|it| it.path()));
        }
        None
    })
}

/// The output of a program.
fn run(program: &str, arguments: &[&str], file: &Path) -> String {
    let run = Command::new(program).args(arguments).arg(file).output();
    let run = run.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(run.status.success(), "{program}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

/// The samples of a channel, after two other programs have read the file.
#[track_caller]
pub(crate) fn read(file: &Path, channels: usize, took: Duration) -> Vec<Vec<i16>> {
    let about = |what| run("sox", &["--i", what], file);
    assert_eq!([about("-r"), about("-c"), about("-b")], ["8000", &*channels.to_string(), "16"]);
    let seconds: f64 = about("-D").parse().unwrap();
    let late = took.as_secs_f64() - seconds;
    assert!((-0.02..0.5).contains(&late), "{seconds} s of {took:?}");
    let entries = "stream=codec_name,sample_rate,channels:format=duration";
    let probe = ["-v", "error", "-show_entries", entries, "-of", "default=nw=1:nk=1"];
    let probed = run("ffprobe", &probe, file);
    let lines: Vec<_> = probed.lines().collect();
    assert_eq!(lines[..3], ["pcm_s16le", "8000", &*channels.to_string()]);
    assert!((lines[3].parse::<f64>().unwrap() - seconds).abs() < 0.001, "{probed}");
    let bytes = fs::read(file).unwrap();
    let all: Vec<_> =
        bytes[44..].chunks_exact(2).map(|it| i16::from_le_bytes([it[0], it[1]])).collect();
    let channel = |n: usize| all.iter().skip(n).step_by(channels).copied().collect();
    (0..channels).map(channel).collect()
}

/// Which tones are in each of the three parts.
fn tones(who: &str, channel: &[i16]) -> [[bool; 3]; 3] {
    [0, 1, 2].map(|part: usize| {
        let from = samples(part * PART.as_millis() as usize + LISTEN_MS.0);
        let heard = &channel[from..from + samples(LISTEN_MS.1)];
        TONES.map(|(_, tone)| hears(&format!("{who}, part {part}"), heard, tone))
    })
}

#[test]
fn a_room_and_a_call_are_recorded_while_one_is_muted_and_one_kicked() {
    let _share = beside_others();
    let conflow = Conflow::start(&[("meeting", MEETING)]);
    let _phones = TONES.map(|(user, tone)| Baresip::call(conflow.sip, "meeting", user, tone));
    let [_, bert, carl] = conflow.wait_members("meeting", TONES.map(|it| it.0));
    let (_, room) = conflow.ask("GET", "api/v1", "Conference/meeting/", "");
    let room: Value = serde_json::from_str(&room).unwrap();
    let mut members = room["members"].as_array().unwrap().iter();
    let anna = members.find(|it| it["from"].as_str().unwrap().contains("anna")).unwrap();
    let call = anna["call_uuid"].as_str().unwrap();
    thread::sleep(Duration::from_millis(500));

    let begin = Instant::now();
    let mix = record(&conflow, "Conference/meeting", "mono");
    let both = record(&conflow, &format!("Call/{call}"), "stereo");
    let until =
        |part: u32| thread::sleep((begin + PART * part).saturating_duration_since(Instant::now()));
    until(1);
    conflow.order("POST", "meeting", &format!("Member/{bert}/Mute/"));
    until(2);
    conflow.order("POST", "meeting", &format!("Member/{carl}/Kick/"));
    until(3);
    conflow.order("DELETE", "meeting", "Record/");
    let (status, _) = conflow.ask("DELETE", "api/v1", &format!("Call/{call}/Record/"), "");
    assert_eq!(status, 204);
    let took = begin.elapsed();

    let data = conflow.data();
    let parts = [[true, true, true], [true, false, true], [true, false, false]];
    let mix = read(&file(&data, &mix), 1, took);
    assert_eq!(tones("the mix", &mix[0]), parts);
    let both = read(&file(&data, &both), 2, took);
    assert_eq!(tones("anna says", &both[0]), [[true, false, false]; 3]);
    let heard = [[false, true, true], [false, false, true], [false; 3]];
    assert_eq!(tones("anna hears", &both[1]), heard);
}
