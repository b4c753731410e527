//! Validity of credentials: how a stream learns that the credential that opened it has ended.

use std::future::{Future, pending};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The life of a credential, kept beside the credential. It ends once: by
/// [`Self::end`], or when it is dropped.
#[derive(Debug)]
pub struct CredentialLife(watch::Sender<bool>);

/// A stream's handle to the credentials that it depends on. Everything that outlives its request
/// holds one, and ends with the first of them.
#[derive(Clone, Debug, Default)]
pub struct CredentialValidity {
    lives: Vec<watch::Receiver<bool>>,
    until: Option<Instant>,
}

impl Default for CredentialLife {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl CredentialLife {
    /// Ends every stream of the credential, also one that is opened later by a request that has
    /// passed before.
    pub fn end(&self) {
        self.0.send_replace(true);
    }

    /// A handle for a stream.
    pub fn validity(&self) -> CredentialValidity {
        CredentialValidity { lives: vec![self.0.subscribe()], until: None }
    }
}

impl CredentialValidity {
    /// Valid as long as both are.
    pub fn and(mut self, other: Self) -> Self {
        self.lives.extend(other.lives);
        self.until = self.until.into_iter().chain(other.until).min();
        self
    }

    /// Valid until this time at most.
    pub fn until(self, until: Instant) -> Self {
        self.and(Self { lives: Vec::new(), until: Some(until) })
    }

    /// Whether one of the credentials has ended.
    pub fn is_over(&self) -> bool {
        let is_ended = |it: &watch::Receiver<bool>| *it.borrow() || it.has_changed().is_err();
        self.lives.iter().any(is_ended) || self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Waits until one of the credentials has ended.
    pub fn over(self) -> impl Future<Output = ()> + Send + 'static {
        let Self { lives, until } = self;
        let end = |mut it: watch::Receiver<bool>| async move {
            // It is an error if the life was dropped, which is an end as well.
            drop(it.wait_for(|is_ended| *is_ended).await);
        };
        let mut ends: FuturesUnordered<_> = lives.into_iter().map(end).collect();
        async move {
            let expiry = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(()) = ends.next() => (),
                () = expiry => (),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_first_of_its_credentials() {
        let [one, two] = [(); 2].map(|()| CredentialLife::default());
        let both = one.validity().and(two.validity());
        assert!(!both.is_over());
        assert_eq!(both.clone().over().now_or_never(), None);
        let waiting = tokio::spawn(both.clone().over());
        two.end();
        waiting.await.unwrap();
        assert!(both.is_over() && two.validity().is_over() && !one.validity().is_over());
        let dropped = one.validity();
        drop(one);
        assert!(dropped.is_over());
        dropped.over().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_its_credential_expires() {
        let (life, start) = (CredentialLife::default(), Instant::now());
        let expires = start + Duration::from_secs(30);
        let validity = life.validity().until(start + Duration::from_secs(60)).until(expires);
        validity.clone().over().await;
        assert_eq!(Instant::now(), expires);
        assert!(validity.is_over());
        assert_eq!(CredentialValidity::default().over().now_or_never(), None);
    }
}
