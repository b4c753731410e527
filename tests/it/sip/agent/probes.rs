//! Probes of trunks: OPTIONS to each address, what counts as an answer, and names that change.

use conflow::sip::{SipTrunk, resolve::ResolvedAddress};

use super::{
    outgoing::{Outgoing, SECOND},
    registration::{FIRST, NEXT, bench, registering, trunk},
    trunks::dialling,
    *,
};

const INTERVAL: Duration = Duration::from_secs(30);

fn probed(targets: &[&str]) -> AgentHarness {
    bench(trunk(targets, |it| it.options_interval = Some(INTERVAL)))
}

impl AgentHarness {
    fn targets_up(&self) -> Vec<bool> {
        self.agent.trunks()[0].targets.iter().map(|it| it.1).collect()
    }

    /// Waits for the next OPTIONS, and returns where they went.
    fn next_probes(&mut self) -> Vec<String> {
        let before = self.sent.len();
        loop {
            let at = self.agent.deadline().expect("something is planned");
            self.wait(at - self.now);
            let mut new: Vec<_> =
                self.sent[before..].iter().filter(|it| brief(&it.1) == "OPTIONS").collect();
            new.dedup_by_key(|it| header(&it.1, "Call-ID").unwrap());
            if !new.is_empty() {
                return new.iter().map(|it| it.0.to_string()).collect();
            }
        }
    }
}

#[test]
fn two_probes_without_an_answer_take_a_target_down_and_one_answer_brings_it_back() {
    let mut it = probed(&["sip:192.0.2.1"]);
    assert_eq!(it.targets_up(), [true], "until something is known");
    assert_eq!(it.next_probes(), [FIRST]);
    let (_, options) = it.last_of("OPTIONS");
    assert!(options.starts_with("OPTIONS sip:192.0.2.1 SIP/2.0\r\n"), "{options}");
    let began = it.now;
    it.wait(11 * SECOND);
    assert_eq!(it.targets_up(), [true], "one is not enough");
    it.next_probes();
    let wait = (it.now - began).as_secs();
    assert!((27..=33).contains(&wait), "{wait}");
    it.wait(9 * SECOND);
    assert_eq!(it.targets_up(), [true], "it may still come");
    it.wait(2 * SECOND);
    assert_eq!(it.targets_up(), [false]);
    assert!(
        it.notes.iter().any(|it| it.is_warning() && it.to_string().contains("does not answer"))
    );
    it.next_probes();
    assert_eq!(it.reply("OPTIONS", 200, ""), [""; 0]);
    assert_eq!(it.targets_up(), [true]);
    assert!(it.notes.last().unwrap().to_string().contains("answers again"));
}

#[test]
fn any_answer_counts_but_408_and_503() {
    for (code, is_up) in [
        (200, true),
        (401, true),
        (404, true),
        (405, true),
        (500, true),
        (408, false),
        (503, false),
    ] {
        let mut it = probed(&["sip:192.0.2.1"]);
        for _ in 0..2 {
            it.next_probes();
            it.reply("OPTIONS", code, "");
        }
        assert_eq!(it.targets_up(), [is_up], "{code}");
    }
}

#[test]
fn every_address_of_a_name_is_probed_and_names_may_change() {
    let mut it = probed(&["sip:sbc.example"]);
    let at = |address: &str| ResolvedAddress {
        transport: Transport::Udp,
        address: address.parse().unwrap(),
    };
    it.names.insert("sbc.example".to_owned(), vec![at(FIRST), at(NEXT)]);
    for _ in 0..2 {
        assert_eq!(it.next_probes(), [FIRST, NEXT]);
        let (_, to_next) = it.last_of("OPTIONS");
        assert!(to_next.contains("OPTIONS sip:sbc.example "), "{to_next}");
        it.reply("OPTIONS", 200, "");
        it.wait(11 * SECOND);
    }
    assert_eq!(it.targets_up(), [true], "the second address answers");
    // The name has another address, and for a while none.
    it.names.insert("sbc.example".to_owned(), vec![at(FIRST)]);
    assert_eq!(it.next_probes(), [FIRST]);
    it.wait(11 * SECOND);
    assert_eq!(it.targets_up(), [false]);
    it.names.clear();
    assert_eq!(it.next_probes(), [FIRST]);
    it.reply("OPTIONS", 200, "");
    assert_eq!(it.targets_up(), [true]);
}

#[test]
fn a_name_is_resolved_every_five_minutes_if_probes_are_seldom() {
    let hour = 3_600 * SECOND;
    let mut it = bench(trunk(&["sip:sbc.example"], |it| it.options_interval = Some(hour)));
    let said = it.wait(2 * hour);
    let asked = said.iter().filter(|it| it.starts_with("resolve sbc.example ")).count();
    assert!((12..=25).contains(&asked), "{asked}");
    assert_eq!(it.targets_up(), [false], "the name has no address");
}

#[test]
fn a_server_that_is_back_is_registered_at_again() {
    let mut it = bench(registering(&["sip:192.0.2.1"], |it| it.options_interval = Some(INTERVAL)));
    let registers =
        |it: &AgentHarness| it.sent.iter().filter(|it| brief(&it.1) == "REGISTER").count();
    while registers(&it) == 0 {
        it.wait(SECOND);
    }
    it.reply("REGISTER", 200, "");
    it.wait(100 * SECOND);
    assert_eq!((it.targets_up(), registers(&it)), (vec![false], 1));
    it.next_probes();
    it.reply("OPTIONS", 200, "");
    it.wait(11 * SECOND);
    assert!(2 <= registers(&it));
}

#[test]
fn a_connection_that_fails_ends_its_probe() {
    let mut it = probed(&["sip:192.0.2.1;transport=tcp"]);
    for _ in 0..2 {
        it.next_probes();
        it.handle(Command::Closed { link: 5060 });
    }
    assert_eq!(it.targets_up(), [false]);
    assert_eq!(it.agent.gauges().transactions, 0);
}

#[test]
fn a_trunk_that_goes_is_not_probed_any_more() {
    let mut it = probed(&["sip:192.0.2.1"]);
    it.next_probes();
    it.handle(Command::Configure(conflow::sip::settings::SipPeers::default()));
    it.ends_empty();
}

/// An agent that may call through these trunks, each with a name, its servers, and probes.
fn calling(trunks: &[(&str, &[&str])]) -> Outgoing {
    let trunk = |(at, (name, targets)): (usize, &(&str, &[&str]))| SipTrunk {
        name: (*name).into(),
        ..trunk(targets, |it| {
            it.options_interval = Some(INTERVAL);
            it.accounts = vec!["MA1".parse().unwrap()];
            it.order = u32::try_from(at).unwrap();
        })
    };
    let trunks = trunks.iter().enumerate().map(trunk).collect();
    Outgoing::with(Settings { trunks, ..Settings::default() })
}

fn dial(it: &mut Outgoing) -> String {
    it.dial_with(dialling("4989"));
    it.bench.last_of("INVITE").0
}

/// Lets time pass, in which only `alive` answers.
fn answer_from(it: &mut AgentHarness, alive: &str, time: Duration) {
    let until = it.now + time;
    while it.now < until {
        let before = it.sent.len();
        it.wait(SECOND);
        let new = it.sent[before..].iter().filter(|it| it.0.to_string() == alive);
        let probes: Vec<_> =
            new.filter(|it| brief(&it.1) == "OPTIONS").map(|it| it.1.clone()).collect();
        for options in probes {
            it.remote = alive.parse().unwrap();
            it.receive(&reply_to(&options, 200, "", ""));
        }
    }
}

#[test]
fn calls_try_a_server_that_does_not_answer_last() {
    let mut it = calling(&[("carrier", &["sip:192.0.2.1", "sip:192.0.2.2"])]);
    answer_from(&mut it.bench, NEXT, 80 * SECOND);
    assert_eq!(it.bench.targets_up(), [false, true]);
    assert_eq!(dial(&mut it), NEXT);
    it.bench.reply("INVITE", 503, "");
    assert_eq!(it.bench.last_of("INVITE").0, FIRST, "last, not never");
    it.bench.reply("INVITE", 503, "");
    assert!(it.bench.agent.gauges().calls == 0);
}

#[test]
fn calls_try_a_trunk_that_does_not_answer_last() {
    let mut it = calling(&[("first", &["sip:192.0.2.1"]), ("next", &["sip:192.0.2.2"])]);
    answer_from(&mut it.bench, NEXT, 80 * SECOND);
    assert_eq!(dial(&mut it), NEXT);
    it.bench.reply("INVITE", 503, "");
    assert_eq!(it.bench.last_of("INVITE").0, FIRST);
}

#[test]
fn a_silent_invite_counts_as_a_probe_without_an_answer() {
    let mut it = calling(&[("carrier", &["sip:192.0.2.1", "sip:192.0.2.2"])]);
    answer_from(&mut it.bench, NEXT, 41 * SECOND);
    assert_eq!(it.bench.targets_up(), [true, true], "one is not enough");
    assert_eq!(dial(&mut it), FIRST);
    it.bench.wait(5 * SECOND);
    assert_eq!(it.bench.last_of("INVITE").0, NEXT);
    assert_eq!(it.bench.targets_up(), [false, true]);
}
