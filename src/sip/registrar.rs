//! Registrar: the addresses of registered phones (RFC 3261, section 10); for phones behind NAT, the
//! source of their REGISTER.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    error::SipError,
    header_value::{NameAddr, parse_number},
    name::HeaderName,
    registrar_row::{BindingParts, RegistrationRow},
    request::{Hop, SipRequest, Transport},
    text::readable,
    uri::Uri,
};
use crate::base::boot_clock::BootClock;

/// The bindings of all users.
#[derive(Debug, Default)]
pub struct Registrar {
    users: BTreeMap<Arc<str>, Vec<Binding>>,
    /// The users whose rows must be written. None: nobody keeps rows.
    touched: Option<BTreeSet<Arc<str>>>,
}

/// The binding of one phone of a user.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The Contact that the phone gave.
    pub contact: Uri,
    /// The hop of its REGISTER; the only way to reach a phone behind NAT.
    pub hop: Hop,
    /// When the binding expires.
    pub ends_at: Instant,
    /// The User-Agent of its REGISTER; empty if it had none.
    pub user_agent: String,
    /// When the next keep-alive is due. None for a phone that needs none.
    keep_alive_at: Option<Instant>,
    call_id: String,
    cseq: u32,
}

impl Binding {
    /// Returns the parts of the binding.
    pub(super) fn parts(&self) -> BindingParts {
        let Self { contact, hop, ends_at, user_agent, keep_alive_at, call_id, cseq } = self;
        BindingParts {
            contact: contact.clone(),
            hop: *hop,
            ends_at: *ends_at,
            user_agent: user_agent.clone(),
            has_keep_alive: keep_alive_at.is_some(),
            call_id: call_id.clone(),
            cseq: *cseq,
        }
    }

    /// The way to the phone: its Contact if that names the address that it registered from, else the
    /// source of its REGISTER, which NAT keeps open. Over TCP, the connection of its REGISTER.
    pub fn way(&self) -> Hop {
        let contact = self.contact.sip().filter(|_| self.hop.transport == Transport::Udp);
        let port = contact
            .filter(|it| it.host.address() == Some(self.hop.remote.ip()))
            .map(|it| it.port.unwrap_or(super::PORT_DEFAULT));
        let port = port.unwrap_or_else(|| self.hop.remote.port());
        Hop { remote: SocketAddr::new(self.hop.remote.ip(), port), ..self.hop }
    }
}

/// Interval of keep-alives. NATs drop a UDP flow after 30 s at the earliest (RFC 4787 demands two
/// minutes; few comply).
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(25);

/// Limit of bindings per user: desk phone, laptop, mobile; any more are stale. The oldest is
/// dropped.
const BINDINGS_MAX: usize = 8;

/// Limit of a User-Agent that is kept. Phones send a model and a version.
const USER_AGENT_CHARS_MAX: usize = 100;

impl Registrar {
    /// Applies a REGISTER of a user, completely or not at all.
    ///
    /// # Errors
    ///
    /// 400; 423, to be sent with Min-Expires; 500 for a REGISTER that is out of order.
    pub fn register(
        &mut self,
        now: Instant,
        user: &Arc<str>,
        request: &SipRequest,
        hop: &Hop,
        (shortest, longest): (Duration, Duration),
    ) -> Result<(), SipError> {
        let contacts = contacts(request)?;
        // What is no number counts as absent (RFC 3261, 10.2.1.1).
        let expires = request.get(&HeaderName::Expires).and_then(number);
        let user_agent = readable(request.get(&HeaderName::UserAgent).unwrap_or_default());
        let user_agent: String = user_agent.chars().take(USER_AGENT_CHARS_MAX).collect();
        let mut bindings = self.users.get(user).cloned().unwrap_or_default();
        bindings.retain(|it| it.ends_at > now);
        let is_late = |it: &Binding| it.call_id == request.call_id && request.cseq <= it.cseq;
        match contacts {
            Contacts::All if expires == Some(0) => bindings.retain(is_late),
            Contacts::All => return Err(SipError::bad_request("Contact * without Expires 0")),
            Contacts::These(contacts) => {
                for contact in contacts {
                    let asked = contact.params.get("expires").and_then(number).or(expires);
                    let asked = asked.map(|it| Duration::from_secs(it.into())).unwrap_or(longest);
                    if !asked.is_zero() && asked < shortest {
                        return Err(SipError { code: 423, reason: "Interval Too Brief" });
                    }
                    if contact.uri.sip().is_none_or(|it| !hop.may_name(it)) {
                        return Err(SipError::bad_request("Contact that is no sip URI"));
                    }
                    let position = bindings.iter().position(|it| it.contact == contact.uri);
                    if position.is_some_and(|at| is_late(&bindings[at])) {
                        return Err(SipError { code: 500, reason: "REGISTER out of order" });
                    }
                    if let Some(at) = position {
                        bindings.remove(at);
                    }
                    if asked.is_zero() {
                        continue;
                    }
                    let is_natted = is_natted(&contact.uri, hop);
                    bindings.push(Binding {
                        contact: contact.uri,
                        hop: *hop,
                        keep_alive_at: is_natted.then(|| now + KEEP_ALIVE_EVERY),
                        ends_at: now + asked.min(longest),
                        user_agent: user_agent.clone(),
                        call_id: request.call_id.clone(),
                        cseq: request.cseq,
                    });
                }
            }
        }
        let excess = bindings.len().saturating_sub(BINDINGS_MAX);
        bindings.drain(..excess);
        self.touch(user);
        match bindings.is_empty() {
            true => self.users.remove(user),
            false => self.users.insert(user.clone(), bindings),
        };
        Ok(())
    }

    /// Returns a user's bindings, the newest last.
    pub fn bindings(&self, now: Instant, user: &str) -> impl Iterator<Item = &Binding> {
        self.users.get(user).into_iter().flatten().filter(move |it| it.ends_at > now)
    }

    /// Drops the bindings of a user, whose phones have to register again.
    pub fn forget(&mut self, user: &str) {
        if let Some((user, _)) = self.users.remove_entry(user) {
            self.touch(&user);
        }
    }

    /// Notes changes from now on, for [`Self::take_rows`].
    pub(super) fn keep_rows(&mut self) {
        self.touched.get_or_insert_default();
    }

    /// Returns the rows of users whose bindings have changed, by their ids. None: they have no phone.
    pub(super) fn take_rows(&mut self, clock: BootClock) -> Vec<(u128, Option<RegistrationRow>)> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        let row = |user: Arc<str>| {
            let bindings = self.users.get(&user);
            let row =
                bindings.map(|it| RegistrationRow::of(&user, it.iter().map(Binding::parts), clock));
            (RegistrationRow::id(&user), row)
        };
        touched.into_iter().map(row).collect()
    }

    /// Takes the bindings of a user from an earlier process. Those that have expired are left out.
    pub(super) fn restore(&mut self, now: Instant, user: &Arc<str>, bindings: Vec<BindingParts>) {
        let binding = |it: BindingParts| {
            let BindingParts { contact, hop, ends_at, user_agent, has_keep_alive, call_id, cseq } =
                it;
            let keep_alive_at = has_keep_alive.then_some(now);
            Binding { contact, hop, ends_at, user_agent, keep_alive_at, call_id, cseq }
        };
        let bindings: Vec<_> =
            bindings.into_iter().filter(|it| now < it.ends_at).map(binding).collect();
        self.touch(user);
        if !bindings.is_empty() {
            self.users.insert(user.clone(), bindings);
        }
    }

    fn touch(&mut self, user: &Arc<str>) {
        if let Some(touched) = &mut self.touched {
            touched.insert(user.clone());
        }
    }

    /// Drops the bindings of a connection that has ended: their phones cannot be reached by another
    /// one (RFC 5626).
    pub fn close(&mut self, link: u64) {
        let is_of = |it: &Binding| it.hop.transport.is_stream() && it.hop.link == link;
        let Self { users, touched } = self;
        users.retain(|user, bindings| {
            let before = bindings.len();
            bindings.retain(|it| !is_of(it));
            note(touched, user, before != bindings.len());
            !bindings.is_empty()
        });
    }

    /// Returns the number of bindings.
    pub fn count(&self) -> usize {
        self.users.values().map(Vec::len).sum()
    }

    /// Returns when the next binding expires or needs a keep-alive.
    pub fn deadline(&self) -> Option<Instant> {
        let all = self.users.values().flatten();
        all.map(|it| it.keep_alive_at.map_or(it.ends_at, |at| at.min(it.ends_at))).min()
    }

    /// Drops expired bindings. Returns the hops to which an empty message must be sent as a
    /// keep-alive.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> Vec<Hop> {
        let mut keep_alives = Vec::new();
        let Self { users, touched } = self;
        users.retain(|user, bindings| {
            let before = bindings.len();
            bindings.retain(|it| it.ends_at > now);
            note(touched, user, before != bindings.len());
            for it in bindings.iter_mut().filter(|it| it.keep_alive_at.is_some_and(|at| at <= now))
            {
                it.keep_alive_at = Some(now + KEEP_ALIVE_EVERY);
                keep_alives.push(it.hop);
            }
            !bindings.is_empty()
        });
        keep_alives
    }
}

/// Notes a user whose bindings have changed.
fn note(touched: &mut Option<BTreeSet<Arc<str>>>, user: &Arc<str>, has_changed: bool) {
    if let Some(touched) = touched.as_mut().filter(|_| has_changed) {
        touched.insert(user.clone());
    }
}

/// Reads seconds. A number that is too large is the largest.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| parse_number(text).unwrap_or(u32::MAX))
}

/// Whether the phone uses UDP and its Contact has another address than its source.
fn is_natted(contact: &Uri, hop: &Hop) -> bool {
    let address = contact.sip().and_then(|uri| uri.host.address());
    hop.transport == Transport::Udp && address.is_some_and(|it| it != hop.remote.ip())
}

enum Contacts {
    All,
    These(Vec<NameAddr>),
}

fn contacts(request: &SipRequest) -> Result<Contacts, SipError> {
    let mut all = Vec::new();
    for text in request.message.all(&HeaderName::Contact) {
        if text == "*" {
            return match request.message.all(&HeaderName::Contact).count() {
                1 => Ok(Contacts::All),
                _ => Err(SipError::bad_request("Contact * among others")),
            };
        }
        all.extend(NameAddr::parse_list(text)?);
    }
    match all.len() > BINDINGS_MAX {
        true => Err(SipError::bad_request("too many Contacts")),
        false => Ok(Contacts::These(all)),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use super::{super::message::SipMessage, super::request::tests::hop, *};

    const LIMITS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

    struct RegistrarHarness {
        registrar: Registrar,
        now: Instant,
        cseq: u32,
    }

    impl RegistrarHarness {
        fn new() -> Self {
            Self { registrar: Registrar::default(), now: Instant::now(), cseq: 0 }
        }

        fn register(&mut self, headers: &str) -> Result<Vec<String>, u16> {
            self.cseq += 1;
            self.register_as(self.cseq, headers)
        }

        fn register_as(&mut self, cseq: u32, headers: &str) -> Result<Vec<String>, u16> {
            let text = format!(
                "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\n\
                 From: <sip:anna@b>;tag=1\r\nTo: <sip:anna@b>\r\nCall-ID: i\r\n\
                 CSeq: {cseq} REGISTER\r\n{headers}\r\n"
            );
            let request =
                SipRequest::read(SipMessage::parse(text.as_bytes()).unwrap().unwrap()).unwrap();
            let done = self.registrar.register(self.now, &"anna".into(), &request, &hop(), LIMITS);
            done.map_err(|error| error.code)?;
            let now = self.now;
            let bindings = self.registrar.bindings(now, "anna");
            Ok(bindings
                .map(|it| format!("{} {}", it.contact, (it.ends_at - now).as_secs()))
                .collect())
        }
    }

    #[test]
    fn phones_come_stay_and_go() {
        let mut bench = RegistrarHarness::new();
        for (headers, expected) in [
            ("Contact: <sip:a@1.1.1.1>\r\nExpires: 600\r\n", Ok(vec!["sip:a@1.1.1.1 600"])),
            ("", Ok(vec!["sip:a@1.1.1.1 600"])),
            (
                "Contact: <sip:a@2.2.2.2>;expires=99999\r\n",
                Ok(vec!["sip:a@1.1.1.1 600", "sip:a@2.2.2.2 3600"]),
            ),
            ("Contact: <sip:a@1.1.1.1>;expires=0\r\n", Ok(vec!["sip:a@2.2.2.2 3600"])),
            ("Contact: <sip:a@3.3.3.3>;expires=30\r\n", Err(423)),
            ("Contact: *\r\n", Err(400)),
            ("Contact: *\r\nExpires: 1\r\n", Err(400)),
            ("Contact: *\r\nContact: <sip:a@1.1.1.1>\r\nExpires: 0\r\n", Err(400)),
            ("Contact: <tel:+1>\r\n", Err(400)),
            ("Contact: sip:a@1.1.1.1?Route=x\r\n", Err(400)),
            ("Contact: *\r\nExpires: 0\r\n", Ok(vec![])),
        ] {
            let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(bench.register(headers), expected, "{headers:?}");
        }
        assert_eq!(bench.registrar.count(), 0);
    }

    #[test]
    fn a_lifetime_that_cannot_be_read_is_the_longest() {
        for headers in [
            "Contact: <sip:a@1.1.1.1>\r\nExpires: soon\r\n",
            "Contact: <sip:a@1.1.1.1>;expires=soon\r\nExpires:\r\n",
            "Contact: <sip:a@1.1.1.1>;expires=-1\r\n",
            "Contact: <sip:a@1.1.1.1>;expires=99999999999999999999\r\n",
        ] {
            let mut bench = RegistrarHarness::new();
            assert_eq!(
                bench.register(headers),
                Ok(vec!["sip:a@1.1.1.1 3600".to_owned()]),
                "{headers}"
            );
        }
    }

    #[test]
    fn a_register_that_comes_too_late_changes_nothing() {
        let mut bench = RegistrarHarness::new();
        let contact = "Contact: <sip:a@1.1.1.1>\r\n";
        assert!(bench.register_as(5, contact).is_ok());
        assert_eq!(bench.register_as(4, "Contact: <sip:a@1.1.1.1>;expires=0\r\n"), Err(500));
        assert_eq!(bench.registrar.count(), 1);
    }

    #[test]
    fn a_phone_that_does_not_come_back_is_forgotten() {
        let mut bench = RegistrarHarness::new();
        bench.register("Contact: <sip:a@192.0.2.9>\r\nExpires: 60\r\n").unwrap();
        assert_eq!(bench.registrar.deadline(), Some(bench.now + Duration::from_secs(60)));
        bench.now += Duration::from_secs(60);
        assert_eq!(bench.registrar.bindings(bench.now, "anna").count(), 0);
        assert_eq!(bench.registrar.tick(bench.now), []);
        assert_eq!((bench.registrar.count(), bench.registrar.deadline()), (0, None));
    }

    #[test]
    fn a_phone_behind_nat_is_reminded_of() {
        let mut bench = RegistrarHarness::new();
        bench.register("Contact: <sip:a@10.0.0.1>\r\nExpires: 60\r\n").unwrap();
        for _ in 0..2 {
            bench.now += KEEP_ALIVE_EVERY;
            assert_eq!(bench.registrar.deadline(), Some(bench.now));
            assert_eq!(bench.registrar.tick(bench.now), [hop()]);
        }
        assert_eq!(bench.registrar.deadline(), Some(bench.now + Duration::from_secs(10)));
    }

    #[test]
    fn a_phone_says_what_it_is_and_is_forgotten_with_its_user() {
        let mut bench = RegistrarHarness::new();
        let long = "x".repeat(USER_AGENT_CHARS_MAX + 1);
        bench.register(&format!("Contact: <sip:a@1.1.1.1>\r\nUser-Agent: {long}\r\n")).unwrap();
        let binding = bench.registrar.bindings(bench.now, "anna").next().unwrap();
        assert_eq!(binding.user_agent, long[1..]);
        bench.registrar.forget("bert");
        assert_eq!(bench.registrar.count(), 1);
        bench.registrar.forget("anna");
        assert_eq!(bench.registrar.count(), 0);
    }

    #[test]
    fn the_oldest_phone_goes_when_there_are_too_many() {
        let mut bench = RegistrarHarness::new();
        for n in 0..=BINDINGS_MAX {
            bench.register(&format!("Contact: <sip:a@1.1.1.{n}>\r\n")).unwrap();
        }
        let first = bench.registrar.bindings(bench.now, "anna").next().unwrap();
        assert_eq!(first.contact.to_string(), "sip:a@1.1.1.1");
        assert_eq!(bench.registrar.count(), BINDINGS_MAX);
    }
}
