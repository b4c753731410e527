//! Encryption of a negotiation: which profile and keys are offered, answered and accepted.

use super::{
    Negotiation, RemoteMedia,
    crypto::{self, SrtpKeys, SrtpPolicy, SrtpSecret},
    refusal::{Refusal, SECURE_PROFILES},
};

impl Negotiation {
    /// Encrypts the sound as the policy says. `secret` must be random, and new for each call.
    #[must_use]
    pub fn encrypted(mut self, policy: SrtpPolicy, secret: SrtpSecret) -> Self {
        self.srtp = Some((policy, secret)).filter(|it| it.0 != SrtpPolicy::Off);
        self
    }

    /// Puts the keys that the policy wants into our offer, and its profile.
    pub(super) fn offer_crypto(&mut self) {
        let Some((policy, secret)) = &self.srtp else { return };
        match policy {
            SrtpPolicy::Off | SrtpPolicy::Allow => return,
            SrtpPolicy::Offer => {}
            SrtpPolicy::Require => self.profile = SECURE_PROFILES[0],
        }
        self.crypto = crypto::offered(secret);
    }

    /// Refuses an offered line whose encryption the policy or its own profile does not allow.
    pub(super) fn decided(&self, remote: RemoteMedia) -> Result<RemoteMedia, Refusal> {
        let is_secure = SECURE_PROFILES.contains(&remote.profile);
        match (&self.srtp, &remote.crypto) {
            (None, _) if is_secure => Err(Refusal::Encrypted),
            (None, _) | (Some(_), Some(_)) => Ok(remote),
            (Some(_), None) if is_secure => Err(Refusal::Crypto),
            (Some((SrtpPolicy::Require, _)), None) => Err(Refusal::Plain),
            (Some(_), None) => Ok(remote),
        }
    }

    pub(super) fn answer_crypto(&self, remote: &RemoteMedia) -> Option<(SrtpKeys, String)> {
        let (_, secret) = self.srtp.as_ref()?;
        Some(remote.crypto.clone()?.answered(secret))
    }

    /// The keys that an answer to our offer agrees on.
    pub(super) fn accept_crypto(
        &self,
        remote: &mut RemoteMedia,
    ) -> Result<Option<SrtpKeys>, Refusal> {
        let is_secure = |profile: &_| SECURE_PROFILES.contains(profile);
        let (offered, answered) = (is_secure(&self.profile), is_secure(&remote.profile));
        let secret = self.srtp.as_ref().map(|it| &it.1).filter(|_| !self.crypto.is_empty());
        let line = remote.crypto.take();
        let keys = secret.and_then(|secret| crypto::accepted(line.clone(), secret));
        // After an answer of ours, the far end refreshes the line that it has chosen before.
        let keys = keys.or_else(|| {
            let agreed = self.agreed.as_ref()?.srtp.clone()?;
            let (again, _) = line?.answered(secret?);
            (again.ours == agreed.ours).then_some(again)
        });
        match (offered, answered, &keys) {
            (true, _, None) if !answered => Err(Refusal::Plain),
            (true, _, None) | (_, true, None) => Err(Refusal::Crypto),
            (_, _, Some(_)) | (false, false, None) => Ok(keys),
        }
    }
}
