//! The common part of stand-ins: a server that listens on local addresses until it is dropped, the counters and the
//! record of its calls, and its faults.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::panic, reason = "this crate is test code: a panic here fails a test")]

mod faults;
mod http;
pub mod strict;
mod traffic;

pub use faults::Faults;
pub use http::{decode, lost, pairs};
pub use traffic::{ConcurrencyGuard, Traffic};

use axum::Router;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Builder, Runtime};

/// An address with a free local port.
pub const ANY: &str = "127.0.0.1:0";

/// Locks a mutex, even after a panic of another holder.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listening server, until it is dropped.
#[derive(Debug)]
pub struct Listening {
    // `None` during the drop.
    runtime: Option<Runtime>,
}

impl Listening {
    /// A server that does not listen yet.
    ///
    /// # Panics
    /// When no thread can be started.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: Some(runtime.expect("a runtime")) }
    }

    /// Listens on an address. Returns its URL, such as `http://127.0.0.1:4711`, which the routes may use.
    ///
    /// # Panics
    /// When the address is in use.
    #[must_use]
    pub fn on(&self, address: &str, routes: impl FnOnce(&str) -> Router) -> String {
        let listener = TcpListener::bind(address).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("a socket");
        let routes = routes(&url);
        self.runtime.as_ref().expect("the server is alive").spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, routes).await
        });
        url
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // The drop may run inside another runtime, which must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
