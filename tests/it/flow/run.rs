//! Flow runs against transcripts: events, and the effects that follow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::{Dialect, RecordingId},
    flow::{
        AfterExit, Cause, DocumentError, DocumentRequest, Effect, Exit, Flow, FlowEvent, Purpose,
        RecordReport, RecordedEnd, RecordedFacts, RequestMethod, Run,
    },
    media::{Ending, Sound, SoundKind},
};

pub(crate) const V: Dialect = Dialect::Vobiz;

/// Runs a document's elements against a transcript. A line `> …` is an event: the start, then those
/// that [`FlowRunner::event`] parses. The lines below it are the effects, one each.
#[track_caller]
pub(crate) fn check(dialect: Dialect, elements: &str, expected: &str) {
    let mut runner = FlowRunner::new(dialect);
    let mut transcript = String::new();
    let expected = expected.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    for line in expected.lines().filter_map(|line| line.strip_prefix("> ")) {
        transcript += &format!("> {line}\n");
        let event = match line {
            "start" => fetched(dialect, elements),
            _ => runner.event(line),
        };
        runner.happens(event).iter().for_each(|effect| transcript += &format!("{effect}\n"));
    }
    assert_eq!(transcript.trim(), expected, "{elements}");
}

pub(crate) fn fetched(dialect: Dialect, elements: &str) -> FlowEvent {
    let flow = Flow::parse(&format!("<Response>{elements}</Response>"), dialect).unwrap();
    FlowEvent::Fetched(Ok(Arc::new(flow)))
}

/// A run with a virtual clock.
pub(crate) struct FlowRunner {
    dialect: Dialect,
    pub(crate) run: Run,
    pub(crate) now: Instant,
}

impl FlowRunner {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, run: Run::new(dialect), now: Instant::now() }
    }

    pub(crate) fn event(&mut self, line: &str) -> FlowEvent {
        if let Some(seconds) = line.strip_prefix('+') {
            self.now += Duration::from_secs_f64(seconds.parse().unwrap());
            return FlowEvent::Tick;
        }
        match line.split_once(' ').unwrap_or((line, "")) {
            ("document", elements) => fetched(self.dialect, elements),
            ("invalid", _) => {
                let error = Flow::parse("", V).unwrap_err();
                FlowEvent::Fetched(Err(DocumentError::Invalid(Arc::new(error))))
            }
            ("key", key) => FlowEvent::Digit(key.parse().unwrap()),
            ("left", words) => {
                let (cause, reason) = words.split_once(' ').unwrap_or((words, ""));
                let cause = *Cause::ALL.iter().find(|it| it.text() == cause).unwrap();
                let reason = (!reason.is_empty()).then(|| reason.into());
                FlowEvent::Left(Exit { reason, ..Exit::from(cause) })
            }
            ("over", _) => FlowEvent::Over,
            ("begun", _) => FlowEvent::Recording(RecordReport::Begun(facts(None))),
            ("recorded", words) => {
                let (reason, ms) = words.split_once(' ').unwrap();
                let reason = String::from(reason).leak();
                let length = Duration::from_millis(ms.parse().unwrap());
                let end = Some(RecordedEnd { length, reason });
                FlowEvent::Recording(RecordReport::Over(facts(end)))
            }
            ("refused", _) => FlowEvent::Recording(RecordReport::Refused),
            ("silence", _) => FlowEvent::Talk(false),
            ("talk", _) => FlowEvent::Talk(true),
            ("not-url", _) => FlowEvent::Fetched(Err(DocumentError::NotUrl("a".into()))),
            ("unreachable", _) => FlowEvent::Fetched(Err(DocumentError::Unreachable("no".into()))),
            _ => panic!("not an event: {line:?}"),
        }
    }

    pub(crate) fn happens(&mut self, event: FlowEvent) -> Vec<String> {
        let mut effects = Vec::new();
        self.run.handle(self.now, event, &mut effects);
        // Only traces use it; the request has the entered text too.
        effects.retain(|it| !matches!(it, Effect::Entered(_)));
        effects.iter().map(show).collect()
    }
}

/// Of a recording that began a second after 1970.
fn facts(end: Option<RecordedEnd>) -> RecordedFacts {
    let id = Some(RecordingId::of(7));
    RecordedFacts { id, url: "http://a/7.wav".into(), start_ms: Some(1_000), end }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Begin { step } => format!("begin {step}"),
        Effect::Answer => "answer".to_owned(),
        Effect::Dial(options) => format!("dial {}", options.destinations[0].to),
        Effect::EarlyMedia => "early media".to_owned(),
        Effect::Play(program) => format!("play {}", show_program(program)),
        Effect::Prepare(program) => format!("prepare {}", show_program(program)),
        Effect::Stop => "stop".to_owned(),
        Effect::Entered(digits) => format!("entered {digits}"),
        Effect::SendDigits { digits, awaits } => format!("send {digits}, awaits {awaits}"),
        Effect::Join { room, options: entry } => format!("join {room}, muted {}", entry.muted),
        Effect::Fetch(request) => format!("fetch {}", show_request(request)),
        Effect::Notify(request) => format!("notify {}", show_request(request)),
        Effect::Record(options) => format!("record {:?} {:?}", options.kind, options.channels),
        Effect::StopRecording(why) => format!("stop recording: {why:?}"),
        Effect::Schedule(after) => format!("schedule {after:?}"),
        Effect::End(Ending { cause, source }) => format!("end {} {}", cause.code(), source.text()),
    }
}

fn show_program(program: &[Sound]) -> String {
    program.iter().map(show_sound).collect::<Vec<_>>().join(", ")
}

fn show_sound(sound: &Sound) -> String {
    let what = match &sound.what {
        SoundKind::Beep(beep) => format!("beep {beep}"),
        SoundKind::Silence(length) => format!("silence {length:?}"),
        SoundKind::Url(url) => url.to_string(),
        SoundKind::Speech { text, voice, language } => format!("{text:?} {voice} {language}"),
    };
    match sound.times {
        1 => what,
        times => format!("{what} x{times}"),
    }
}

fn show_request(request: &DocumentRequest) -> String {
    let DocumentRequest { url, method, purpose, fields, is_private } = request;
    let method = match method {
        RequestMethod::Get => "GET ",
        RequestMethod::Post => "",
    };
    let purpose = match purpose {
        Purpose::Action => "action",
        Purpose::Answer => "answer",
        Purpose::Kick => "kick",
        Purpose::Redirect => "redirect",
        Purpose::Sound => "sound",
        Purpose::Transfer => "transfer",
    };
    let fields = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
    let private = if *is_private { " private" } else { "" };
    format!("{method}{url} {purpose}{fields}{private}")
}

#[test]
fn a_kicked_caller_hears_the_next_element() {
    check(
        V,
        "<Conference>a b</Conference><Speak>bye</Speak>",
        "> start
        begin 0
        answer
        prepare \"bye\" WOMAN en-US
        join a b, muted false
        > left kicked
        begin 1
        play \"bye\" WOMAN en-US
        > over
        end 4010 Vobiz",
    );
}

#[test]
fn the_end_of_the_elements_is_the_end_of_the_call() {
    for (dialect, expected) in [
        (V, "> start\nanswer\nend 4010 Vobiz"),
        (Dialect::Plivo, "> start\nanswer\nend 4010 Plivo"),
    ] {
        check(dialect, "", expected);
    }
    let begin = "> start\nbegin 0\nanswer\njoin a, muted false\n> left";
    for (cause, ending) in [("kicked", 4010), ("full", 4010), ("drained", 4010), ("fault", 5010)] {
        check(V, "<Conference>a</Conference>", &format!("{begin} {cause}\nend {ending} Vobiz"));
    }
    let expected = "> left fault\nbegin 1\nsend 1, awaits false\nend 4010 Vobiz";
    let elements = "<Conference>a</Conference><DTMF>1</DTMF>";
    check(V, elements, &format!("> start\nbegin 0\nanswer\njoin a, muted false\n{expected}"));
}

#[test]
fn a_conference_requests_its_action() {
    check(
        V,
        r#"<Conference action="flow:left" method="GET">a</Conference><Speak>never</Speak>"#,
        "> start
        begin 0
        answer
        join a, muted false
        > left kicked too loud
        fetch GET flow:left action ConferenceName=a ConferenceExitCause=kicked ConferenceExitReason=too loud
        > document <Hangup/>
        begin 0
        end 4000 Answer XML",
    );
    check(
        V,
        r#"<Conference action="http://a/b" redirect="false">a</Conference><Speak>c</Speak>"#,
        "> start
        begin 0
        answer
        prepare \"c\" WOMAN en-US
        join a, muted false
        > left full
        notify http://a/b action ConferenceName=a ConferenceExitCause=full
        begin 1
        play \"c\" WOMAN en-US",
    );
    check(
        V,
        r#"<Conference action="http://a/b" redirect="false">a</Conference>"#,
        "> start
        begin 0
        answer
        join a, muted false
        > left fault
        notify http://a/b action ConferenceName=a ConferenceExitCause=fault
        end 5010 Vobiz",
    );
}

#[test]
fn a_call_that_has_ended_runs_nothing_more() {
    check(
        V,
        "<Conference>a</Conference><Speak>b</Speak>",
        "> start
        begin 0
        answer
        prepare \"b\" WOMAN en-US
        join a, muted false
        > left caller-left",
    );
    check(
        V,
        "<Hangup/>",
        "> start\nbegin 0\nend 4000 Answer XML\n> over\n> document <Speak>a</Speak>\n> +9",
    );
}

#[test]
fn a_sound_is_played_to_its_end() {
    check(
        V,
        r#"<Play loop="0">sound:hold</Play><Speak voice="MAN" language="fr-FR" loop="2"> a  b </Speak>
        <Speak/><Play>nothing</Play><Wait/>"#,
        "> start
        begin 0
        answer
        play sound:hold x0
        > key 1
        > talk
        > left kicked
        > +99
        > document <Hangup/>
        > over
        begin 1
        play \"a b\" MAN fr-FR x2
        > over
        begin 2
        begin 3
        begin 4",
    );
}

#[test]
fn a_wait_ends_by_time() {
    check(
        V,
        r#"<Wait length="30"/><Hangup/>"#,
        "> start
        begin 0
        > over
        > silence
        > +29.9
        > +0.1
        begin 1
        end 4000 Answer XML",
    );
}

#[test]
fn a_wait_ends_by_silence() {
    let elements = r#"<Wait length="30" silence="true" minSilence="3000"/><Hangup/>"#;
    let end = "begin 1\nend 4000 Answer XML";
    check(V, elements, &format!("> start\nbegin 0\n> +2.9\n> +0.1\n{end}"));
    let expected = "> start\nbegin 0\n> +2.9\n> talk\n> +20\n> silence\n> +2.9\n> +0.1\n";
    check(V, elements, &format!("{expected}{end}"));
    check(V, elements, &format!("> start\nbegin 0\n> talk\n> +29.9\n> +0.1\n{end}"));
    check(
        V,
        r#"<Wait length="30" silence="true"/><Hangup/>"#,
        &format!("> start\nbegin 0\n> +2\n{end}"),
    );
    // Plivo has no default: without a duration of silence it is a plain wait.
    let plain = format!("> start\nbegin 0\n> +29.9\n> +0.1\n{end}");
    check(Dialect::Plivo, r#"<Wait length="30" silence="true"/><Hangup/>"#, &plain);
}

#[test]
fn early_elements_do_not_answer() {
    check(
        V,
        "<PreAnswer><Speak>a</Speak><DTMF>1</DTMF><Wait/></PreAnswer><Wait/><Speak>b</Speak>",
        "> start
        begin 0
        early media
        begin 1
        play \"a\" WOMAN en-US
        > over
        begin 2
        send 1, awaits false
        begin 3
        > +1
        begin 4
        > +1
        begin 5
        answer
        play \"b\" WOMAN en-US",
    );
}

#[test]
fn every_verb_answers_except_four() {
    for verb in ["<Wait/>", "<Hangup/>", "<PreAnswer/>", "<Dial>1</Dial>"] {
        let mut runner = FlowRunner::new(V);
        assert!(!runner.happens(fetched(V, verb)).contains(&"answer".to_owned()), "{verb}");
    }
    for verb in [
        "<Conference>a</Conference>",
        "<DTMF>1</DTMF>",
        "<Gather/>",
        "<GetDigits/>",
        "<GetInput/>",
        "<Message/>",
        "<MultiPartyCall/>",
        "<Play/>",
        "<Record/>",
        "<Redirect/>",
        "<Speak/>",
        "<Stream/>",
    ] {
        let mut runner = FlowRunner::new(V);
        assert_eq!(runner.happens(fetched(V, verb))[..2], ["begin 0", "answer"], "{verb}");
    }
}

#[test]
fn a_hangup_gives_a_reason_before_the_answer() {
    let end = |source: &str| format!("> start\nbegin 0\nend {source} Answer XML");
    check(V, "<Hangup/>", &end("4000"));
    check(V, r#"<Hangup reason="busy"/>"#, &end("3010"));
    check(V, r#"<Hangup reason="rejected"/>"#, &end("3020"));
    check(V, r#"<Hangup reason="bored"/>"#, &end("4000"));
    let expected = "> start\nbegin 0\nanswer\nbegin 1\nend 4000 Answer XML";
    check(V, r#"<Speak/><Hangup reason="busy"/>"#, expected);
}

#[test]
fn a_scheduled_hangup_lets_the_flow_continue() {
    check(
        V,
        r#"<Hangup schedule="60" reason="busy"/><Wait/>"#,
        "> start
        begin 0
        schedule 60s
        begin 1
        > +1
        end 4010 Vobiz",
    );
}

#[test]
fn keys_are_sent_in_the_background_or_awaited() {
    check(
        V,
        r#"<DTMF>1 w2</DTMF><DTMF async="false">#</DTMF><Wait/>"#,
        "> start
        begin 0
        answer
        send 1w2, awaits false
        begin 1
        send #, awaits true
        > over
        begin 2",
    );
}

#[test]
fn verbs_that_conflow_does_not_run_are_skipped() {
    check(
        V,
        "<Message/><Stream>wss://a.example</Stream><Wait/>",
        "> start
        begin 0
        answer
        begin 1
        begin 2",
    );
}

#[test]
fn a_redirect_continues_with_another_document() {
    let mut runner = FlowRunner::new(V);
    let redirect = r#"<Redirect method="GET">flow:b</Redirect>"#;
    assert_eq!(runner.run.documents(), 0);
    let effects = runner.happens(fetched(V, redirect));
    assert_eq!(effects, ["begin 0", "answer", "fetch GET flow:b redirect"]);
    assert_eq!((runner.run.documents(), runner.run.step()), (1, 0));
    assert_eq!(runner.happens(fetched(V, "<DTMF>1</DTMF><Wait/>"))[2..], ["begin 1"]);
    assert_eq!((runner.run.documents(), runner.run.step()), (2, 1));
    assert_eq!(runner.run.current().unwrap().at.to_string(), "1:25");
}

#[test]
fn a_missing_document_ends_the_call() {
    for (line, codes) in
        [("unreachable", [7011, 7012, 7013, 7014]), ("invalid", [8011, 8012, 8013, 8014])]
    {
        let [answer, action, transfer, redirect] = codes.map(|code| format!("end {code} Error"));
        let mut runner = FlowRunner::new(V);
        let event = runner.event(line);
        assert_eq!(runner.happens(event.clone()), [answer]);
        let mut runner = FlowRunner::new(V);
        runner.happens(fetched(V, r#"<GetDigits action="flow:a"/>"#));
        runner.happens(FlowEvent::Digit('1'));
        runner.happens(FlowEvent::Digit('#'));
        assert_eq!(runner.happens(event.clone()), [action]);
        let mut runner = FlowRunner::new(V);
        runner.happens(fetched(V, "<Conference>a</Conference>"));
        runner.run.transfer();
        assert_eq!(runner.happens(FlowEvent::Left(Cause::Kicked.into())), [""; 0]);
        assert_eq!(runner.happens(event.clone()), [transfer]);
        let mut runner = FlowRunner::new(V);
        runner.happens(fetched(V, "<Redirect>flow:a</Redirect>"));
        assert_eq!(runner.happens(event), [redirect]);
    }
}

#[test]
fn an_invalid_url_ends_the_call_once_the_store_says_so() {
    let asked = "fetch a.xml redirect\n> not-url";
    let expected = format!("> start\nbegin 0\nanswer\n{asked}\nend 7024 Error");
    check(V, "<Redirect>a.xml</Redirect>", &expected);
    let begin = "> start\nbegin 0\nanswer\njoin a, muted false\n> left kicked";
    let conference = |more| format!("<Conference action=\"a b\" {more}>a</Conference>");
    let fields = "action ConferenceName=a ConferenceExitCause=kicked";
    let asked = format!("fetch a b {fields}\n> not-url");
    check(V, &conference(""), &format!("{begin}\n{asked}\nend 7022 Error"));
    let told = format!("notify a b {fields}");
    check(V, &conference("redirect='false'"), &format!("{begin}\n{told}\nend 4010 Vobiz"));
    let not_url = |url: &str| FlowEvent::Fetched(Err(DocumentError::NotUrl(url.into())));
    assert_eq!(FlowRunner::new(V).happens(not_url("a")), ["end 7011 Error"]);
    let mut runner = FlowRunner::new(V);
    runner.run.transfer();
    assert_eq!(runner.happens(not_url("a")), ["end 7023 Error"]);
}

#[test]
fn only_what_waits_for_time_has_a_deadline() {
    for (elements, seconds) in [
        ("<Wait length='7'/>", Some(7)),
        ("<Wait length='7' silence='true'/>", Some(2)),
        ("<GetDigits timeout='4'/>", Some(4)),
        ("<GetInput/>", Some(15)),
        ("<GetInput startInputTimeout='4'/>", Some(4)),
        ("<GetDigits><Speak>a</Speak></GetDigits>", None),
        ("<Conference>a</Conference>", None),
        ("<Speak>a</Speak>", None),
        ("<Redirect>flow:a</Redirect>", None),
        ("<Hangup/>", None),
    ] {
        let mut runner = FlowRunner::new(V);
        runner.happens(fetched(V, elements));
        let expected = seconds.map(|seconds| runner.now + Duration::from_secs(seconds));
        assert_eq!(runner.run.deadline(), expected, "{elements}");
    }
}

#[test]
fn a_caller_who_hung_up_runs_nothing_more() {
    let mut runner = FlowRunner::new(V);
    runner.happens(fetched(V, "<Conference>a</Conference><Speak>b</Speak>"));
    let exit = Exit { then: AfterExit::HangUp, ..Cause::Kicked.into() };
    assert_eq!(runner.happens(FlowEvent::Left(exit)), [""; 0]);
    assert_eq!(runner.run.step(), 0);
}
