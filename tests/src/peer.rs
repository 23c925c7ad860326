//! A stand-in HTTP service that the server calls: records all calls, and answers as the test defines.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

/// Limit of a recorded body, in bytes.
const LONGEST: usize = 10_000_000;

/// A received call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Headers by names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

/// A running service. Stops when dropped.
#[derive(Debug)]
pub struct Peer {
    /// Its address: `http://127.0.0.1:4711`.
    pub url: String,
    received: Arc<Mutex<Vec<Call>>>,
    // The runtime of the service.
    _runtime: tokio::runtime::Runtime,
}

impl Peer {
    /// Answers each call by its path and the number of earlier calls, with a status and a JSON body.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(answer: impl Fn(&str, usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::start_with(move |call, before| {
            let (status, body) = answer(&call.path, before);
            (status, "application/json", body)
        })
    }

    /// Answers each call by its content and the number of earlier calls, with a status, a content type and a body.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start_with(answer: impl Fn(&Call, usize) -> (u16, &'static str, String) + Send + Sync + 'static) -> Self {
        Self::start_with_headers(move |call, before| {
            let (status, content_type, body) = answer(call, before);
            (status, vec![("content-type", content_type.to_owned())], body)
        })
    }

    /// Answers each call by its content and the number of earlier calls, with a status, headers and a body.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start_with_headers(
        answer: impl Fn(&Call, usize) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("a socket");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let received = Arc::<Mutex<Vec<Call>>>::default();
        let (answer, calls) = (Arc::new(answer), Arc::clone(&received));
        let routes = axum::Router::new().fallback(move |request: Request| {
            let (answer, calls) = (Arc::clone(&answer), Arc::clone(&calls));
            async move {
                let (parts, body) = request.into_parts();
                let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
                let call = Call {
                    method: parts.method.to_string(),
                    path: parts.uri.to_string(),
                    headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                    body: to_bytes(body, LONGEST).await.unwrap_or_default(),
                };
                let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
                let (status, headers, body) = answer(&call, calls.len());
                calls.push(call);
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
                for (name, value) in headers {
                    response.headers_mut().insert(name, HeaderValue::from_str(&value).expect("a header"));
                }
                response
            }
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, routes).await
        });
        Self { url, received, _runtime: runtime }
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
