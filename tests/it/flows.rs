//! The flows that come with conflow: all of them run, and lead to where there is something.

use std::{fs, path::Path};

use conflow::{flow::Flow, ids::Dialect};

const FLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/flows");

/// The name and the text of each.
fn flows() -> Vec<(String, String)> {
    let paths = fs::read_dir(FLOWS).unwrap().map(|entry| entry.unwrap().path());
    let flow = |path: &Path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.map(|path| flow(&path)).collect()
}

#[test]
fn they_are_flows_and_nothing_in_them_is_odd() {
    let flows = flows();
    assert!(6 < flows.len());
    for (name, text) in &flows {
        let flow = Flow::parse(text, Dialect::Vobiz).unwrap_or_else(|it| panic!("{name}: {it}"));
        let remarks: Vec<_> = flow.remarks.iter().map(ToString::to_string).collect();
        assert!(remarks.is_empty(), "{name}: {remarks:?}");
        Flow::parse(text, Dialect::Plivo).unwrap_or_else(|it| panic!("{name}: {it}"));
    }
}

#[test]
fn they_teach_and_lead_to_each_other() {
    let flows = flows();
    let is_there = |name: &str| flows.iter().any(|(it, _)| it == name);
    assert!(is_there("default") && is_there("kick"));
    for (name, text) in &flows {
        assert!(text.contains("<!--"), "{name} has no comment");
        for rest in text.split("flow:").skip(1) {
            let target = rest.split(['"', '<', ' ']).next().unwrap();
            assert!(is_there(target), "{name} leads to {target}, which is not there");
        }
    }
}

#[test]
fn the_first_is_that_of_the_documents() {
    let (_, text) = flows().into_iter().find(|(name, _)| name == "kick").unwrap();
    let seed = r#"<Response>
    <Conference enterSound="beep:1">MyConference</Conference>
    <Speak>You have been disconnected from the conference</Speak>
</Response>
"#;
    assert!(text.ends_with(seed), "{text}");
}
