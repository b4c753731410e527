//! Flows played against scripts: what happens, and what the flow then asks for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::Dialect,
    flow::{Cause, Effect, Event, Exit, Flow, Method, Missing, Purpose, Request, Run, Then},
    media::{Ending, Sound, What},
};

pub(crate) const V: Dialect = Dialect::Vobiz;

/// Plays a document's elements. A script has a line `> …` for each thing that happens: the start,
/// then whatever [`Stage::event`] knows; below it, a line for each effect.
#[track_caller]
pub(crate) fn check(dialect: Dialect, elements: &str, script: &str) {
    let mut stage = Stage::new(dialect);
    let mut transcript = String::new();
    let script = script.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    for line in script.lines().filter_map(|line| line.strip_prefix("> ")) {
        transcript += &format!("> {line}\n");
        let event = match line {
            "start" => fetched(dialect, elements),
            _ => stage.event(line),
        };
        stage.happens(event).iter().for_each(|effect| transcript += &format!("{effect}\n"));
    }
    assert_eq!(transcript.trim(), script, "{elements}");
}

pub(crate) fn fetched(dialect: Dialect, elements: &str) -> Event {
    let flow = Flow::parse(&format!("<Response>{elements}</Response>"), dialect).unwrap();
    Event::Fetched(Ok(Arc::new(flow)))
}

/// A run, and a clock in our hands.
pub(crate) struct Stage {
    dialect: Dialect,
    pub(crate) run: Run,
    pub(crate) now: Instant,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, run: Run::new(dialect), now: Instant::now() }
    }

    pub(crate) fn event(&mut self, line: &str) -> Event {
        if let Some(seconds) = line.strip_prefix('+') {
            self.now += Duration::from_secs_f64(seconds.parse().unwrap());
            return Event::Tick;
        }
        match line.split_once(' ').unwrap_or((line, "")) {
            ("document", elements) => fetched(self.dialect, elements),
            ("invalid", _) => {
                let error = Flow::parse("", V).unwrap_err();
                Event::Fetched(Err(Missing::Invalid(Arc::new(error))))
            }
            ("key", key) => Event::Digit(key.parse().unwrap()),
            ("left", words) => {
                let (cause, reason) = words.split_once(' ').unwrap_or((words, ""));
                let cause = *Cause::ALL.iter().find(|it| it.text() == cause).unwrap();
                let reason = (!reason.is_empty()).then(|| reason.into());
                Event::Left(Exit { reason, ..Exit::from(cause) })
            }
            ("over", _) => Event::Over,
            ("silence", _) => Event::Talk(false),
            ("talk", _) => Event::Talk(true),
            ("unreachable", _) => Event::Fetched(Err(Missing::Unreachable("no".into()))),
            _ => panic!("not a happening: {line:?}"),
        }
    }

    pub(crate) fn happens(&mut self, event: Event) -> Vec<String> {
        let mut effects = Vec::new();
        self.run.handle(self.now, event, &mut effects);
        // For texts only: what was entered is in the request.
        effects.retain(|it| !matches!(it, Effect::Entered(_)));
        effects.iter().map(show).collect()
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Begin { step } => format!("begin {step}"),
        Effect::Answer => "answer".to_owned(),
        Effect::EarlyMedia => "early media".to_owned(),
        Effect::Play(program) => format!("play {}", show_program(program)),
        Effect::Prepare(program) => format!("prepare {}", show_program(program)),
        Effect::Stop => "stop".to_owned(),
        Effect::Entered(digits) => format!("entered {digits}"),
        Effect::SendDigits { digits, awaits } => format!("send {digits}, awaits {awaits}"),
        Effect::Join { room, entry } => format!("join {room}, muted {}", entry.muted),
        Effect::Fetch(request) => format!("fetch {}", show_request(request)),
        Effect::Notify(request) => format!("notify {}", show_request(request)),
        Effect::Schedule(after) => format!("schedule {after:?}"),
        Effect::End(Ending { cause, source }) => format!("end {} {}", cause.code(), source.text()),
    }
}

fn show_program(program: &[Sound]) -> String {
    program.iter().map(show_sound).collect::<Vec<_>>().join(", ")
}

fn show_sound(sound: &Sound) -> String {
    let what = match &sound.what {
        What::Beep(beep) => format!("beep {beep}"),
        What::Silence(length) => format!("silence {length:?}"),
        What::Url(url) => url.to_string(),
        What::Speech { text, voice, language } => format!("{text:?} {voice} {language}"),
    };
    match sound.times {
        1 => what,
        times => format!("{what} x{times}"),
    }
}

fn show_request(request: &Request) -> String {
    let Request { url, method, purpose, fields, is_private } = request;
    let method = match method {
        Method::Get => "GET ",
        Method::Post => "",
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
    for (dialect, script) in [
        (V, "> start\nanswer\nend 4010 Vobiz"),
        (Dialect::Plivo, "> start\nanswer\nend 4010 Plivo"),
    ] {
        check(dialect, "", script);
    }
    let begin = "> start\nbegin 0\nanswer\njoin a, muted false\n> left";
    for (cause, ending) in [("kicked", 4010), ("full", 4010), ("drained", 4010), ("fault", 5010)] {
        check(V, "<Conference>a</Conference>", &format!("{begin} {cause}\nend {ending} Vobiz"));
    }
    let script = "> left fault\nbegin 1\nsend 1, awaits false\nend 4010 Vobiz";
    let elements = "<Conference>a</Conference><DTMF>1</DTMF>";
    check(V, elements, &format!("> start\nbegin 0\nanswer\njoin a, muted false\n{script}"));
}

#[test]
fn a_conference_asks_its_action() {
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
fn a_call_that_is_over_runs_nothing_more() {
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
    let script = "> start\nbegin 0\n> +2.9\n> talk\n> +20\n> silence\n> +2.9\n> +0.1\n";
    check(V, elements, &format!("{script}{end}"));
    check(V, elements, &format!("> start\nbegin 0\n> talk\n> +29.9\n> +0.1\n{end}"));
    check(
        V,
        r#"<Wait length="30" silence="true"/><Hangup/>"#,
        &format!("> start\nbegin 0\n> +2\n{end}"),
    );
    // Plivo has no default: the silence of none is a plain wait.
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
fn every_verb_answers_but_four() {
    for verb in ["<Wait/>", "<Hangup/>", "<PreAnswer/>", "<Dial>1</Dial>"] {
        let mut stage = Stage::new(V);
        assert!(!stage.happens(fetched(V, verb)).contains(&"answer".to_owned()), "{verb}");
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
        let mut stage = Stage::new(V);
        assert_eq!(stage.happens(fetched(V, verb))[..2], ["begin 0", "answer"], "{verb}");
    }
}

#[test]
fn a_hangup_says_why_while_nobody_has_answered() {
    let end = |source: &str| format!("> start\nbegin 0\nend {source} Answer XML");
    check(V, "<Hangup/>", &end("4000"));
    check(V, r#"<Hangup reason="busy"/>"#, &end("3010"));
    check(V, r#"<Hangup reason="rejected"/>"#, &end("3020"));
    check(V, r#"<Hangup reason="bored"/>"#, &end("4000"));
    let script = "> start\nbegin 0\nanswer\nbegin 1\nend 4000 Answer XML";
    check(V, r#"<Speak/><Hangup reason="busy"/>"#, script);
}

#[test]
fn a_scheduled_hangup_lets_the_flow_run() {
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
fn verbs_that_are_not_run_are_passed_over() {
    check(
        V,
        "<Dial><Number>1</Number></Dial><Record/><Wait/>",
        "> start
        begin 0
        begin 1
        answer
        begin 2",
    );
}

#[test]
fn a_redirect_goes_on_with_another_document() {
    let mut stage = Stage::new(V);
    let redirect = r#"<Redirect method="GET">flow:b</Redirect>"#;
    assert_eq!(stage.run.documents(), 0);
    let effects = stage.happens(fetched(V, redirect));
    assert_eq!(effects, ["begin 0", "answer", "fetch GET flow:b redirect"]);
    assert_eq!((stage.run.documents(), stage.run.step()), (1, 0));
    assert_eq!(stage.happens(fetched(V, "<DTMF>1</DTMF><Wait/>"))[2..], ["begin 1"]);
    assert_eq!((stage.run.documents(), stage.run.step()), (2, 1));
    assert_eq!(stage.run.current().unwrap().at.to_string(), "1:25");
}

#[test]
fn a_missing_document_ends_the_call() {
    for (line, codes) in
        [("unreachable", [7011, 7012, 7013, 7014]), ("invalid", [8011, 8012, 8013, 8014])]
    {
        let [answer, action, transfer, redirect] = codes.map(|code| format!("end {code} Error"));
        let mut stage = Stage::new(V);
        let event = stage.event(line);
        assert_eq!(stage.happens(event.clone()), [answer]);
        let mut stage = Stage::new(V);
        stage.happens(fetched(V, r#"<GetDigits action="flow:a"/>"#));
        stage.happens(Event::Digit('1'));
        stage.happens(Event::Digit('#'));
        assert_eq!(stage.happens(event.clone()), [action]);
        let mut stage = Stage::new(V);
        stage.happens(fetched(V, "<Conference>a</Conference>"));
        stage.run.transfer();
        assert_eq!(stage.happens(Event::Left(Cause::Kicked.into())), [""; 0]);
        assert_eq!(stage.happens(event.clone()), [transfer]);
        let mut stage = Stage::new(V);
        stage.happens(fetched(V, "<Redirect>flow:a</Redirect>"));
        assert_eq!(stage.happens(event), [redirect]);
    }
}

#[test]
fn a_url_that_is_none_is_not_asked() {
    check(V, "<Redirect>a.xml</Redirect>", "> start\nbegin 0\nanswer\nend 7024 Error");
    let begin = "> start\nbegin 0\nanswer\njoin a, muted false\n> left kicked";
    let conference = |more| format!("<Conference action=\"a b\" {more}>a</Conference>");
    check(V, &conference(""), &format!("{begin}\nend 7022 Error"));
    check(V, &conference("redirect='false'"), &format!("{begin}\nend 4010 Vobiz"));
    let not_url = |url: &str| Event::Fetched(Err(Missing::NotUrl(url.into())));
    assert_eq!(Stage::new(V).happens(not_url("a")), ["end 7011 Error"]);
    let mut stage = Stage::new(V);
    stage.run.transfer();
    assert_eq!(stage.happens(not_url("a")), ["end 7023 Error"]);
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
        let mut stage = Stage::new(V);
        stage.happens(fetched(V, elements));
        let expected = seconds.map(|seconds| stage.now + Duration::from_secs(seconds));
        assert_eq!(stage.run.deadline(), expected, "{elements}");
    }
}

#[test]
fn who_hangs_up_is_not_run() {
    let mut stage = Stage::new(V);
    stage.happens(fetched(V, "<Conference>a</Conference><Speak>b</Speak>"));
    let exit = Exit { cause: Cause::Kicked, reason: None, then: Then::HangUp };
    assert_eq!(stage.happens(Event::Left(exit)), [""; 0]);
    assert_eq!(stage.run.step(), 0);
}
