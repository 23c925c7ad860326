//! Stream of a connection. It fails if its caller keeps the server waiting for too long.

use super::clock::Reason;
use super::limits::ConnectionLimits;
use super::registry::Slot;
use crate::metrics;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// A connection with its place in the registry.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    slot: Slot,
    limits: Arc<ConnectionLimits>,
    timer: Option<Pin<Box<Sleep>>>,
    is_closed: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, slot: Slot, limits: Arc<ConnectionLimits>) -> Self {
        Self { stream, slot, limits, timer: None, is_closed: false }
    }

    /// Ready with an error once the connection has to be closed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.slot.clock.register(cx.waker());
        loop {
            let now = Instant::now();
            let Some((deadline, reason)) = self.slot.clock.deadline(&self.limits, now) else { return Poll::Pending };
            if deadline <= now {
                return Poll::Ready(self.close(reason));
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // A deadline that moved to later is read again when the timer ends.
            if timer.is_elapsed() || timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }

    fn close(&mut self, reason: Reason) -> io::Error {
        if !self.is_closed {
            self.is_closed = true;
            metrics::closed(reason.word());
            tracing::debug!(reason = reason.word(), "a connection was closed");
            // Unread bytes would stay in the send buffer of the system for minutes.
            if reason != Reason::Idle
                && let Err(error) = self.stream.set_zero_linger()
            {
                tracing::debug!(%error, "a connection cannot be reset");
            }
        }
        io::ErrorKind::TimedOut.into()
    }

    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.slot.clock.wrote(Instant::now(), bytes);
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                self.slot.clock.blocked(Instant::now());
                self.poll_deadline(cx).map(Err)
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        if let Poll::Ready(error) = connection.poll_deadline(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut connection.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let written = Pin::new(&mut connection.stream).poll_write(cx, bytes);
        connection.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let written = Pin::new(&mut connection.stream).poll_write_vectored(cx, parts);
        connection.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
