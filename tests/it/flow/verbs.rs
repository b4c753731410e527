//! Verb tables: the rows from which the parser, the warnings and the reference are made.

use conflow::{
    base::ids::Dialect,
    flow::{
        AttrKind, Flow, FlowWarningKind, Verb,
        verbs::{ALL, RESPONSE, TextKind, VerbInfo},
    },
};

const DIALECTS: [Dialect; 2] = [Dialect::Plivo, Dialect::Vobiz];

/// The warnings for a verb with one attribute stated.
fn warnings(dialect: Dialect, verb: &VerbInfo, attribute: &str) -> Vec<FlowWarningKind> {
    let text = match verb.text {
        TextKind::Digits => "1",
        TextKind::None => "",
        TextKind::Room | TextKind::Words => "weekly",
        TextKind::Url => "flow:a",
    };
    let tag = verb.tag;
    // The target of a branch must exist.
    let is_branch =
        verb.attrs.iter().any(|it| it.kind == AttrKind::Element && attribute.starts_with(it.name));
    let id = attribute.split('"').nth(1).filter(|_| is_branch);
    let target = id.map_or_else(String::new, |id| format!("<Hangup id='{id}'/>"));
    let document = format!("<Response><{tag} {attribute}>{text}</{tag}>{target}</Response>");
    let flow = Flow::parse(&document, dialect).unwrap_or_else(|error| panic!("{tag}: {error}"));
    flow.warnings.iter().map(|it| it.warning.clone()).collect()
}

fn verbs() -> impl Iterator<Item = &'static VerbInfo> {
    ALL.iter().filter(|info| RESPONSE.children.contains(&info.tag))
}

#[test]
fn every_example_and_default_is_understood() {
    let mut rows = 0;
    for (verb, dialect) in verbs().flat_map(|verb| DIALECTS.map(|dialect| (verb, dialect))) {
        for attr in verb.attrs {
            for value in [Some(attr.example), attr.default(dialect)].into_iter().flatten() {
                let attribute = format!("{}=\"{value}\"", attr.name);
                let is_bad = |warning: &FlowWarningKind| {
                    matches!(
                        warning,
                        FlowWarningKind::AttributeUnknown { .. }
                            | FlowWarningKind::AttributeValue { .. }
                    )
                };
                let bad: Vec<_> =
                    warnings(dialect, verb, &attribute).into_iter().filter(is_bad).collect();
                assert_eq!(bad, [], "<{} {attribute}>", verb.tag);
                rows += 1;
            }
        }
    }
    assert!(100 < rows, "{rows} rows");
}

#[test]
fn a_stated_default_changes_nothing() {
    for (verb, dialect) in verbs().flat_map(|verb| DIALECTS.map(|dialect| (verb, dialect))) {
        for attr in verb.attrs {
            let Some(default) = attr.default(dialect) else { continue };
            let attribute = format!("{}=\"{default}\"", attr.name);
            let mut expected = warnings(dialect, verb, "");
            // The warning asks the author to state what is expected.
            expected.retain(
                |it| !matches!(it, FlowWarningKind::AttributeMissing { name, .. } if *name == attr.name),
            );
            assert_eq!(warnings(dialect, verb, &attribute), expected, "<{} {attribute}>", verb.tag);
        }
    }
}

#[test]
fn every_row_is_documented() {
    for verb in ALL {
        assert!(!verb.doc.trim().is_empty(), "{}", verb.tag);
        assert!(0 < verb.parents().count(), "{}", verb.tag);
        for attr in verb.attrs {
            assert!(attr.doc.trim_end().ends_with('.'), "{} {}", verb.tag, attr.name);
            assert!(!attr.example.is_empty(), "{} {}", verb.tag, attr.name);
        }
        let mut names: Vec<_> = verb.attrs.iter().map(|attr| attr.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), verb.attrs.len(), "{} has a row twice", verb.tag);
    }
}

#[test]
fn every_element_of_the_contract_exists() {
    let tags: Vec<_> = ALL.iter().map(|info| info.tag).collect();
    let expected = [
        "Conference",
        "Dial",
        "DTMF",
        "Gather",
        "GetDigits",
        "GetInput",
        "Hangup",
        "Message",
        "MultiPartyCall",
        "Play",
        "PreAnswer",
        "Record",
        "Redirect",
        "Speak",
        "Stream",
        "Wait",
        "Number",
        "User",
    ];
    assert_eq!(tags, expected);
    let parents = |tag| VerbInfo::of(tag).unwrap().parents().collect::<Vec<_>>();
    assert_eq!(parents("Number"), ["Dial"]);
    assert_eq!(parents("Conference"), ["Response"]);
    assert_eq!(parents("Wait"), ["Response", "Gather", "GetDigits", "GetInput", "PreAnswer"]);
}

#[test]
fn conference_has_every_attribute_of_the_contract() {
    let conference = VerbInfo::of("Conference").unwrap();
    for name in [
        "muted",
        "enterSound",
        "exitSound",
        "beep",
        "startConferenceOnEnter",
        "endConferenceOnExit",
        "stayAlone",
        "waitSound",
        "waitMethod",
        "maxMembers",
        "maxParticipants",
        "record",
        "recordFileFormat",
        "recordWhenAlone",
        "timeLimit",
        "hangupOnStar",
        "action",
        "method",
        "redirect",
        "callbackUrl",
        "callbackMethod",
        "digitsMatch",
        "floorEvent",
        "relayDTMF",
        "sendDigits",
        "transcriptionType",
        "transcriptionUrl",
        "transcriptionMethod",
    ] {
        assert!(conference.attrs.iter().any(|attr| attr.name == name), "{name}");
    }
}

#[test]
fn a_sound_document_is_its_sounds() {
    let document = "<Response><Speak>a</Speak><Hangup/><Wait/><PreAnswer><Play>sound:ring</Play>\
                    </PreAnswer><Play>no</Play></Response>";
    let flow = Flow::parse(document, Dialect::Vobiz).unwrap();
    assert_eq!(flow.sounds().len(), 3);
    let tags: Vec<_> = flow.steps.iter().map(|step| step.verb.info().tag).collect();
    assert_eq!(tags, ["Speak", "Hangup", "Wait", "PreAnswer", "Play", "Play"]);
    let answering = |verb: &&Verb| verb.answers();
    assert_eq!(flow.steps.iter().map(|step| &step.verb).filter(answering).count(), 3);
}
