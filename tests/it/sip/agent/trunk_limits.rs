//! Limits of trunks, the calls that wait for one, and what a trunk shows of the caller.

use conflow::{
    media::{DialOrigin, Diversion},
    sip::{
        trunk::{CallerIdHeader, OutboundTrunk, TrunkPrivacy},
        trunk_usage::EarlierTime,
    },
};

use super::{
    outgoing::{Outgoing, SECOND, failed},
    trunks::{NUMBER, ONE, TWO, dialling, trunk, with_trunks},
    *,
};

/// Makes call number `n` to [`NUMBER`].
fn dial(it: &mut Outgoing, n: u128, origin: DialOrigin) -> Vec<String> {
    it.call = CallId(uuid::Uuid::from_u128(n));
    it.dial_with(conflow::media::Dialling { origin, ..dialling(NUMBER) })
}

fn by_dial() -> DialOrigin {
    DialOrigin::Dial { is_inherited: false, forwarded: None }
}

fn limited() -> String {
    failed(HangupCause::DialLimit, "Platform", "None")
}

/// Ends the last call before its answer.
fn refuse(it: &mut Outgoing, server: &str) -> Vec<String> {
    it.reply(server, "INVITE", 486, "t", "")
}

#[test]
fn beyond_a_limit_the_next_trunk_is_taken_and_a_dial_then_fails() {
    let one_call = |it: &mut OutboundTrunk| it.calls_max = 1;
    let mut it = with_trunks(vec![trunk("a", &[ONE], one_call), trunk("b", &[TWO], one_call)]);
    assert_eq!(dial(&mut it, 1, by_dial())[0], format!("route UDP {ONE}"));
    let full = "attempted left out: it has 1 calls (calls_max)";
    assert_eq!(dial(&mut it, 2, by_dial())[..2], [full.to_owned(), format!("route UDP {TWO}")]);
    assert_eq!(dial(&mut it, 3, by_dial()), [full, full, &limited()]);
    refuse(&mut it, ONE);
    assert_eq!(dial(&mut it, 4, by_dial())[0], format!("route UDP {ONE}"), "it is free again");
}

#[test]
fn a_request_waits_for_its_turn_and_300_seconds_at_most() {
    let mut it = with_trunks(vec![trunk("a", &[ONE], |it| it.calls_per_second = 2)]);
    let fast = "attempted left out: it takes 2 calls in a second (calls_per_second)";
    for n in 1..=2 {
        assert_eq!(dial(&mut it, n, DialOrigin::Request).last().unwrap(), "INVITE");
    }
    assert_eq!(dial(&mut it, 3, by_dial()), [fast, &limited()], "a caller does not wait");
    for n in 4..=6 {
        assert_eq!(dial(&mut it, n, DialOrigin::Request), [fast, "Waits(300)"]);
    }
    // The fifth is called off while it waits.
    it.call = CallId(uuid::Uuid::from_u128(5));
    assert_eq!(it.end(), [""; 0]);
    let invites = |said: Vec<String>| said.iter().filter(|it| it.starts_with("route")).count();
    assert_eq!(invites(it.bench.wait(SECOND / 2 - SECOND / 10)), 0);
    assert_eq!(invites(it.bench.wait(SECOND / 5)), 1);
    assert_eq!(invites(it.bench.wait(SECOND / 2)), 1);
    assert_eq!(it.bench.agent.gauges().calls, 4);

    let one_call = |it: &mut OutboundTrunk| (it.calls_max, it.calls_per_second) = (1, 9);
    let mut it = with_trunks(vec![trunk("a", &[ONE], one_call)]);
    dial(&mut it, 1, DialOrigin::Request);
    it.reply(ONE, "INVITE", 180, "t", "");
    let full = "attempted left out: it has 1 calls (calls_max)";
    for n in 2..=3 {
        assert_eq!(dial(&mut it, n, DialOrigin::Request), [full, "Waits(300)"]);
    }
    it.bench.wait(299 * SECOND);
    it.call = CallId(uuid::Uuid::from_u128(1));
    let said = refuse(&mut it, ONE);
    assert_eq!(said[4..], ["Waits(0)", &format!("route UDP {ONE}"), "open", "INVITE"], "{said:?}");
    assert_eq!(it.bench.wait(SECOND), ["INVITE", &limited()], "one has its turn, the other fails");
}

#[test]
fn a_waiting_call_goes_through_whichever_trunk_has_room_first() {
    let one_call = |it: &mut OutboundTrunk| it.calls_max = 1;
    let full = "attempted left out: it has 1 calls (calls_max)";
    let busy = || {
        let mut it = with_trunks(vec![trunk("a", &[ONE], one_call), trunk("b", &[TWO], one_call)]);
        for n in 1..=2 {
            assert_eq!(dial(&mut it, n, DialOrigin::Request).last().unwrap(), "INVITE");
        }
        for n in 3..=4 {
            assert_eq!(dial(&mut it, n, DialOrigin::Request), [full, full, "Waits(300)"]);
        }
        it
    };
    for (first, second) in [(ONE, TWO), (TWO, ONE)] {
        let mut it = busy();
        for server in [first, second] {
            it.bench.wait(SECOND);
            let said = refuse(&mut it, server);
            let through = ["Waits(0)", &format!("route UDP {server}"), "open", "INVITE"];
            assert_eq!(said[said.len() - 4..], through, "{said:?}");
        }
        // Nobody waits any more, so that a new call need not.
        it.bench.wait(SECOND);
        refuse(&mut it, first);
        assert_eq!(dial(&mut it, 5, by_dial()).last().unwrap(), "INVITE");
    }
    // One that is called off leaves both queues.
    let mut it = busy();
    it.call = CallId(uuid::Uuid::from_u128(3));
    it.end();
    it.bench.wait(SECOND);
    assert_eq!(refuse(&mut it, TWO).iter().filter(|it| *it == "Waits(0)").count(), 1);
    // What a server has said counts more than a queue.
    it.bench.wait(SECOND);
    let said = it.reply(TWO, "INVITE", 503, "t", "");
    assert_eq!(said.last(), Some(&failed(HangupCause::CarrierCongestion, "Carrier", "Some(503)")));
}

#[test]
fn the_minutes_of_an_account_are_limited_for_24_hours() {
    let mut it = with_trunks(vec![trunk("a", &[ONE], |it| it.minutes_per_day = Some(10))]);
    let talk = |it: &mut Outgoing, n, minutes: u32| {
        dial(it, n, by_dial());
        it.reply(ONE, "INVITE", 200, "t", OFFER);
        it.bench.wait(minutes * 60 * SECOND);
        it.end();
        it.reply(ONE, "BYE", 200, "t", "");
    };
    talk(&mut it, 1, 9);
    talk(&mut it, 2, 2);
    let used = "attempted left out: the account has used its 10 minutes (minutes_per_day)";
    assert_eq!(dial(&mut it, 3, by_dial()), [used, &limited()]);
    let request = dial(&mut it, 4, DialOrigin::Request);
    assert_eq!(request, [used, &limited()], "no wait helps");
    it.bench.wait(24 * 3_600 * SECOND);
    assert_eq!(dial(&mut it, 5, by_dial()).last().unwrap(), "INVITE");
}

#[test]
fn the_minutes_of_an_earlier_process_count_until_24_hours_are_over() {
    let limited_trunk = || trunk("a", &[ONE], |it| it.minutes_per_day = Some(10));
    let mut it = with_trunks(vec![limited_trunk()]);
    dial(&mut it, 1, by_dial());
    it.reply(ONE, "INVITE", 200, "t", OFFER);
    it.bench.wait(7 * 60 * SECOND);
    it.end();
    // It counts from the hang-up on, whenever the trunk confirms that; and once.
    let kept = it.bench.talked.clone();
    assert_eq!(kept.iter().map(|it| it.time).collect::<Vec<_>>(), [7 * 60 * SECOND]);
    assert_eq!((&*kept[0].trunk, kept[0].account.as_str()), ("a", "MA1"));
    it.reply(ONE, "BYE", 200, "t", "");
    assert_eq!(it.bench.talked.len(), 1);

    let hour = 3_600 * SECOND;
    let mut it = with_trunks(vec![limited_trunk()]);
    let earlier = |ago| EarlierTime { talked: kept[0].clone(), ago };
    let all = vec![earlier(48 * hour), earlier(23 * hour), earlier(2 * hour)];
    it.bench.agent.recall_minutes(it.bench.now, all);
    let used = "attempted left out: the account has used its 10 minutes (minutes_per_day)";
    assert_eq!(dial(&mut it, 2, by_dial()), [used, &limited()]);
    it.bench.wait(hour);
    assert_eq!(dial(&mut it, 3, by_dial()).last().unwrap(), "INVITE", "7 of the 14 are a day old");
}

/// The headers that say who calls.
fn shown(it: &Outgoing) -> Vec<String> {
    let invite = it.sent("INVITE", ONE);
    let names = ["From", "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"];
    let names = names.into_iter().chain(["Privacy", "Diversion"]);
    let value = |name: &str| {
        let value = header(&invite, name)?;
        Some(format!("{name}: {}", value.split(";tag=").next().unwrap()))
    };
    names.filter_map(value).collect()
}

#[test]
fn the_caller_is_shown_as_the_trunk_wants_it() {
    let known = "<sip:+4940@127.0.0.1>";
    for (mode, name) in [
        (CallerIdHeader::From, None),
        (CallerIdHeader::Pai, Some("P-Asserted-Identity")),
        (CallerIdHeader::Ppi, Some("P-Preferred-Identity")),
        (CallerIdHeader::Rpid, Some("Remote-Party-ID")),
    ] {
        for (from, privacy) in [
            ("4930", TrunkPrivacy::Id),
            ("anonymous", TrunkPrivacy::Id),
            ("anonymous", TrunkPrivacy::None),
        ] {
            let mut it = with_trunks(vec![trunk("a", &[ONE], |it| {
                (it.caller_id, it.privacy) = (mode, privacy);
                it.caller_ids = vec!["4940".into(), "4930".into()];
            })]);
            it.dial_with(conflow::media::Dialling { from: from.into(), ..dialling(NUMBER) });
            let is_anonymous = from == "anonymous";
            let mut expected = match is_anonymous {
                true => vec!["From: \"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned()],
                false => vec!["From: \"Support\" <sip:+4930@127.0.0.1>".to_owned()],
            };
            let own = if is_anonymous { known } else { "\"Support\" <sip:+4930@127.0.0.1>" };
            let own = match mode {
                CallerIdHeader::Rpid => {
                    let privacy = if is_anonymous { "full" } else { "off" };
                    format!("{own};party=calling;screen=yes;privacy={privacy}")
                }
                CallerIdHeader::From | CallerIdHeader::Pai | CallerIdHeader::Ppi => own.to_owned(),
            };
            let is_hidden = is_anonymous && privacy == TrunkPrivacy::None;
            expected.extend(name.filter(|_| !is_hidden).map(|name| format!("{name}: {own}")));
            if is_anonymous && !is_hidden {
                expected.push("Privacy: id".to_owned());
            }
            assert_eq!(shown(&it), expected, "{mode:?} {from} {privacy:?}");
        }
    }
}

#[test]
fn a_number_that_the_trunk_does_not_own_is_refused_or_replaced() {
    let owns = |it: &mut OutboundTrunk| {
        (it.caller_ids, it.diversion) = (vec!["4940".into()], true);
    };
    for origin in [DialOrigin::Request, by_dial()] {
        let mut it = with_trunks(vec![trunk("a", &[ONE], owns)]);
        let said = dial(&mut it, 1, origin);
        let why = "attempted left out: 4930 is not among its caller_ids";
        assert_eq!(said, [why, &failed(HangupCause::CallerUnknown, "Platform", "None")]);
    }
    let mut it = with_trunks(vec![trunk("a", &[ONE], owns)]);
    let said =
        dial(&mut it, 1, DialOrigin::Dial { is_inherited: true, forwarded: Some("4950".into()) });
    assert_eq!(said[1], "attempted not one of its caller_ids; 4940 is shown");
    let expected = [
        "From: \"Support\" <sip:+4940@127.0.0.1>",
        "P-Asserted-Identity: \"Support\" <sip:+4940@127.0.0.1>",
        "Diversion: <sip:+4950@127.0.0.1>;reason=unconditional;counter=1",
    ];
    assert_eq!(shown(&it), expected);
    // Without diversion, nothing is said of the number that was called first.
    let mut it = with_trunks(vec![trunk("a", &[ONE], |_| {})]);
    dial(&mut it, 1, DialOrigin::Dial { is_inherited: true, forwarded: Some("4950".into()) });
    assert!(!it.sent("INVITE", ONE).contains("Diversion"));
}

#[test]
fn a_diversion_that_came_with_the_call_is_passed_on_until_it_has_five() {
    let diversion = |counter, is_private| Diversion {
        from: "4960".into(),
        reason: "user-busy".into(),
        counter,
        is_private,
    };
    for (before, is_wanted, expected) in [
        (None, true, Some("<sip:+4950@127.0.0.1>;reason=unconditional;counter=1")),
        (Some(diversion(1, false)), true, Some("<sip:+4960@127.0.0.1>;reason=user-busy;counter=2")),
        (
            Some(diversion(4, true)),
            true,
            Some("<sip:+4960@127.0.0.1>;reason=user-busy;counter=5;privacy=full"),
        ),
        (Some(diversion(5, false)), true, None),
        (Some(diversion(255, false)), true, None),
        (Some(diversion(1, false)), false, None),
    ] {
        let mut it = with_trunks(vec![trunk("a", &[ONE], |it| it.diversion = is_wanted)]);
        let origin = DialOrigin::Dial { is_inherited: true, forwarded: Some("4950".into()) };
        let diversion = before.map(Arc::new);
        it.dial_with(conflow::media::Dialling { origin, diversion, ..dialling(NUMBER) });
        let invite = it.sent("INVITE", ONE);
        assert_eq!(header(&invite, "Diversion"), expected);
    }
}

#[test]
fn a_number_that_its_caller_withholds_is_known_to_the_trunk_alone() {
    let hidden = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>";
    let asserted = |number: &str| format!("P-Asserted-Identity: <sip:+{number}@127.0.0.1>");
    for (from, owned, expected) in [
        // Any number may be shown: the caller's own stays in the identity.
        ("4930", &[][..], vec![asserted("4930")]),
        ("4930", &["4940", "4930"], vec![asserted("4930")]),
        ("4930", &["4940"], vec![asserted("4940")]),
        ("sip:anonymous@anonymous.invalid", &["4940"], vec![asserted("4940")]),
        ("sip:anonymous@anonymous.invalid", &[], vec![]),
    ] {
        let mut it = with_trunks(vec![trunk("a", &[ONE], |it| {
            it.caller_ids = owned.iter().map(|it| Box::from(*it)).collect();
        })]);
        let origin = DialOrigin::Dial { is_inherited: true, forwarded: None };
        let from = from.into();
        let said = it.dial_with(conflow::media::Dialling {
            from,
            origin,
            is_private: true,
            ..dialling(NUMBER)
        });
        assert_eq!(said.last().unwrap(), "INVITE", "{said:?}");
        let mut all = vec![hidden.to_owned()];
        all.extend(expected);
        all.push("Privacy: id".to_owned());
        assert_eq!(shown(&it), all);
    }
    // A phone is shown nothing at all.
    let mut it = Outgoing::with_phones(&["127.0.0.1:5071"]);
    let to = "sip:anna@conflow".into();
    it.dial_with(conflow::media::Dialling { to, is_private: true, ..dialling(NUMBER) });
    let invite = it.sent("INVITE", "127.0.0.1:5071");
    assert!(invite.contains("\r\nPrivacy: id\r\n") && !invite.contains("4930"), "{invite}");
}

#[test]
fn codecs_session_intervals_and_the_domain_are_the_trunks() {
    let mut it = with_trunks(vec![trunk("a", &[ONE], |it| {
        it.codecs = vec![conflow::rtp::g711::Law::A];
        (it.session_expires, it.min_se) = (3_600, 120);
        (it.domain, it.plus) = (Some("carrier.example".into()), false);
    })]);
    dial(&mut it, 1, DialOrigin::Request);
    let invite = it.sent("INVITE", ONE);
    for line in [
        "INVITE sip:49891234@carrier.example SIP/2.0\r\n",
        "\r\nTo: <sip:49891234@carrier.example>\r\n",
        "\r\nFrom: \"Support\" <sip:4930@carrier.example>;tag=",
        "\r\nSession-Expires: 3600\r\nMin-SE: 120\r\n",
        "m=audio 20000 RTP/AVP 8 101\r\n",
    ] {
        assert!(invite.contains(line), "{line}\n{invite}");
    }
}
