//! Routes: the way to a destination (contract of calling out, section 2), and which trunks may take it.

use std::sync::Arc;

use super::{
    settings::Settings,
    trunk::{DialHost, OutboundTrunk, TrunkTarget},
    uri::{Host, SipUri, Uri},
};
use crate::{
    base::{ids::AccountId, user_part::bare_number},
    media::{CannotDial, HangupCause},
    rtp::sdp::crypto::SrtpPolicy,
};

/// The way to a destination.
#[derive(Clone, Debug, PartialEq)]
pub enum CallRoute {
    /// The phones that are registered under this name.
    Endpoint(Arc<str>),
    /// These servers, the first that is free; at least one.
    Servers(Vec<TrunkRoute>),
}

/// The way through one trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkRoute {
    /// The trunk's name; empty for a host that is called without one.
    pub name: Arc<str>,
    /// Whether the sound is encrypted.
    pub srtp: SrtpPolicy,
    /// The trunk, or what a host without one is called by.
    pub trunk: Arc<OutboundTrunk>,
    /// Whom the trunk is asked for.
    pub callee: TrunkCallee,
}

/// Whom a trunk is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum TrunkCallee {
    /// A number, as it is sent.
    Number(String),
    /// A URI, which is sent as it is.
    Uri(SipUri),
}

/// The lengths of numbers that are called.
const DIGITS: std::ops::RangeInclusive<usize> = 3..=15;

impl TrunkRoute {
    /// Whether it is a host without a trunk, whose addresses must be public ones.
    pub fn is_foreign(&self) -> bool {
        self.name.is_empty()
    }
}

impl Settings {
    /// Returns the way to a destination, if this account may take it.
    ///
    /// # Errors
    ///
    /// There is no way; the cause is that of contract section 2.
    pub fn route(&self, account: &AccountId, to: &str) -> Result<CallRoute, CannotDial> {
        if let Some(number) = bare_number(to) {
            return self.route_of_number(account, to, &number).map(CallRoute::Servers);
        }
        if let Ok(Uri::Sip(uri)) = Uri::parse(to)
            && !self.is_own(&uri)
            && uri.headers.is_none()
        {
            let servers = self.servers_of(account, &uri);
            if !servers.is_empty() {
                return Ok(CallRoute::Servers(servers));
            }
        }
        self.endpoint_at(account, to).map(CallRoute::Endpoint)
    }

    /// The trunks of an account that may call a number, in order.
    fn route_of_number(
        &self,
        account: &AccountId,
        to: &str,
        number: &str,
    ) -> Result<Vec<TrunkRoute>, CannotDial> {
        let no_way =
            |cause, hint: String| CannotDial { to: to.into(), hint, cause, is_foreign: false };
        if !DIGITS.contains(&number.len()) {
            let hint = "a number has 3 to 15 digits".to_owned();
            return Err(no_way(HangupCause::DestinationInvalid, hint));
        }
        let trunks = self.trunks_of(account);
        if trunks.is_empty() {
            let hint = format!(
                "no [[trunk]] has targets and the account {account} in its accounts, so it calls no numbers"
            );
            return Err(no_way(HangupCause::DestinationOut, hint));
        }
        let route = |(name, srtp, trunk): (Arc<str>, SrtpPolicy, Arc<OutboundTrunk>)| {
            let callee = TrunkCallee::Number(trunk.number(number)?);
            Some(TrunkRoute { name, srtp, trunk, callee })
        };
        let routes: Vec<_> = trunks.into_iter().filter_map(route).collect();
        match routes.is_empty() {
            true => {
                let hint = "no trunk of the account may call numbers that begin like this; see \
                    allow and deny of [[trunk]]"
                    .to_owned();
                Err(no_way(HangupCause::DestinationBarred, hint))
            }
            false => Ok(routes),
        }
    }

    /// The trunks through which an account may call, in order.
    fn trunks_of(&self, account: &AccountId) -> Vec<(Arc<str>, SrtpPolicy, Arc<OutboundTrunk>)> {
        let out = self.trunks.iter().filter_map(|it| {
            let out = it.outbound.as_ref().filter(|out| out.accounts.contains(account))?;
            Some((it.name.clone(), it.srtp, out.clone()))
        });
        let mut out: Vec<_> = out.collect();
        out.sort_by_key(|(.., trunk)| trunk.order);
        out
    }

    /// The trunks that a URI is called through, else the host itself if it may be called. Empty: it
    /// may not.
    fn servers_of(&self, account: &AccountId, uri: &SipUri) -> Vec<TrunkRoute> {
        let host = uri.host.to_string();
        let callee = || TrunkCallee::Uri(uri.clone());
        let trunks = self.trunks_of(account).into_iter();
        let trunks = trunks.filter(|(.., trunk)| trunk.hosts.iter().any(|it| **it == *host));
        let mut routes: Vec<_> = trunks
            .map(|(name, srtp, trunk)| TrunkRoute { name, srtp, trunk, callee: callee() })
            .collect();
        if routes.is_empty() && self.may_dial_host(&uri.host) {
            let target = SipUri { user: None, ..uri.clone() };
            let target = TrunkTarget { uri: target, priority: 0, weight: 1 };
            if target.transport().is_some() {
                let trunk = Arc::new(OutboundTrunk::foreign(target));
                let (name, srtp) = ("".into(), SrtpPolicy::default());
                routes.push(TrunkRoute { name, srtp, trunk, callee: callee() });
            }
        }
        routes
    }

    fn may_dial_host(&self, host: &Host) -> bool {
        self.dial_allow.iter().any(|it| match (it, host) {
            (DialHost::Name(name), Host::Name(host)) => **name == **host,
            (DialHost::Network(_), Host::Address(address)) => it.has_address(*address),
            (DialHost::Name(_), Host::Address(_)) | (DialHost::Network(_), Host::Name(_)) => false,
        })
    }
}

impl OutboundTrunk {
    /// The number as the trunk is sent it. None if it may not be called.
    fn number(&self, number: &str) -> Option<String> {
        let number = format!("{}{}", self.prefix, number.get(self.strip..)?);
        // A star matches with no digit, so that any digit is longer.
        let longest = |prefixes: &[Box<str>]| {
            let matching = prefixes.iter().filter_map(|it| match &**it {
                "*" => Some(0),
                prefix => number.starts_with(prefix).then_some(prefix.len()),
            });
            matching.max()
        };
        let allowed = longest(&self.allow)?;
        match longest(&self.deny).is_some_and(|denied| allowed <= denied) || number.is_empty() {
            true => None,
            false if self.plus => Some(format!("+{number}")),
            false => Some(number),
        }
    }

    /// What a host without a trunk is called by.
    fn foreign(target: TrunkTarget) -> Self {
        let caller_id = super::trunk::CallerIdHeader::From;
        Self { caller_id, ..Self::new(Vec::new(), vec![target], &["*"]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::SipTrunk;

    fn trunk(name: &str, set: impl Fn(&mut OutboundTrunk)) -> SipTrunk {
        let target = "sip:198.51.100.9".parse().unwrap();
        let mut out = OutboundTrunk::new(vec!["MA1".parse().unwrap()], vec![target], &["49"]);
        set(&mut out);
        SipTrunk { name: name.into(), outbound: Some(Arc::new(out)), ..SipTrunk::default() }
    }

    /// The trunks and what they are asked for, or the cause.
    fn way(
        trunks: &[SipTrunk],
        allow: &[&str],
        account: &str,
        to: &str,
    ) -> Result<Vec<String>, u16> {
        let settings = Settings {
            trunks: trunks.to_vec(),
            dial_allow: allow.iter().map(|it| it.parse().unwrap()).collect(),
            ..Settings::default()
        };
        match settings.route(&account.parse().unwrap(), to) {
            Ok(CallRoute::Endpoint(user)) => Ok(vec![user.to_string()]),
            Ok(CallRoute::Servers(rows)) => Ok(rows
                .iter()
                .map(|it| match &it.callee {
                    TrunkCallee::Number(number) => format!("{} {number}", it.name),
                    TrunkCallee::Uri(uri) => format!("{} {uri}", it.name),
                })
                .collect()),
            Err(error) => Err(error.cause.code()),
        }
    }

    #[test]
    fn numbers_take_the_trunks_of_the_account_in_order() {
        let trunks = [
            trunk("late", |it| it.order = 20),
            trunk("first", |it| it.order = 5),
            trunk("other", |it| it.accounts = vec!["MA2".parse().unwrap()]),
            trunk("us", |it| it.allow = vec!["1".into()]),
            SipTrunk { name: "inbound".into(), ..SipTrunk::default() },
        ];
        for to in ["4989123", "+49 (89) 12-3", "tel:+49-89-123", "49.89.123"] {
            let both = ["first +4989123".to_owned(), "late +4989123".to_owned()];
            assert_eq!(way(&trunks, &[], "MA1", to), Ok(both.to_vec()), "{to}");
        }
        assert_eq!(way(&trunks, &[], "MA2", "4989123"), Ok(vec!["other +4989123".to_owned()]));
        for (account, to, cause) in [
            ("MA3", "4989123", 2010),
            ("MA1", "33123", 2050),
            ("MA1", "49", 2000),
            ("MA1", "4912345678901234", 2000),
            ("MA2", "sip:4989123@198.51.100.9", 2010),
        ] {
            assert_eq!(way(&trunks, &[], account, to), Err(cause), "{account} {to}");
        }
    }

    #[test]
    fn the_longest_prefix_decides_after_strip_and_prefix() {
        let words = |it: &[&str]| it.iter().map(|it| Box::from(*it)).collect::<Vec<_>>();
        for (allow, deny, strip, prefix, to, expected) in [
            (&["*"][..], &[][..], 0, "", "33123", Ok("+33123")),
            (&["49"], &["4990"], 0, "", "4989123", Ok("+4989123")),
            (&["49"], &["4990"], 0, "", "4990123", Err(2050)),
            (&["49", "499011"], &["4990"], 0, "", "499011", Ok("+499011")),
            (&["49"], &["49"], 0, "", "4989123", Err(2050)),
            (&["49"], &["*"], 0, "", "4989123", Ok("+4989123")),
            (&["*"], &["*"], 0, "", "4989123", Err(2050)),
            (&["49"], &[], 1, "49", "089123", Ok("+4989123")),
            (&["49"], &[], 2, "", "4989123", Err(2050)),
            (&["*"], &[], 8, "", "4989123", Err(2050)),
            (&["*"], &[], 7, "", "4989123", Err(2050)),
        ] {
            let it = trunk("t", |it| {
                (it.allow, it.deny, it.strip) = (words(allow), words(deny), strip);
                it.prefix = prefix.into();
            });
            let expected = expected.map(|it| vec![format!("t {it}")]);
            assert_eq!(way(&[it], &[], "MA1", to), expected, "{allow:?} {deny:?} {to}");
        }
        let bare = trunk("t", |it| it.plus = false);
        assert_eq!(way(&[bare], &[], "MA1", "4989"), Ok(vec!["t 4989".to_owned()]));
    }

    #[test]
    fn foreign_hosts_need_a_trunk_or_dial_allow() {
        let trunks = [trunk("ai", |it| it.hosts = vec!["agent.example".into()])];
        let allow = ["bot.example", "203.0.113.0/24"];
        for (account, to, expected) in [
            ("MA1", "sip:x@Agent.example", Ok("ai sip:x@agent.example")),
            ("MA1", "sips:x@agent.example:5061", Ok("ai sips:x@agent.example:5061")),
            // The trunk belongs to another account.
            ("MA2", "sip:x@agent.example", Err(2010)),
            ("MA2", "sip:x@bot.example", Ok(" sip:x@bot.example")),
            ("MA2", "sip:x@sub.bot.example", Err(2010)),
            ("MA2", "sip:x@203.0.113.9", Ok(" sip:x@203.0.113.9")),
            ("MA2", "sip:x@203.0.114.9", Err(2010)),
            ("MA2", "sip:x@bot.example;transport=sctp", Err(2010)),
            ("MA2", "sip:x@bot.example?Replaces=y", Err(2010)),
            // Ours: other hosts that may be called do not count.
            ("MA2", "sip:x@localhost", Err(2020)),
        ] {
            let expected = expected.map(|it: &str| vec![it.to_owned()]);
            assert_eq!(way(&trunks, &allow, account, to), expected, "{account} {to}");
        }
        assert_eq!(way(&trunks, &[], "MA2", "sip:x@bot.example"), Err(2010));
    }
}
