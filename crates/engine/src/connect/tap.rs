//! Rows of a COPY, past the driver.
//!
//! The driver hands over one message at a time, and the server sends one for each row: for short rows that costs more than all else
//! that is done to them. So what the server says goes through here first. While a [`super::CopyText`] is read, the text in messages of
//! COPY is put together into slabs that go straight to its reader; every other message goes on to the driver, which sees a COPY
//! without rows.
//!
//! All messages have a type of one byte and a length (PostgreSQL, "Message Formats"); but for one byte that answers the wish for TLS,
//! nothing else comes. A slab is always on its way before the message that ends its COPY.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_util::sync::PollSender;

use super::slabs::{Slab, Switch};

/// Bytes read from the server at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of a slab that is not the last, or sent because its reader waits.
const SLAB_BYTES: usize = 128 * 1024;
/// Type and length of a message.
const HEAD_BYTES: usize = 5;

const COPY_OUT_RESPONSE: u8 = b'H';
const COPY_DATA: u8 = b'd';
const COPY_DONE: u8 = b'c';
const ERROR: u8 = b'E';

/// What of a message is still to come.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// The beginning of the next.
    Head,
    /// For the driver.
    Driver(usize),
    /// For the reader of the COPY.
    Text(usize),
}

/// A connection whose messages are looked at as they come.
#[derive(Debug)]
pub(super) struct Tap<S> {
    inner: S,
    switch: Arc<Switch>,
    /// Bytes that come before the first message, for the driver.
    unframed: usize,
    rest: Rest,
    buffer: Box<[u8]>,
    /// What of the buffer was read and not given away.
    from: usize,
    to: usize,
    is_at_end: bool,
    reader: Option<PollSender<Slab>>,
    slab: Slab,
}

impl<S> Tap<S> {
    /// `unframed` bytes come before the first message.
    pub(super) fn new(inner: S, switch: Arc<Switch>, unframed: usize) -> Self {
        Self {
            inner,
            switch,
            unframed,
            rest: Rest::Head,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            from: 0,
            to: 0,
            is_at_end: false,
            reader: None,
            slab: Slab::new(),
        }
    }

    /// Gives away what was read, until there is no more of it or the driver has all that it can take.
    fn give(&mut self, cx: &mut Context<'_>, driver: &mut ReadBuf<'_>) -> Poll<()> {
        while self.from < self.to {
            match self.rest {
                Rest::Driver(0) | Rest::Text(0) => self.rest = Rest::Head,
                Rest::Head => {
                    let head = &self.buffer[self.from..self.to];
                    let Some((&[kind, a, b, c, d], _)) = head.split_first_chunk::<HEAD_BYTES>()
                    else {
                        if !self.is_at_end {
                            return Poll::Ready(());
                        }
                        // The driver says what is wrong with half a message.
                        self.rest = Rest::Driver(self.to - self.from);
                        continue;
                    };
                    // The length counts itself; what is too short to be one, the driver refuses.
                    let length = u32::from_be_bytes([a, b, c, d]) as usize;
                    // Nothing sooner: the end of a COPY that was left before its end may still come, after the wish for this one.
                    if kind == COPY_OUT_RESPONSE {
                        self.reader = self.switch.take().map(PollSender::new);
                    }
                    if kind == COPY_DATA && self.reader.is_some() && length >= 4 {
                        self.from += HEAD_BYTES;
                        self.rest = Rest::Text(length - 4);
                        continue;
                    }
                    if matches!(kind, COPY_DONE | ERROR) && self.reader.is_some() {
                        ready!(self.send(cx));
                        self.reader = None;
                    }
                    self.rest = Rest::Driver(length + 1);
                }
                Rest::Driver(left) => {
                    let some = left.min(self.to - self.from).min(driver.remaining());
                    if some == 0 {
                        return Poll::Ready(());
                    }
                    driver.put_slice(&self.buffer[self.from..self.from + some]);
                    self.from += some;
                    self.rest = Rest::Driver(left - some);
                }
                Rest::Text(left) => {
                    let some = left.min(self.to - self.from);
                    self.slab.extend_from_slice(&self.buffer[self.from..self.from + some]);
                    self.from += some;
                    self.rest = Rest::Text(left - some);
                    if self.slab.len() >= SLAB_BYTES {
                        ready!(self.send(cx));
                    }
                }
            }
        }
        Poll::Ready(())
    }

    /// Sends what there is of a slab. Who has stopped reading is sent nothing: the rest of the COPY is dropped.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(()) };
        if self.slab.is_empty() {
            return Poll::Ready(());
        }
        if ready!(reader.poll_reserve(cx)).is_err() {
            self.slab.clear();
            return Poll::Ready(());
        }
        let slab = std::mem::replace(&mut self.slab, Slab::with_capacity(SLAB_BYTES + READ_BYTES));
        // Who went away at this very moment wants it no more.
        drop(reader.send_item(slab));
        Poll::Ready(())
    }

    /// A reader that waits for a piece.
    fn is_awaited(&self) -> bool {
        self.reader
            .as_ref()
            .and_then(PollSender::get_ref)
            .is_some_and(|sender| sender.capacity() == sender.max_capacity())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        driver: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = driver.filled().len();
        if driver.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            // Before the first message not a byte more is read than was asked for: with TLS, what follows is not for us.
            if this.unframed > 0 {
                let mut byte = [0];
                let mut one = ReadBuf::new(&mut byte);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut one))?;
                driver.put_slice(one.filled());
                this.unframed -= one.filled().len();
                return Poll::Ready(Ok(()));
            }
            // Its reader was slow: before that much is gone, nothing more is read.
            if this.slab.len() >= SLAB_BYTES {
                ready!(this.send(cx));
            }
            let given = this.give(cx, driver);
            if driver.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            ready!(given);
            if this.is_at_end {
                this.reader = None;
                return Poll::Ready(Ok(()));
            }
            // What is left is the beginning of a head, or nothing.
            this.buffer.copy_within(this.from..this.to, 0);
            (this.from, this.to) = (0, this.to - this.from);
            let mut space = ReadBuf::new(&mut this.buffer[this.to..]);
            match Pin::new(&mut this.inner).poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) => {
                    let read = space.filled().len();
                    this.is_at_end = read == 0;
                    this.to += read;
                }
                Poll::Ready(Err(error)) => {
                    this.reader = None;
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    if this.is_awaited() {
                        ready!(this.send(cx));
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Tap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// Puts the tap above TLS, where there is TLS: below it nothing can be read.
#[derive(Debug)]
pub(super) struct TapConnect<C>(pub(super) C);

impl<S, C> TlsConnect<Tap<S>> for TapConnect<C>
where
    C: TlsConnect<S>,
    C::Future: Send + 'static,
{
    type Stream = Tap<C::Stream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: Tap<S>) -> Self::Future {
        let Tap { inner, switch, from, to, .. } = stream;
        let is_clean = from == to;
        let handshake = self.0.connect(inner);
        Box::pin(async move {
            if !is_clean {
                // Somebody between us and the server may have put it there.
                return Err("bytes came in clear before the handshake".into());
            }
            Ok(Tap::new(handshake.await.map_err(Into::into)?, switch, 0))
        })
    }
}

#[cfg(test)]
mod tests;
