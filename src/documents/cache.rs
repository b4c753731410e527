//! Document cache: each document is parsed once and shared by all calls that run it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    mem,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    base::ids::Dialect,
    flow::{DocumentError, Fetched, Flow},
};

/// Recently parsed documents by content, including those that are not flows.
///
/// `T` identifies the content: the [`HashedText`] itself, or a cryptographic hash for files whose
/// text is not kept in memory.
///
/// The cache has two halves. A document that is used moves into the young half; when that is full,
/// the old half is dropped. So a document in use stays, and others last for at most two fillings.
#[derive(Debug)]
pub struct DocumentCache<T> {
    halves: Mutex<DocumentCacheHalves<T>>,
}

#[derive(Debug)]
struct DocumentCacheHalves<T> {
    young: HashMap<DocumentKey<T>, CachedDocument>,
    old: HashMap<DocumentKey<T>, CachedDocument>,
    /// Size of the documents of the young half, as text.
    bytes: usize,
}

/// A text is a different flow in each dialect, because the defaults differ.
type DocumentKey<T> = (T, Dialect);

#[derive(Clone, Debug)]
struct CachedDocument {
    fetched: Fetched,
    bytes: usize,
}

/// Entries of one half. Many times the flows of any account seen, at a few kilobytes each.
const DOCUMENTS_MAX: usize = 512;
/// Text of one half in bytes. The parsed flows take a few times that.
const BYTES_MAX: usize = 8 * 1024 * 1024;

impl<T: Clone + Eq + Hash> DocumentCache<T> {
    /// Returns the result of an earlier parse, if the cache still has it.
    pub fn find(&self, content: T, dialect: Dialect) -> Option<Fetched> {
        let key = (content, dialect);
        let mut halves = self.halves.lock();
        if let Some(found) = halves.young.get(&key) {
            return Some(found.fetched.clone());
        }
        let found = halves.old.remove(&key)?;
        halves.insert(key, found.clone());
        Some(found.fetched)
    }

    /// Parses a document, or returns the cached result. True if it had to be parsed.
    pub fn read(&self, content: T, bytes: &[u8], dialect: Dialect) -> (Fetched, bool) {
        if let Some(found) = self.find(content.clone(), dialect) {
            return (found, false);
        }
        // Outside the lock: two threads may parse the same text, and the later result is kept.
        let parsed = Flow::from_bytes(bytes, dialect);
        let fetched = parsed.map(Arc::new).map_err(|error| DocumentError::Invalid(Arc::new(error)));
        let document = CachedDocument { fetched: fetched.clone(), bytes: bytes.len() };
        self.halves.lock().insert((content, dialect), document);
        (fetched, true)
    }
}

impl<T> Default for DocumentCache<T> {
    fn default() -> Self {
        let halves = DocumentCacheHalves { young: HashMap::new(), old: HashMap::new(), bytes: 0 };
        Self { halves: Mutex::new(halves) }
    }
}

impl<T: Eq + Hash> DocumentCacheHalves<T> {
    fn insert(&mut self, key: DocumentKey<T>, document: CachedDocument) {
        let is_full = DOCUMENTS_MAX <= self.young.len() || BYTES_MAX < self.bytes + document.bytes;
        if is_full {
            self.old = mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += document.bytes;
        if let Some(before) = self.young.insert(key, document) {
            self.bytes -= before.bytes;
        }
    }
}

/// Text of a document as a cache key. Texts are compared whole, so that no other text can
/// match. The hash is computed once, without a lock.
#[derive(Clone, Debug)]
pub struct HashedText {
    hash: u64,
    bytes: Bytes,
}

/// A random key: nobody can craft texts whose hashes collide and slow the table down.
static HASH_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl From<Bytes> for HashedText {
    fn from(bytes: Bytes) -> Self {
        Self { hash: HASH_KEY.hash_one(&bytes), bytes }
    }
}

impl Eq for HashedText {}

impl PartialEq for HashedText {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Hash for HashedText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"<Response/>";

    fn read(
        documents: &DocumentCache<HashedText>,
        text: &[u8],
        dialect: Dialect,
    ) -> (Fetched, bool) {
        documents.read(HashedText::from(Bytes::copy_from_slice(text)), text, dialect)
    }

    #[test]
    fn a_text_is_no_other_even_where_their_hashes_meet() {
        let documents = DocumentCache::default();
        let flow = |n| format!("<Response><Wait length=\"{n}\"/></Response>");
        let read = |text: &str| {
            let content = HashedText { hash: 7, bytes: Bytes::copy_from_slice(text.as_bytes()) };
            documents.read(content, text.as_bytes(), Dialect::Vobiz)
        };
        for is_first in [true, false] {
            for text in [1, 2].map(flow) {
                let expected = Flow::parse(&text, Dialect::Vobiz).unwrap();
                let (found, is_new) = read(&text);
                assert_eq!((&*found.unwrap(), is_new), (&expected, is_first), "{text}");
            }
        }
    }

    #[test]
    fn a_document_is_parsed_once_for_each_dialect() {
        let documents = DocumentCache::default();
        let (first, is_new) = read(&documents, EMPTY, Dialect::Vobiz);
        assert!(is_new);
        let (again, is_new) = read(&documents, EMPTY, Dialect::Vobiz);
        assert!(!is_new && Arc::ptr_eq(&first.unwrap(), &again.unwrap()));
        assert!(read(&documents, EMPTY, Dialect::Plivo).1);
    }

    #[test]
    fn a_text_that_is_not_a_flow_is_parsed_once_too() {
        let documents = DocumentCache::default();
        let (first, is_new) = read(&documents, b"<Response>", Dialect::Vobiz);
        assert!(is_new && matches!(first, Err(DocumentError::Invalid(_))));
        assert_eq!(read(&documents, b"<Response>", Dialect::Vobiz), (first, false));
    }

    #[test]
    fn documents_in_use_stay_and_others_are_dropped() {
        let documents = DocumentCache::default();
        let text = |n: usize| format!("<Response><Wait length=\"{}\"/></Response>", n + 1);
        for n in 0..DOCUMENTS_MAX * 4 {
            drop(read(&documents, text(n).as_bytes(), Dialect::Vobiz));
            assert!(!read(&documents, text(0).as_bytes(), Dialect::Vobiz).1, "in use at {n}");
        }
        assert!(read(&documents, text(1).as_bytes(), Dialect::Vobiz).1);
        let halves = documents.halves.lock();
        assert!(halves.young.len() + halves.old.len() <= DOCUMENTS_MAX * 2);
    }

    #[test]
    fn long_documents_are_fewer() {
        let documents = DocumentCache::default();
        let blanks = " ".repeat(100_000);
        for n in 1..400 {
            let text = format!("<Response><Wait length=\"{n}\"/>{blanks}</Response>");
            drop(read(&documents, text.as_bytes(), Dialect::Vobiz));
        }
        let halves = documents.halves.lock();
        let kept = halves.young.values().chain(halves.old.values()).map(|it| it.bytes);
        assert!(kept.sum::<usize>() <= BYTES_MAX * 2);
    }
}
