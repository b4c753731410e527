//! Streams: bodies that end with the credential that opened them, and the number of open ones for
//! each account.

use std::{collections::HashMap, future::Future, sync::Arc, task::Poll};

use axum::body::{Body, Bytes};
use futures_util::{FutureExt, Stream, stream};
use parking_lot::Mutex;

use crate::{accounts::validity::CredentialValidity, base::ids::AccountId};

/// The largest number of streams of one account. A stream holds one of the server's 4,096
/// connections as long as its client wants, so an account gets no more than 1/64 of them.
pub const STREAMS_MAX: usize = 64;

/// The credential that opened a stream has ended.
#[derive(Debug, thiserror::Error)]
#[error("the credential of the stream has ended")]
struct CredentialEnded;

/// A body that outlives its request. It breaks off as soon as the credential has ended, and so does
/// the connection: it is no regular end of the events. Every stream is made here, so that none goes on
/// with a token that was revoked.
pub(super) fn body(
    validity: CredentialValidity,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Body {
    let (mut chunks, mut over) = (Box::pin(chunks), Box::pin(validity.over().fuse()));
    Body::from_stream(stream::poll_fn(move |context| {
        // First: not even an event that is waiting may follow the end.
        if over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(CredentialEnded)));
        }
        chunks.as_mut().poll_next(context).map(|it| it.map(Ok))
    }))
}

/// The number of open streams of each account.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<AccountId, usize>>>);

/// An open stream. Dropping it closes it.
#[derive(Debug)]
pub(super) struct OpenEventStream {
    streams: Streams,
    account: AccountId,
}

impl Streams {
    /// None if the account has its maximum of streams.
    pub(super) fn open(&self, account: &AccountId) -> Option<OpenEventStream> {
        let mut counts = self.0.lock();
        let count = counts.entry(account.clone()).or_default();
        if STREAMS_MAX <= *count {
            return None;
        }
        *count += 1;
        Some(OpenEventStream { streams: self.clone(), account: account.clone() })
    }

    /// The streams of all accounts.
    pub(super) fn count(&self) -> usize {
        self.0.lock().values().sum()
    }
}

impl Drop for OpenEventStream {
    fn drop(&mut self) {
        let mut counts = self.streams.0.lock();
        if let Some(count) = counts.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::api::routes::PATHS;

    /// Issue 14, A2. A new stream ends with its credential, has a test of that (as in
    /// `tests/it/api/{voice/events.rs,voice/recordings.rs,groups/sockets.rs}`), and stands here.
    #[test]
    fn these_are_all_streams() {
        let endpoints =
            PATHS.iter().flat_map(|path| path.endpoints.iter().map(move |it| (path, it)));
        let streams = endpoints.filter(|(_, it)| it.is_stream).map(|(path, _)| path.pattern);
        let of_account = ["Recording/{recording}.wav", "Recording/{recording}.mp3", "Events"];
        let expected = ["/v1", "/api/v1"]
            .into_iter()
            .flat_map(|root| of_account.map(|it| format!("{root}/Account/{{auth_id}}/{it}")));
        let expected: Vec<_> = expected.chain(["/", "/socket"].map(str::to_owned)).collect();
        assert_eq!(streams.collect::<Vec<_>>(), expected);

        let mut makers = BTreeSet::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
        search(&root, &mut |path, text| {
            for word in ["from_stream(", "StreamBody", "hyper::upgrade::Upgraded"] {
                // Behind a quote, it is the list above.
                if text.replace(&format!("\"{word}"), "").contains(word) {
                    let path = path.strip_prefix(&root).unwrap().display().to_string();
                    makers.insert((path, word));
                }
            }
        });
        let expected = [
            ("groups/kirimin/socket.rs", "hyper::upgrade::Upgraded"),
            ("streams.rs", "from_stream("),
        ];
        let expected = expected.map(|(path, word)| (path.to_owned(), word));
        assert_eq!(makers, BTreeSet::from(expected));
    }

    fn search(folder: &Path, each: &mut dyn FnMut(&Path, &str)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => search(&path, each),
                false => each(&path, &fs::read_to_string(&path).unwrap()),
            }
        }
    }

    #[test]
    fn an_account_has_so_many_and_another_as_many() {
        let [one, two]: [AccountId; 2] = ["MA1", "MA2"].map(|it| it.parse().unwrap());
        let streams = Streams::default();
        let mut open: Vec<_> = (0..STREAMS_MAX).map(|_| streams.open(&one).unwrap()).collect();
        assert!(streams.open(&one).is_none());
        let other = streams.open(&two);
        assert!(other.is_some());
        assert_eq!(streams.count(), STREAMS_MAX + 1);
        open.pop();
        open.push(streams.open(&one).unwrap());
        drop((open, other));
        assert_eq!((streams.count(), streams.0.lock().len()), (0, 0));
    }
}
