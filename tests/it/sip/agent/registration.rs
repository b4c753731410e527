//! Registrations at trunks: REGISTER and its refresh, challenges, failures, and calls to our Contact.

use conflow::sip::{
    SipTrunk,
    digest_client::DigestAccount,
    settings::SipPeers,
    trunk::{OutboundTrunk, TrunkTarget},
};

use super::{outgoing::SECOND, *};

/// The first and the second server of the trunk.
pub(super) const FIRST: &str = "192.0.2.1:5060";
pub(super) const NEXT: &str = "192.0.2.2:5060";

/// A trunk with these targets, in this order.
pub(super) fn trunk(targets: &[&str], change: impl FnOnce(&mut OutboundTrunk)) -> SipTrunk {
    let target = |(at, it): (usize, &&str)| TrunkTarget {
        priority: u16::try_from(at).unwrap(),
        ..it.parse().unwrap()
    };
    let targets = targets.iter().enumerate().map(target).collect();
    let mut outbound = OutboundTrunk::new(Vec::new(), targets, &["*"]);
    outbound.options_interval = None;
    change(&mut outbound);
    SipTrunk { name: "carrier".into(), outbound: Some(Arc::new(outbound)), ..SipTrunk::default() }
}

/// As [`trunk`], with a registration.
pub(super) fn registering(targets: &[&str], change: impl FnOnce(&mut OutboundTrunk)) -> SipTrunk {
    trunk(targets, |it| {
        it.register = true;
        it.domain = Some("carrier.example".into());
        it.account = Some(DigestAccount {
            username: "acme".into(),
            password: SipPassword::new("hush"),
            realm: None,
        });
        change(it);
    })
}

pub(super) fn bench(trunk: SipTrunk) -> AgentHarness {
    AgentHarness::with(Settings { trunks: vec![trunk], open: Some(false), ..Settings::default() })
}

impl AgentHarness {
    /// The last request of this kind, and where it went.
    pub(super) fn last_of(&self, method: &str) -> (String, String) {
        let mut all = self.sent.iter().rev();
        let (to, text) = all.find(|(_, text)| brief(text) == method).unwrap();
        (to.to_string(), text.clone())
    }

    /// Answers the last request of this kind.
    pub(super) fn reply(&mut self, method: &str, code: u16, extra: &str) -> Vec<String> {
        let (from, request) = self.last_of(method);
        self.remote = from.parse().unwrap();
        self.receive(&reply_to(&request, code, extra, ""))
    }

    fn challenge(&mut self, nonce: &str) -> Vec<String> {
        let extra =
            format!("WWW-Authenticate: Digest realm=\"c\", nonce=\"{nonce}\", qop=\"auth\"\r\n");
        self.reply("REGISTER", 401, &extra)
    }

    /// Waits for the next REGISTER. Returns how long that took, in seconds.
    fn next_register(&mut self) -> u64 {
        let (began, before) = (self.now, self.registers());
        while self.registers() == before {
            let at = self.agent.deadline().expect("something is planned");
            self.wait(at - self.now);
        }
        (self.now - began).as_secs()
    }

    fn registers(&self) -> usize {
        self.sent.iter().filter(|(_, text)| brief(text) == "REGISTER").count()
    }

    fn registered(&self) -> Option<bool> {
        self.agent.trunks()[0].is_registered
    }

    fn warnings(&self) -> Vec<String> {
        self.notes.iter().filter(|it| it.is_warning()).map(ToString::to_string).collect()
    }
}

fn contact(register: &str) -> String {
    header(register, "Contact").unwrap().to_owned()
}

#[test]
fn a_trunk_is_registered_at_and_refreshed_before_the_time_is_over() {
    for (extra, granted) in [
        ("Contact: <sip:other@1.1.1.1>;expires=7, OURS;expires=100\r\nExpires: 9\r\n", 100),
        ("Contact: OURS\r\nExpires: 200\r\n", 200),
        ("Expires: 400\r\n", 400),
        ("", 3_600),
    ] {
        let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
        assert!(it.next_register() <= 10);
        let (to, first) = it.last_of("REGISTER");
        assert_eq!(to, FIRST);
        assert!(first.starts_with("REGISTER sip:carrier.example SIP/2.0\r\n"), "{first}");
        assert_eq!(header(&first, "To"), Some("<sip:acme@carrier.example>"));
        assert!(header(&first, "From").unwrap().starts_with("<sip:acme@carrier.example>;tag="));
        assert_eq!(header(&first, "Expires"), Some("3600"));
        assert_eq!(header(&first, "CSeq"), Some("1 REGISTER"));
        assert_eq!(it.registered(), Some(false));

        it.reply("REGISTER", 200, &extra.replace("OURS", &contact(&first)));
        assert_eq!(it.registered(), Some(true));
        let wait = it.next_register();
        assert!((granted * 65 / 100..=granted * 3 / 4).contains(&wait), "{wait} of {granted}");
        let (_, again) = it.last_of("REGISTER");
        for same in ["Call-ID", "From", "To", "Contact"] {
            assert_eq!(header(&first, same), header(&again, same));
        }
        assert_eq!(header(&again, "CSeq"), Some("2 REGISTER"));
        // The server is gone: the registration ends with its time.
        it.wait(SECOND * u32::try_from(granted).unwrap());
        assert_eq!(it.registered(), Some(false));
    }
}

#[test]
fn a_challenge_is_answered_and_later_requests_have_the_answer_at_once() {
    let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
    it.next_register();
    assert_eq!(it.challenge("one"), ["REGISTER"]);
    let (_, answer) = it.last_of("REGISTER");
    assert!(header(&answer, "Authorization").unwrap().contains("nonce=\"one\""), "{answer}");
    assert!(!answer.contains("hush"));
    assert_eq!(header(&answer, "CSeq"), Some("2 REGISTER"));
    it.reply("REGISTER", 200, "");
    it.next_register();
    let (_, again) = it.last_of("REGISTER");
    assert!(header(&again, "Authorization").unwrap().contains("nc=00000002"), "{again}");
    // The nonce is forgotten, and nobody says that it is stale.
    assert_eq!(it.challenge("two"), ["REGISTER"]);
    assert!(it.last_of("REGISTER").1.contains("nonce=\"two\""));
    // Now it is the password.
    assert_eq!(it.challenge("three"), [""; 0]);
    assert!(it.warnings()[0].contains("refused with 401"), "{:?}", it.warnings());
    assert!((54..=66).contains(&it.next_register()));
}

#[test]
fn a_registration_that_is_too_brief_is_asked_for_once_more() {
    let mut it = bench(registering(&["sip:192.0.2.1"], |it| it.expires = 60 * SECOND));
    it.next_register();
    assert_eq!(it.reply("REGISTER", 423, "Min-Expires: 7200\r\n"), ["REGISTER"]);
    assert_eq!(header(&it.last_of("REGISTER").1, "Expires"), Some("7200"));
    assert_eq!(it.reply("REGISTER", 423, "Min-Expires: 9000\r\n"), [""; 0]);
    it.next_register();
    assert_eq!(header(&it.last_of("REGISTER").1, "Expires"), Some("7200"));
    it.reply("REGISTER", 200, "");
    let wait = it.next_register();
    assert!((7_200 * 65 / 100..=5_400).contains(&wait), "{wait}");
}

#[test]
fn a_server_with_a_problem_is_followed_by_the_next_one() {
    let mut it = bench(registering(&["sip:192.0.2.1", "sip:192.0.2.2"], |_| {}));
    it.next_register();
    assert_eq!(
        it.reply("REGISTER", 503, ""),
        ["resolve 192.0.2.2 None None", "route UDP 192.0.2.2:5060", "REGISTER"]
    );
    assert_eq!(it.last_of("REGISTER").0, NEXT);
    // Silence: nobody else is left.
    it.wait(33 * SECOND);
    assert!(it.warnings()[0].contains("no server takes our registration"));
    let before = it.registers();
    let wait = it.next_register() + 1;
    assert!((53..=66).contains(&wait), "{wait}");
    assert_eq!((it.registers(), it.last_of("REGISTER").0.as_str()), (before + 1, FIRST));
    // Silence of the first one.
    it.wait(33 * SECOND);
    assert_eq!(it.last_of("REGISTER").0, NEXT);
    it.reply("REGISTER", 200, "Expires: 100\r\n");
    it.next_register();
    assert_eq!(it.last_of("REGISTER").0, NEXT, "where it is registered");
}

#[test]
fn refusals_wait_longer_each_time() {
    for code in [403, 404, 600] {
        let mut it = bench(registering(&["sip:192.0.2.1", "sip:192.0.2.2"], |_| {}));
        it.next_register();
        for seconds in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            it.reply("REGISTER", code, "");
            let wait = it.next_register();
            let expected = seconds * 9 / 10..=seconds * 11 / 10;
            assert!(expected.contains(&wait), "{code}: {wait} instead of {seconds}");
            assert_eq!(it.last_of("REGISTER").0, FIRST);
        }
        assert!(it.warnings()[0].contains(&format!("refused with {code}")));
        it.reply("REGISTER", 200, "Expires: 100\r\n");
        it.next_register();
        it.reply("REGISTER", code, "");
        assert!(it.next_register() <= 66, "counted from the last success");
    }
}

#[test]
fn the_registration_is_taken_back_at_the_end() {
    let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
    it.next_register();
    let first = contact(&it.last_of("REGISTER").1);
    it.reply("REGISTER", 200, "");
    assert_eq!(it.handle(Command::Drain), ["REGISTER"]);
    assert!(it.agent.is_unregistering());
    assert_eq!(it.challenge("one"), ["REGISTER"]);
    let (_, last) = it.last_of("REGISTER");
    assert_eq!((header(&last, "Expires"), contact(&last)), (Some("0"), first));
    it.reply("REGISTER", 200, "");
    assert!(!it.agent.is_unregistering());
    assert_eq!(it.registered(), Some(false));
    it.ends_empty();
    // Before the first answer, and without any.
    let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
    assert_eq!(it.handle(Command::Drain), [""; 0]);
    it.ends_empty();
    let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
    it.next_register();
    assert_eq!(it.handle(Command::Drain), ["REGISTER"]);
    it.wait(33 * SECOND);
    assert!(!it.agent.is_unregistering());
}

#[test]
fn an_open_nat_is_kept_open() {
    let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
    it.next_register();
    it.reply("REGISTER", 200, "");
    let pings = |it: &AgentHarness| it.sent.iter().filter(|(_, it)| it == "\r\n\r\n").count();
    it.wait(100 * SECOND);
    assert_eq!(pings(&it), 4);
    assert_eq!(it.sent.last().unwrap().0.to_string(), FIRST);
    let mut stream = bench(registering(&["sip:192.0.2.1;transport=tcp"], |_| {}));
    stream.next_register();
    let (_, register) = stream.last_of("REGISTER");
    assert!(contact(&register).ends_with(";transport=tcp>"), "{register}");
    stream.reply("REGISTER", 200, "");
    stream.wait(100 * SECOND);
    assert_eq!(pings(&stream), 0);
}

#[test]
fn a_call_to_our_contact_comes_from_the_trunk_wherever_it_comes_from() {
    let mut it = bench(registering(&["sip:192.0.2.1"], |_| {}));
    it.next_register();
    it.reply("REGISTER", 200, "");
    let contact = contact(&it.last_of("REGISTER").1);
    let uri = contact.trim_matches(['<', '>']);
    it.remote = "198.51.100.7:5060".parse().unwrap();
    let mut phone = Phone::new("p", "198.51.100.7:5060");
    phone.to = "+4930123";
    let asserted = format!("{}P-Asserted-Identity: <sip:+4989@c>\r\n{SDP}", phone.contact);
    let invite = phone.request("INVITE", &asserted, OFFER);
    assert_eq!(it.receive(&invite), ["401"], "a stranger");
    let invite = phone.request("INVITE", &asserted, OFFER);
    let invite = invite.replace("INVITE sip:+4930123@127.0.0.1", &format!("INVITE {uri}"));
    assert_eq!(it.receive(&invite), ["100", "open", "arrive", "180"]);
    let arrival = it.arrivals.last().unwrap();
    assert_eq!((&*arrival.from, &*arrival.to, &arrival.account), ("4989", "4930123", &None));
    assert!(arrival.trusted.is_some());
}

#[test]
fn a_registration_over_a_closed_connection_begins_again() {
    let mut it = bench(registering(&["sip:192.0.2.1;transport=tcp", "sip:192.0.2.2"], |_| {}));
    it.next_register();
    it.transport = Transport::Tcp;
    // It could not be opened.
    let said = it.handle(Command::Closed { link: 5060 });
    assert_eq!(said, ["resolve 192.0.2.2 None None", "route UDP 192.0.2.2:5060", "REGISTER"]);

    let mut it = bench(registering(&["sip:192.0.2.1;transport=tcp"], |_| {}));
    it.next_register();
    it.transport = Transport::Tcp;
    it.reply("REGISTER", 200, "");
    it.handle(Command::Closed { link: 5060 });
    assert_eq!(it.registered(), Some(false));
    assert!(it.next_register() <= 10);
    it.reply("REGISTER", 200, "");
    assert_eq!(it.registered(), Some(true));
}

#[test]
fn a_reload_changes_what_has_changed_and_nothing_else() {
    let own = registering(&["sip:192.0.2.1"], |_| {});
    let mut it = bench(own.clone());
    it.next_register();
    it.reply("REGISTER", 200, "");
    let before = contact(&it.last_of("REGISTER").1);
    let peers = |trunks: &[&SipTrunk]| SipPeers {
        trunks: trunks.iter().map(|it| (*it).clone()).collect(),
        ..SipPeers::default()
    };
    // Another trunk comes, and our own one gets an address.
    let mut other = registering(&["sip:192.0.2.2"], |_| {});
    other.name = "other".into();
    let with_address = SipTrunk { addresses: vec!["192.0.2.0/24".parse().unwrap()], ..own };
    assert_eq!(it.handle(Command::Configure(peers(&[&with_address, &other]))), [""; 0]);
    assert_eq!(it.registered(), Some(true));
    it.next_register();
    assert_eq!(it.last_of("REGISTER").0, NEXT);
    it.reply("REGISTER", 200, "");
    // Our own one changes.
    let changed = registering(&["sip:192.0.2.1"], |it| it.expires = 60 * SECOND);
    assert_eq!(it.handle(Command::Configure(peers(&[&changed, &other]))), ["REGISTER"]);
    let (to, gone) = it.last_of("REGISTER");
    assert_eq!((to.as_str(), header(&gone, "Expires")), (FIRST, Some("0")));
    assert_eq!(contact(&gone), before);
    it.reply("REGISTER", 200, "");
    it.next_register();
    let (to, new) = it.last_of("REGISTER");
    assert_eq!((to.as_str(), header(&new, "Expires")), (FIRST, Some("60")));
    assert_ne!(contact(&new), before);
    it.reply("REGISTER", 200, "");
    // Both go.
    assert_eq!(it.handle(Command::Configure(SipPeers::default())), ["REGISTER", "REGISTER"]);
    it.wait(33 * SECOND);
    it.ends_empty();
}
