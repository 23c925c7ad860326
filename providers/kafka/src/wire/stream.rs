//! Byte stream of a connection: TCP or TLS.

use super::{Access, NoAnswer};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// An open stream to a broker.
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Opens a stream to `host:port`.
    ///
    /// # Errors
    /// If the address cannot be reached, or the TLS handshake fails.
    pub(super) async fn open(address: &str, access: &Access) -> Result<Self, NoAnswer> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| NoAnswer::Unreachable(format!("`{address}` cannot be reached: {error}")))?;
        // Requests are small, and the caller waits for each answer.
        stream.set_nodelay(true).map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        let Some(tls) = &access.tls else { return Ok(Self::Plain(stream)) };
        match tls.connect(host_of(address), stream).await {
            Ok(stream) => Ok(Self::Encrypted(Box::new(stream))),
            Err(why) => Err(NoAnswer::Rejected(format!("the TLS handshake with `{address}` failed: {why}"))),
        }
    }
}

/// Returns the host of `host:port`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_ipv6_address_has_no_brackets() {
        assert_eq!(host_of("broker-1.example.com:9092"), "broker-1.example.com");
        assert_eq!(host_of("[::1]:9092"), "::1");
    }
}
