//! A server for tests: it listens on addresses of this machine, in a runtime of its own, as long as somebody holds it.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "this crate is tests: what fails here fails a test")]

use axum::Router;
use std::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// An address with a free port of this machine.
pub const ANY: &str = "127.0.0.1:0";

/// What listens, until it is dropped.
#[derive(Debug)]
pub struct Listening {
    // Nothing once it is being dropped.
    runtime: Option<Runtime>,
}

impl Listening {
    /// Something that listens nowhere yet.
    ///
    /// # Panics
    /// When there are no threads to be had.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: Some(runtime.expect("a runtime")) }
    }

    /// Takes an address: where that is, such as `http://127.0.0.1:4711`, for routes that know it.
    ///
    /// # Panics
    /// When it is taken.
    #[must_use]
    pub fn on(&self, address: &str, routes: impl FnOnce(&str) -> Router) -> String {
        let listener = TcpListener::bind(address).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("a socket");
        let routes = routes(&url);
        self.runtime.as_ref().expect("it is not being dropped").spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, routes).await
        });
        url
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may be dropped within another runtime, which does not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
