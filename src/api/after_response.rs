//! What is done when an answer has left: signals that must not overtake it.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A deed that goes along with a response, in its extensions. It is done once, when the last clone
/// is dropped: at the latest when the connection is.
#[derive(Clone)]
pub(super) struct After(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Deed>);

struct Deed(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl After {
    pub(super) fn new(deed: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Deed(Mutex::new(Some(Box::new(deed))))))
    }
}

impl Drop for Deed {
    fn drop(&mut self) {
        if let Some(deed) = self.0.get_mut().take() {
            deed();
        }
    }
}

/// What a connection's stream does when it has given the bytes of an answer to the system.
#[derive(Clone, Default)]
pub(super) struct Afters(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    after: Option<After>,
    /// Some of the answer has been written; the next flush has all of it.
    has_begun: bool,
}

impl Afters {
    /// Waits for the answer that is written next.
    pub(super) fn put(&self, after: After) {
        let before =
            mem::replace(&mut *self.0.lock(), Waiting { after: Some(after), has_begun: false });
        drop(before);
    }

    fn written(&self, count: usize) {
        let mut waiting = self.0.lock();
        waiting.has_begun |= 0 < count && waiting.after.is_some();
    }

    fn flushed(&self) {
        let mut waiting = self.0.lock();
        let done = waiting.has_begun.then(|| mem::take(&mut *waiting));
        drop(waiting);
        drop(done);
    }
}

/// A stream that tells its [`Afters`].
pub(super) struct Watched<S> {
    stream: S,
    afters: Afters,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, afters: Afters) -> Self {
        Self { stream, afters }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.afters.written(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.afters.written(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.afters.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt;

    use super::*;

    fn counted() -> (Arc<AtomicUsize>, After) {
        let count = Arc::new(AtomicUsize::new(0));
        let deed = count.clone();
        (count, After::new(move || _ = deed.fetch_add(1, Ordering::Relaxed)))
    }

    #[tokio::test]
    async fn it_is_done_once_when_the_answer_is_written_and_flushed() {
        let (count, after) = counted();
        let afters = Afters::default();
        let (near, _far) = tokio::io::duplex(1_000);
        let mut stream = Watched::new(near, afters.clone());
        let done = || count.load(Ordering::Relaxed);
        afters.put(after);
        stream.flush().await.unwrap();
        assert_eq!(done(), 0, "nothing has been written yet");
        stream.write_all(b"HTTP/1.1 200 OK").await.unwrap();
        assert_eq!(done(), 0, "it may still be in a buffer");
        stream.flush().await.unwrap();
        assert_eq!(done(), 1);
        stream.flush().await.unwrap();
        drop(stream);
        assert_eq!(done(), 1);
    }

    #[test]
    fn it_is_done_when_the_connection_breaks_before() {
        let (count, after) = counted();
        let afters = Afters::default();
        afters.put(after);
        drop(afters);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
