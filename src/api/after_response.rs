//! Tasks after a response: signals that must not overtake the response that they follow.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A task that travels in the extensions of a response. It runs once, when the last clone is
/// dropped: at the latest when the connection is.
#[derive(Clone)]
pub(super) struct AfterResponse(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<AfterTask>,
);

struct AfterTask(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl AfterResponse {
    pub(super) fn new(task: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(AfterTask(Mutex::new(Some(Box::new(task))))))
    }
}

impl Drop for AfterTask {
    fn drop(&mut self) {
        if let Some(task) = self.0.get_mut().take() {
            task();
        }
    }
}

/// The task of a connection that runs once its response has been written to the system.
#[derive(Clone, Default)]
pub(super) struct AfterResponseSlot(Arc<Mutex<PendingAfter>>);

#[derive(Default)]
struct PendingAfter {
    after: Option<AfterResponse>,
    /// Some of the response has been written; the next flush writes all of it.
    has_begun: bool,
}

impl AfterResponseSlot {
    /// Sets the task for the response that is written next.
    pub(super) fn put(&self, after: AfterResponse) {
        let before = mem::replace(
            &mut *self.0.lock(),
            PendingAfter { after: Some(after), has_begun: false },
        );
        drop(before);
    }

    fn written(&self, count: usize) {
        let mut pending = self.0.lock();
        pending.has_begun |= 0 < count && pending.after.is_some();
    }

    fn flushed(&self) {
        let mut pending = self.0.lock();
        let finished = pending.has_begun.then(|| mem::take(&mut *pending));
        drop(pending);
        drop(finished);
    }
}

/// A stream that reports its writes and flushes to an [`AfterResponseSlot`].
pub(super) struct NotifyingStream<S> {
    stream: S,
    slot: AfterResponseSlot,
}

impl<S> NotifyingStream<S> {
    pub(super) fn new(stream: S, slot: AfterResponseSlot) -> Self {
        Self { stream, slot }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NotifyingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NotifyingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.slot.written(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.slot.written(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.slot.flushed();
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

    fn counted() -> (Arc<AtomicUsize>, AfterResponse) {
        let count = Arc::new(AtomicUsize::new(0));
        let task = count.clone();
        (count, AfterResponse::new(move || _ = task.fetch_add(1, Ordering::Relaxed)))
    }

    #[tokio::test]
    async fn it_is_done_once_when_the_answer_is_written_and_flushed() {
        let (count, after) = counted();
        let slot = AfterResponseSlot::default();
        let (near, _far) = tokio::io::duplex(1_000);
        let mut stream = NotifyingStream::new(near, slot.clone());
        let done = || count.load(Ordering::Relaxed);
        slot.put(after);
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
        let slot = AfterResponseSlot::default();
        slot.put(after);
        drop(slot);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
