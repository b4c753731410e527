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
    flow::{DocumentError, Fetched, Flow, FlowOrigin, FlowText, SourceDocument},
};

/// Recently parsed documents by content, including those that are not flows.
///
/// `T` identifies the content: the [`HashedText`] itself, or a cryptographic hash of it.
///
/// Documents with equal text share that text, and those of one dialect share their elements too,
/// whatever their origins. Each keeps its own origin: the URL of another is private.
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

/// The key of a document's content in the cache.
pub trait DocumentContent: Clone + Eq + Hash {
    /// BLAKE3 hash of the content; None if it must still be computed.
    fn known_hash(&self) -> Option<blake3::Hash>;
}

impl<T: DocumentContent> DocumentCache<T> {
    /// Returns the result of an earlier parse, if the cache still has it, with this origin.
    pub fn find(&self, content: T, origin: &FlowOrigin, dialect: Dialect) -> Option<Fetched> {
        let key = (content, dialect);
        let mut halves = self.halves.lock();
        if let Some(found) = halves.young.get_mut(&key) {
            return Some(found.of_origin(origin));
        }
        let mut found = halves.old.remove(&key)?;
        let fetched = found.of_origin(origin);
        halves.insert(key, found);
        Some(fetched)
    }

    /// Parses a document, or returns the cached result. True if it had to be parsed.
    pub fn read(
        &self,
        content: T,
        bytes: &Bytes,
        origin: &FlowOrigin,
        dialect: Dialect,
    ) -> (Fetched, bool) {
        if let Some(found) = self.find(content.clone(), origin, dialect) {
            return (found, false);
        }
        // Outside the lock: two threads may parse the same text, and the later result is kept.
        let text = match (self.text_in_use(&content), content.known_hash()) {
            (Some(text), _) => Ok(text),
            (None, Some(hash)) => FlowText::with_hash(bytes.clone(), hash).map(Arc::new),
            (None, None) => FlowText::new(bytes.clone()).map(Arc::new),
        };
        let parsed = text.and_then(|text| {
            let source = SourceDocument { text, origin: origin.clone() };
            Flow::from_source(source, dialect)
        });
        let fetched = parsed.map(Arc::new).map_err(|error| DocumentError::Invalid(Arc::new(error)));
        let document = CachedDocument { fetched: fetched.clone(), bytes: bytes.len() };
        self.halves.lock().insert((content, dialect), document);
        (fetched, true)
    }

    /// The text, if a document of another dialect has it.
    fn text_in_use(&self, content: &T) -> Option<Arc<FlowText>> {
        let halves = self.halves.lock();
        let found = [Dialect::Plivo, Dialect::Vobiz].into_iter().find_map(|dialect| {
            let key = (content.clone(), dialect);
            let found = halves.young.get(&key).or_else(|| halves.old.get(&key))?;
            found.fetched.as_ref().ok()
        });
        found.map(|flow| flow.source.text.clone())
    }
}

impl CachedDocument {
    /// The document as one of this origin; the next one from there gets the same.
    fn of_origin(&mut self, origin: &FlowOrigin) -> Fetched {
        if let Ok(flow) = &mut self.fetched
            && flow.source.origin != *origin
        {
            let source = SourceDocument { origin: origin.clone(), ..flow.source.clone() };
            *flow = Arc::new(Flow { source, ..(**flow).clone() });
        }
        self.fetched.clone()
    }
}

impl DocumentContent for blake3::Hash {
    fn known_hash(&self) -> Option<blake3::Hash> {
        Some(*self)
    }
}

impl DocumentContent for HashedText {
    fn known_hash(&self) -> Option<blake3::Hash> {
        None
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
        let bytes = Bytes::copy_from_slice(text);
        documents.read(HashedText::from(bytes.clone()), &bytes, &FlowOrigin::Inline, dialect)
    }

    fn url(text: &str) -> FlowOrigin {
        FlowOrigin::Url(text.into())
    }

    #[test]
    fn documents_of_one_text_share_it_and_each_knows_its_own_origin() {
        let documents = DocumentCache::default();
        let read = |origin: &str, dialect| {
            let bytes = Bytes::from_static(EMPTY);
            let content = HashedText::from(bytes.clone());
            let (flow, is_new) = documents.read(content, &bytes, &url(origin), dialect);
            (flow.unwrap(), is_new)
        };
        let (ours, _) = read("http://a/", Dialect::Vobiz);
        let (theirs, is_new) = read("http://b/", Dialect::Vobiz);
        assert!(!is_new && Arc::ptr_eq(&ours.steps, &theirs.steps));
        assert_eq!(
            (&ours.source.origin, &theirs.source.origin),
            (&url("http://a/"), &url("http://b/"))
        );
        assert!(Arc::ptr_eq(&theirs, &read("http://b/", Dialect::Vobiz).0));
        let (plivo, is_new) = read("http://a/", Dialect::Plivo);
        assert!(is_new && Arc::ptr_eq(&ours.source.text, &plivo.source.text));
    }

    #[test]
    fn a_text_is_in_memory_once() {
        let (documents, bytes) = (DocumentCache::default(), Bytes::from(EMPTY.to_vec()));
        let content = HashedText::from(bytes.clone());
        let (flow, _) = documents.read(content, &bytes, &FlowOrigin::Inline, Dialect::Vobiz);
        assert_eq!(flow.unwrap().source.text.as_str().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn a_text_is_no_other_even_where_their_hashes_meet() {
        let documents = DocumentCache::default();
        let flow = |n| format!("<Response><Wait length=\"{n}\"/></Response>");
        let read = |text: &str| {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let content = HashedText { hash: 7, bytes: bytes.clone() };
            documents.read(content, &bytes, &FlowOrigin::Inline, Dialect::Vobiz)
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
