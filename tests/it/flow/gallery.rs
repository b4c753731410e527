//! Gallery: the flows that come with conflow. Every element is run, every target exists, and each
//! flow goes as its events file in `tests/flows/gallery` says.
//!
//! `NAME.toml` there is an events file for `NAME.xml`, and `NAME.golden` the expected outcome.
//! `UPDATE=1 cargo test --test it gallery` rewrites the golden files.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use conflow::{
    base::ids::Dialect,
    conference::KickTarget,
    flow::Flow,
    simulate::{
        Schedule, Script, ScriptAction, ScriptMemberCommand, SimulatedFlows, SimulationReport,
        explore, run,
    },
};

use crate::simulate::script;

const FLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/flows");
const GALLERY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/gallery");

/// Elements that no events file reaches. A simulation has no groups, so nobody is admitted to this
/// room; `api/groups/kicks.rs` kicks its members.
const NOT_SIMULATED: [&str; 2] = ["members-only 13:3 Speak", "members-only 14:3 Hangup"];

/// The files of a folder with this ending: names without the ending, and paths.
fn files(folder: &str, extension: &str) -> BTreeMap<String, PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wanted = paths.filter(|it| it.extension().is_some_and(|it| it == extension));
    wanted.map(|it| (it.file_stem().unwrap().to_str().unwrap().to_owned(), it)).collect()
}

/// The name and the text of each flow.
fn flows() -> Vec<(String, String)> {
    let texts = files(FLOWS, "xml").into_iter();
    texts.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

/// For each flow with an events file: its name, the events, and the path of its golden file.
fn scripts() -> Vec<(String, Arc<Script>, PathBuf)> {
    let all = files(GALLERY, "toml").into_iter();
    all.map(|(name, path)| (name, script(&path), path.with_extension("golden"))).collect()
}

fn simulated_flows() -> Arc<SimulatedFlows> {
    Arc::new(SimulatedFlows::new(Path::new(FLOWS)))
}

fn report(name: &str, script: &Arc<Script>) -> SimulationReport {
    run(script, &simulated_flows(), name, Schedule::Orderly).unwrap()
}

#[test]
fn the_flows_are_valid_and_have_no_warning() {
    let flows = flows();
    assert!(6 < flows.len());
    for (name, text) in &flows {
        let flow = Flow::parse(text, Dialect::Vobiz).unwrap_or_else(|it| panic!("{name}: {it}"));
        let warnings: Vec<_> = flow.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        Flow::parse(text, Dialect::Plivo).unwrap_or_else(|it| panic!("{name}: {it}"));
    }
}

#[test]
fn the_flows_have_comments_and_their_targets_exist() {
    let flows = flows();
    let is_there = |name: &str| flows.iter().any(|(it, _)| it == name);
    assert!(is_there("default") && is_there("kick"));
    for (name, text) in &flows {
        assert!(text.contains("<!--"), "{name} has no comment");
        for rest in text.split("flow:").skip(1) {
            let target = rest.split(['"', '<', ' ']).next().unwrap();
            assert!(is_there(target), "{name} leads to {target}, which does not exist");
        }
    }
}

#[test]
fn the_kick_flow_is_the_one_in_the_documents() {
    let (_, text) = flows().into_iter().find(|(name, _)| name == "kick").unwrap();
    let seed = r#"<Response>
    <Conference enterSound="beep:1">MyConference</Conference>
    <Speak>You have been disconnected from the conference</Speak>
</Response>
"#;
    assert!(text.ends_with(seed), "{text}");
}

#[test]
fn the_flows_go_as_their_golden_files_say() {
    for (name, script, golden) in scripts() {
        let report = report(&name, &script).to_string();
        match env::var_os("UPDATE") {
            Some(_) => fs::write(&golden, report).unwrap(),
            None => {
                let expected = fs::read_to_string(&golden).unwrap_or_default();
                assert_eq!(report, expected, "{}: UPDATE=1 rewrites it", golden.display());
            }
        }
    }
}

#[test]
fn every_element_is_run_by_an_events_file() {
    let mut ran = BTreeSet::new();
    let mut heard = BTreeSet::new();
    for (main, script, _) in scripts() {
        let report = report(&main, &script);
        for (caller, it) in script.callers.iter().zip(&report.callers) {
            for step in &it.steps {
                let flow = match &step.url {
                    None if step.document == 1 => caller.flow.as_deref().unwrap_or(&main),
                    None => continue,
                    Some(url) => match url.strip_prefix("flow:") {
                        Some(name) => name,
                        None => continue,
                    },
                };
                ran.insert(format!("{flow} {}:{} {}", step.line, step.column, step.element));
            }
        }
        for note in &report.log {
            heard.extend(note.what.split_once(" asks flow:").map(|(_, name)| name.to_owned()));
        }
    }
    ran.extend(NOT_SIMULATED.map(str::to_owned));

    for (name, text) in flows() {
        // A sound document is played as a whole.
        let is_sound = name.ends_with("-sound");
        assert!(!is_sound || heard.contains(&name), "no events file plays {name}");
        let flow = Flow::parse(&text, Dialect::Vobiz).unwrap();
        for step in flow.steps.iter().filter(|_| !is_sound) {
            let element = format!("{name} {} {}", step.at, step.verb.info().tag);
            assert!(ran.contains(&element), "no events file reaches {element}");
        }
    }
}

#[test]
fn no_flow_depends_on_the_schedule() {
    for (name, script, _) in scripts() {
        let explored = explore(&script, &simulated_flows(), &name, 20).unwrap();
        assert!(explored.is_settled(), "{name}: {explored}");
    }
}

#[test]
fn the_flow_of_the_branches_takes_every_way_out_and_kicks_in_every_way() {
    let (name, script, _) = scripts().into_iter().find(|(name, ..)| name == "branches").unwrap();
    let report = report(&name, &script);
    let steps = report.callers.iter().flat_map(|it| &it.steps);
    let rooms = steps.filter(|it| it.element == "Conference").filter_map(|it| it.ended);
    let causes: BTreeSet<_> = rooms.collect();
    for cause in ["kicked", "ended", "time-up", "alone", "starred", "full", "banned"] {
        assert!(causes.contains(cause), "no call leaves by {cause}: {causes:?}");
    }

    let kicks = script.events.iter().filter_map(|it| {
        let ScriptAction::Ask { command: ScriptMemberCommand::Kick(kick), .. } = &it.action else {
            return None;
        };
        Some(match kick.target {
            KickTarget::Flow => "nothing",
            KickTarget::Element(_) => "element",
            KickTarget::Document(_) => "xml",
            KickTarget::Fetch(_) => "url",
            KickTarget::HangUp => "hangup",
        })
    });
    let forms: BTreeSet<_> = kicks.collect();
    assert_eq!(forms, BTreeSet::from(["nothing", "element", "xml", "url", "hangup"]));
}

#[test]
fn the_tutorial_has_all_of_them_and_quotes_correctly() {
    let text = fs::read_to_string(Path::new(FLOWS).join("README.md")).unwrap();
    for (name, _) in flows() {
        assert!(text.contains(&format!("({name}.xml)")), "the tutorial does not have {name}.xml");
    }
    let mut sources: Vec<_> = flows().into_iter().map(|(_, text)| text).collect();
    sources.extend(files(GALLERY, "golden").values().map(|it| fs::read_to_string(it).unwrap()));
    sources.extend(files(GALLERY, "toml").values().map(|it| fs::read_to_string(it).unwrap()));
    let mut quotes = 0;
    for fence in ["```xml\n", "```text\n", "```toml\n"] {
        for rest in text.split(fence).skip(1) {
            let quote = rest.split("```").next().unwrap();
            let is_there = sources.iter().any(|it| it.contains(quote));
            assert!(is_there, "no flow, events file or golden file has:\n{quote}");
            quotes += 1;
        }
    }
    assert!(10 < quotes, "the tutorial quotes little");
}
