//! Connections on which nobody says anything are left.
//!
//! Which version of HTTP is spoken is read from the first bytes, before the limits of either version hold.

use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How HTTP/2 begins (RFC 9113 §3.4). What begins otherwise is HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Lets callers in who say soon enough which version they speak.
#[derive(Debug, Clone)]
pub(super) struct Prompt<A> {
    inner: A,
    longest: Duration,
}

impl<A> Prompt<A> {
    pub(super) fn new(inner: A, longest: Duration) -> Self {
        Self { inner, longest }
    }
}

impl<A, I, S> Accept<I, S> for Prompt<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
    A::Stream: Send,
{
    type Stream = Opening<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepted, longest) = (self.inner.accept(stream, service), self.longest);
        Box::pin(async move {
            let (inner, service) = accepted.await?;
            Ok((Opening { inner, awaited: Some((Box::pin(sleep(longest)), 0)) }, service))
        })
    }
}

/// A connection that fails when its first bytes do not come.
#[derive(Debug)]
pub(super) struct Opening<I> {
    inner: I,
    /// Until when, and how much of the preface has come; nothing once the version is told.
    awaited: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Opening<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, awaited } = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(inner).poll_read(cx, buffer)?;
        let Some((until, seen)) = awaited else { return read.map(Ok) };
        if read.is_pending() {
            ready!(until.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        let rest = PREFACE.get(*seen..).unwrap_or_default();
        *seen += new.len();
        if new.is_empty() || !rest.starts_with(new) || *seen == PREFACE.len() {
            *awaited = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Opening<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, parts)
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
