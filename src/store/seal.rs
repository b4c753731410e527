//! Row seal port: encrypts what the state log keeps of calls, such as the keys that callers have typed,
//! secrets of URLs, and the keys of their sound.

/// Encrypts the bodies of rows. Each can be opened in the place of its own row only.
pub trait RowSeal: Send + Sync + 'static {
    /// Appends an encrypted body to these bytes. `place` is the row: its kind, and its id.
    fn seal(&self, place: (u8, u128), body: &[u8], sealed: &mut Vec<u8>);

    /// Decrypts a body. None: it was sealed with another key, for another row, or it is damaged.
    fn open(&self, place: (u8, u128), sealed: &[u8]) -> Option<Vec<u8>>;
}
