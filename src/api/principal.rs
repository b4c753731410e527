//! Principals: the owners of the credentials that requests show.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    accounts::{
        AuthenticatedAccount,
        validity::{CredentialLife, CredentialValidity},
    },
    base::ids::AccountId,
};

/// The principal of a request, once it is known.
#[derive(Debug, Default)]
pub(super) struct PrincipalCell {
    principal: OnceLock<Principal>,
    is_known: AtomicBool,
}

/// An account, and the user of it whose credentials were valid.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) account: AccountId,
    /// The token's label, or the person, application or till that has shown it; `signature` for a signed
    /// URL.
    pub(super) by: Arc<str>,
    /// The life of an account's token, or of the account for a signed URL; None for other credentials.
    pub(super) life: Option<Arc<CredentialLife>>,
    /// What streams depend on besides, if a session of the console has opened them.
    pub(super) session: Option<Arc<CredentialValidity>>,
}

impl Principal {
    /// What a stream of an account's request depends on.
    pub(super) fn validity(&self) -> CredentialValidity {
        let life = self.life.as_ref().expect("an account has shown a token").validity();
        self.session.iter().fold(life, |life, it| life.and((**it).clone()))
    }
}

impl PrincipalCell {
    /// A later principal of the same request is ignored.
    pub(super) fn set(&self, principal: Principal) {
        // A request signs in once.
        drop(self.principal.set(principal));
        self.note_known();
    }

    /// Notes that the credentials are good. Requests that only read need no principal for the audit.
    pub(super) fn note_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// None before authentication, or if it failed.
    pub(super) fn get(&self) -> Option<&Principal> {
        self.principal.get()
    }
}

impl From<&AuthenticatedAccount> for Principal {
    fn from(account: &AuthenticatedAccount) -> Self {
        Self {
            account: account.account.clone(),
            by: account.token.clone(),
            life: Some(account.life.clone()),
            session: None,
        }
    }
}
