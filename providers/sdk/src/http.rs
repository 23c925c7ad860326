//! An HTTP client for provider crates: TLS by ring with the certificate authorities of this machine, no redirects, and
//! errors without URLs.
//!
//! Use [`builder`] alone for a protocol of your own. For vendors with a REST interface, use a [`Client`]. It builds an
//! [`Api`] from a [`Base`] URL, an [`Auth`] and a [`Vendor`]. The API sends a [`Request`] [`Within`] a time limit and
//! returns a [`Reply`] or a [`Failure`]. [`Api::error`] converts a failure into a
//! [`ProviderError`](crate::ProviderError).
//!
//! Read in this order: `request`, `reply` and `failure`, `api` (sending and retries), `auth`, `token` and `client_assertion`
//! (credentials), `pages` and `poll` (paginated and long-running answers). `plain` refuses credentials over `http://`.

mod api;
mod auth;
mod base;
mod client;
mod client_assertion;
mod failure;
mod header;
mod pages;
mod pause;
mod plain;
mod poll;
mod reply;
mod request;
mod streamed;
mod token;
mod token_source;
mod within;

pub use api::Api;
pub use auth::Auth;
pub use base::Base;
pub use client::{Client, Options};
pub use client_assertion::ClientAssertion;
pub use failure::{Failure, ParsedError, Purpose, Vendor};
pub use pages::Next;
pub use plain::{
    ALLOW_PLAIN_HTTP, allow_plain_http, check_credentials, is_exposed, is_plain_http_allowed, leads_to_this_machine,
};
pub use poll::Poll;
pub use reply::Reply;
pub use request::Request;
pub use streamed::Streamed;
pub use token::TokenRequest;
pub use token_source::{Token, TokenSource};
pub use within::Within;

pub use reqwest::header::{HeaderName, HeaderValue};

use crate::wrap::silence;
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, RequestBuilder, Response};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// A client that trusts the certificate authorities of a file, or those of this machine.
///
/// The TLS settings apply to this client only. The client follows no redirects: neither a change nor a token must reach
/// another host.
///
/// # Errors
/// When the file holds no certificates. The message does not name the file.
pub fn builder(authorities: Option<&Path>) -> Result<ClientBuilder, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots(authorities)?).with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).redirect(Policy::none());
    Ok(client.user_agent(concat!("terrace/", env!("CARGO_PKG_VERSION"))))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        // Without any authority, the TLS handshake fails with a clear message.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificates".to_owned()) } else { Ok(roots) }
}

/// Sends a request, and reports that the other side answered. A refused connection counts as an answer.
///
/// # Errors
/// Those of [`RequestBuilder::send`].
pub async fn dispatch(request: RequestBuilder) -> Result<Response, reqwest::Error> {
    let sent = request.send().await;
    if !sent.as_ref().is_err_and(reqwest::Error::is_timeout) {
        silence::answered();
    }
    sent
}

/// Reads the body of a response up to a size limit.
///
/// # Errors
/// The reason, if the body is longer or the connection ends.
pub async fn body(response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_words(&error))? {
        if body.len().saturating_add(chunk.len()) > max_bytes {
            return Err(too_long(max_bytes));
        }
        silence::answered();
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The reason of a [`body`] that is longer than its limit, for callers that treat it differently.
#[must_use]
pub fn too_long(max_bytes: usize) -> String {
    format!("the answer has more than {max_bytes} bytes")
}

/// The innermost cause of an error; never the URL, which may contain a secret.
#[must_use]
pub fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if let Some(status) = error.status() {
        return format!("it answers {status}");
    }
    let mut cause = error.source();
    let mut innermost = None;
    while let Some(error) = cause {
        innermost = Some(error.to_string());
        cause = error.source();
    }
    innermost.unwrap_or_else(|| "the request failed".to_owned())
}

#[cfg(test)]
mod tests;
