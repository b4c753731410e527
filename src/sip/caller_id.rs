//! Caller id: what an INVITE through a trunk says of the caller and the callee (contract of calling
//! out, section 11).

use super::{
    attempt::{ANONYMOUS, caller},
    name::HeaderName,
    route::TrunkCallee,
    trunk::{CallerIdHeader, TrunkPrivacy},
    trunk_plan::CurrentTrunk,
};
use crate::{media::Dialling, rtp::g711::Law};

/// The parts of an INVITE that a trunk decides.
#[derive(Clone, Debug, PartialEq)]
pub struct InviteLook {
    /// The value of From, without a tag.
    pub from: String,
    /// The value of To.
    pub to: String,
    /// Further headers.
    pub extra: Vec<(HeaderName, String)>,
    /// The session interval to ask for, and the shortest acceptable, in seconds.
    pub session: (u32, u32),
    /// The codecs to offer, the preferred one first.
    pub codecs: Vec<Law>,
}

/// The From of those who do not want to be known (RFC 3323).
pub(super) const ANONYMOUS_FROM: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

impl InviteLook {
    /// The look of a call through this trunk; `domain` is the host of its From and To.
    pub fn new(dialling: &Dialling, current: &CurrentTrunk, domain: &str) -> Self {
        let trunk = &current.route.trunk;
        let is_anonymous = &*dialling.from == ANONYMOUS;
        // The trunk still has to know who pays.
        let number = match is_anonymous {
            true => trunk.caller_ids.first().map(|it| &**it),
            false => Some(&*dialling.from),
        };
        let sent = |number: &str| match number.bytes().all(|it| it.is_ascii_digit()) {
            true if trunk.plus => format!("+{number}"),
            true | false => number.to_owned(),
        };
        let name = if is_anonymous { "" } else { &*dialling.caller_name };
        let identity = number.map(|it| caller(&sent(it), name, domain));
        let from = match &identity {
            Some(identity) if !is_anonymous => identity.clone(),
            Some(_) | None => ANONYMOUS_FROM.to_owned(),
        };
        let mut extra = Vec::new();
        let is_known_to_trunk = !is_anonymous || trunk.privacy == TrunkPrivacy::Id;
        if let Some(identity) = identity.filter(|_| is_known_to_trunk) {
            let other = |name: &str| HeaderName::Other(name.into());
            match trunk.caller_id {
                CallerIdHeader::From => {}
                CallerIdHeader::Pai => extra.push((HeaderName::PAssertedIdentity, identity)),
                CallerIdHeader::Ppi => extra.push((other("P-Preferred-Identity"), identity)),
                CallerIdHeader::Rpid => {
                    let privacy = if is_anonymous { "full" } else { "off" };
                    let value = format!("{identity};party=calling;screen=yes;privacy={privacy}");
                    extra.push((other("Remote-Party-ID"), value));
                }
            }
        }
        if is_anonymous && trunk.privacy == TrunkPrivacy::Id {
            extra.push((HeaderName::Privacy, "id".to_owned()));
        }
        Self {
            from,
            to: match &current.route.callee {
                TrunkCallee::Number(number) => format!("<sip:{number}@{domain}>"),
                TrunkCallee::Uri(uri) => format!("<{uri}>"),
            },
            extra,
            session: (trunk.session_expires, trunk.min_se),
            codecs: trunk.codecs.clone(),
        }
    }
}
