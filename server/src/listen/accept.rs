//! Accepts connections within their limits, even if the process has no free file descriptor.

use super::clock::Clock;
use super::connection::Connection;
use super::limits::ConnectionLimits;
use super::registry::{Full, Registry};
use crate::metrics;
use crate::outage_log::{LogThrottle, Outage};
use axum::extract::connect_info::Connected;
use axum_server::{AddrListener, Address};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// How long the listener waits after a connection could not be accepted.
const BACK_OFF: Duration = Duration::from_millis(100);
/// A shortage of descriptors is over after this time without an error: each connection that ends admits the next one.
const RECOVERY: Duration = Duration::from_secs(1);
/// How often refused connections are logged.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// The answer to a connection beyond the limits. TLS allows no answer.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: text/plain; charset=utf-8\r\n\
                         content-length: 42\r\nconnection: close\r\n\r\ntoo many connections are open: try later.\n";

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: SocketAddr,
    clock: Option<Arc<Clock>>,
}

impl Peer {
    /// The address of the caller.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The clock of the connection.
    pub(super) fn clock(&self) -> Option<&Arc<Clock>> {
        self.clock.as_ref()
    }
}

impl Connected<Self> for Peer {
    fn connect_info(peer: Self) -> Self {
        peer
    }
}

impl Address for Peer {
    type Stream = Connection;
    type Listener = Listener;
}

/// A listener within limits.
#[derive(Debug)]
pub(crate) struct Listener {
    inner: TcpListener,
    registry: Arc<Registry>,
    limits: Arc<ConnectionLimits>,
    is_encrypted: bool,
    outage: Outage,
    failed: Mutex<Option<Instant>>,
    refused: LogThrottle,
}

impl Listener {
    pub(super) fn new(inner: TcpListener, limits: Arc<ConnectionLimits>, is_encrypted: bool) -> Self {
        let registry = Arc::new(Registry::new(&limits));
        let (outage, failed, refused) = (Outage::default(), Mutex::default(), LogThrottle::new(LOG_EVERY));
        Self { inner, registry, limits, is_encrypted, outage, failed, refused }
    }

    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, stream: &TcpStream, address: SocketAddr, why: Full) {
        metrics::refused(why.word());
        if let Some(count) = self.refused.count() {
            let (open, reason) = (self.registry.count(), why.word());
            tracing::warn!(%address, reason, open, count, "refusing connections: raise `server.connections`, or find the caller");
        }
        if !self.is_encrypted {
            // The answer fits into the buffer of a new connection; a caller that is gone needs no answer.
            let _ = stream.try_write(REFUSAL);
        }
    }

    async fn wait_for_descriptors(&self, error: &io::Error) {
        metrics::refused("accept");
        *self.failed() = Some(Instant::now());
        if self.outage.begins() {
            let open = self.registry.count();
            tracing::error!(%error, open, "cannot accept connections: retrying");
        }
        self.registry.evict_longest_waiting(Instant::now());
        sleep(BACK_OFF).await;
    }
}

impl AddrListener<Connection, Peer> for Listener {
    async fn bind_to(peer: Peer) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(peer.address).await?, Arc::default(), false))
    }

    async fn accept_stream(&self) -> io::Result<(Connection, Peer)> {
        loop {
            let (stream, address) = match self.inner.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_caller(&error) => continue,
                Err(error) => {
                    self.wait_for_descriptors(&error).await;
                    continue;
                }
            };
            if self.failed().is_none_or(|at| at.elapsed() >= RECOVERY) && self.outage.ends() {
                tracing::info!("accepting connections again");
            }
            match self.registry.admit(address.ip(), Instant::now()) {
                Ok(slot) => {
                    metrics::connections(self.registry.count());
                    let clock = Some(Arc::clone(&slot.clock));
                    let connection = Connection::new(stream, slot, Arc::clone(&self.limits));
                    return Ok((connection, Peer { address, clock }));
                }
                Err(why) => self.refuse(&stream, address, why),
            }
        }
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.inner.local_addr()?, clock: None })
    }
}

/// Whether the caller itself ended a connection before it was accepted.
fn is_of_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
