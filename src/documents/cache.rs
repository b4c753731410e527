//! Documents that have been read: each is parsed once, and shared by all calls that run it.

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
    flow::{Fetched, Flow, Missing},
};

/// What has been parsed of late, by its content; what is no flow is kept as well.
///
/// `T` stands for the content: the [`Text`] itself, or, of a file that is not to be held, a
/// cryptographic hash of it.
///
/// Two halves: what is asked for moves into the young one, and when that is full the old one is
/// let go. So a document that is in use stays, and no other outlives two fillings.
#[derive(Debug)]
pub struct Documents<T> {
    halves: Mutex<Halves<T>>,
}

#[derive(Debug)]
struct Halves<T> {
    young: HashMap<Key<T>, Document>,
    old: HashMap<Key<T>, Document>,
    /// Of the young half, as the documents were written.
    bytes: usize,
}

/// The same text is another flow in another dialect: its defaults differ.
type Key<T> = (T, Dialect);

#[derive(Clone, Debug)]
struct Document {
    fetched: Fetched,
    bytes: usize,
}

/// Half of the documents kept. Many times the flows of any account seen, at some kilobytes each.
const DOCUMENTS_MAX: usize = 512;
/// Half of the text kept, counted as written: with the parsed flow it is a few times that.
const BYTES_MAX: usize = 8 * 1024 * 1024;

impl<T: Clone + Eq + Hash> Documents<T> {
    /// A document that has been read of late.
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

    /// Reads a document, unless the same has been read of late; true if it had to be parsed.
    pub fn read(&self, content: T, bytes: &[u8], dialect: Dialect) -> (Fetched, bool) {
        if let Some(found) = self.find(content.clone(), dialect) {
            return (found, false);
        }
        // Not under the lock: two may parse the same at once, and the later stands.
        let parsed = Flow::from_bytes(bytes, dialect);
        let fetched = parsed.map(Arc::new).map_err(|error| Missing::Invalid(Arc::new(error)));
        let document = Document { fetched: fetched.clone(), bytes: bytes.len() };
        self.halves.lock().insert((content, dialect), document);
        (fetched, true)
    }
}

impl<T> Default for Documents<T> {
    fn default() -> Self {
        let halves = Halves { young: HashMap::new(), old: HashMap::new(), bytes: 0 };
        Self { halves: Mutex::new(halves) }
    }
}

impl<T: Eq + Hash> Halves<T> {
    fn insert(&mut self, key: Key<T>, document: Document) {
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

/// The text of a document, as what it is known by: it is compared whole, so that no other can
/// ever pass for it. Its hash is taken once, under no lock.
#[derive(Clone, Debug)]
pub struct Text {
    hash: u64,
    bytes: Bytes,
}

/// Nobody knows it, so nobody can write texts that meet in a table and make it slow.
static HASH_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Self {
        Self { hash: HASH_KEY.hash_one(&bytes), bytes }
    }
}

impl Eq for Text {}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"<Response/>";

    fn read(documents: &Documents<Text>, text: &[u8], dialect: Dialect) -> (Fetched, bool) {
        documents.read(Text::from(Bytes::copy_from_slice(text)), text, dialect)
    }

    #[test]
    fn a_text_is_no_other_even_where_their_hashes_meet() {
        let documents = Documents::default();
        let flow = |n| format!("<Response><Wait length=\"{n}\"/></Response>");
        let read = |text: &str| {
            let content = Text { hash: 7, bytes: Bytes::copy_from_slice(text.as_bytes()) };
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
        let documents = Documents::default();
        let (first, is_new) = read(&documents, EMPTY, Dialect::Vobiz);
        assert!(is_new);
        let (again, is_new) = read(&documents, EMPTY, Dialect::Vobiz);
        assert!(!is_new && Arc::ptr_eq(&first.unwrap(), &again.unwrap()));
        assert!(read(&documents, EMPTY, Dialect::Plivo).1);
    }

    #[test]
    fn what_is_no_flow_is_read_once_too() {
        let documents = Documents::default();
        let (first, is_new) = read(&documents, b"<Response>", Dialect::Vobiz);
        assert!(is_new && matches!(first, Err(Missing::Invalid(_))));
        assert_eq!(read(&documents, b"<Response>", Dialect::Vobiz), (first, false));
    }

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_let_go() {
        let documents = Documents::default();
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
        let documents = Documents::default();
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
