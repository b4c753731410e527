//! Nonce cache: the challenges of the servers that we call, so that later calls carry the answer at
//! once (RFC 3261, section 22.3).
//!
//! A server that does not know the nonce any more challenges again, which costs what it costs without
//! a cache: one round. Nothing secret is kept, only what servers have sent.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    digest_client::{Challenge, DigestAccount, DigestClient},
    resolve::ResolvedAddress,
};

/// What servers have challenged us with, by server and user name.
#[derive(Debug, Default)]
pub struct NonceCache {
    rows: BTreeMap<(ResolvedAddress, Arc<str>), NonceRow>,
    last_use: u64,
}

#[derive(Debug)]
struct NonceRow {
    challenges: Vec<Challenge>,
    used: u64,
}

/// Limit of rows; beyond it, the one that has not been used for longest is forgotten.
const ROWS_MAX: usize = 1_024;

impl NonceCache {
    /// A client for a request to this server, which answers what the server has asked before.
    pub fn client(
        &mut self,
        server: ResolvedAddress,
        account: Option<DigestAccount>,
    ) -> DigestClient {
        let key = account.as_ref().map(|it| (server, it.username.clone()));
        let row = key.and_then(|key| self.rows.get_mut(&key));
        let earlier = row.map(|row| {
            self.last_use += 1;
            row.used = self.last_use;
            row.challenges.clone()
        });
        DigestClient::with_earlier(account, earlier.unwrap_or_default())
    }

    /// Keeps what a server has challenged a request with, if that is answered.
    pub fn keep(&mut self, server: ResolvedAddress, client: &DigestClient) {
        let Some(username) = client.username() else { return };
        let key = (server, username.clone());
        if ROWS_MAX <= self.rows.len() && !self.rows.contains_key(&key) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.used);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| self.rows.remove(&key));
        }
        self.last_use += 1;
        let (challenges, used) = (client.challenges().to_vec(), self.last_use);
        self.rows.insert(key, NonceRow { challenges, used });
    }

    /// Forgets what a server has asked: it has refused our answer.
    pub fn forget(&mut self, server: ResolvedAddress, client: &DigestClient) {
        if let Some(username) = client.username() {
            self.rows.remove(&(server, username.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{SipPassword, message::SipMessage, request::Transport};

    fn server(port: u16) -> ResolvedAddress {
        ResolvedAddress { transport: Transport::Udp, address: ([192, 0, 2, 9], port).into() }
    }

    fn account(username: &str, realm: Option<&str>) -> Option<DigestAccount> {
        let realm = realm.map(Into::into);
        Some(DigestAccount { username: username.into(), password: SipPassword::new("pw"), realm })
    }

    /// A cache that knows the nonce of one server for one user.
    fn cache(port: u16) -> NonceCache {
        let mut cache = NonceCache::default();
        keep(&mut cache, port);
        cache
    }

    fn keep(cache: &mut NonceCache, port: u16) {
        let mut client = cache.client(server(port), account("anna", None));
        let text = "SIP/2.0 401 x\r\nVia: SIP/2.0/UDP x\r\nWWW-Authenticate: Digest realm=\"r\", \
            nonce=\"1\", qop=\"auth\"\r\n\r\n";
        assert!(client.challenged(&SipMessage::parse(text.as_bytes()).unwrap().unwrap()));
        client.answers("INVITE", "sip:b", "c");
        cache.keep(server(port), &client);
    }

    /// The count of the nonce in the first answer; None: there is no answer.
    fn count(client: &mut DigestClient) -> Option<String> {
        let (_, answer) = client.answers("INVITE", "sip:b", "c").into_iter().next()?;
        Some(answer.split("nc=").nth(1)?[..8].to_owned())
    }

    #[test]
    fn all_requests_count_the_same_nonce() {
        let mut cache = cache(1);
        let mut clients = [(), ()].map(|()| cache.client(server(1), account("anna", None)));
        for (n, client) in [(2, 0), (3, 1), (4, 0)] {
            assert_eq!(count(&mut clients[client]), Some(format!("{n:08x}")));
        }
    }

    #[test]
    fn a_nonce_is_for_one_server_one_user_and_one_realm() {
        let mut cache = cache(1);
        for (port, account) in [
            (2, account("anna", None)),
            (1, account("bo", None)),
            (1, account("anna", Some("other"))),
            (1, None),
        ] {
            assert_eq!(count(&mut cache.client(server(port), account)), None);
        }
        let mut client = cache.client(server(1), account("anna", Some("r")));
        assert!(count(&mut client).is_some() && !client.has_answered());
        cache.forget(server(1), &client);
        assert_eq!(count(&mut cache.client(server(1), account("anna", None))), None);
    }

    #[test]
    fn the_row_that_has_not_been_used_for_longest_makes_room() {
        let mut cache = cache(1);
        (2..=1_024).for_each(|port| keep(&mut cache, port));
        cache.client(server(1), account("anna", None));
        keep(&mut cache, 2_000);
        assert_eq!(cache.rows.len(), ROWS_MAX);
        let has = |port| cache.rows.contains_key(&(server(port), "anna".into()));
        assert!(has(1) && !has(2) && has(3) && has(2_000));
    }
}
