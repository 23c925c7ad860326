//! An HTTP client as all that call others by HTTP need it: TLS by ring with the authorities of this machine, no redirects,
//! and errors in words that repeat no URL.
//!
//! [`builder`] alone is for who has a protocol of its own. Vendors with a REST interface are called by a [`Client`]: it makes
//! an [`Api`] of a [`Base`] URL, an [`Auth`] and a [`Vendor`], which sends [`Request`]s [`Within`] a time and answers with a
//! [`Reply`] or a [`Failure`]; [`Api::error`] tells a failure as a [`ProviderError`](crate::ProviderError).
//!
//! Read in this order: `request` (what is asked), `reply` and `failure` (what comes back), `api` (how one is sent, and again),
//! `auth`, `token` and `statement` (in whose name), `pages` and `poll` (answers in parts, and those that take long). `plain` refuses credentials over `http://`.

mod api;
mod auth;
mod base;
mod client;
mod failure;
mod pages;
mod pause;
mod plain;
mod poll;
mod reply;
mod request;
mod statement;
mod token;
mod within;

pub use api::Api;
pub use auth::Auth;
pub use base::Base;
pub use client::{Client, Options};
pub use failure::{Failure, Purpose, Said, Vendor};
pub use pages::Next;
pub use plain::{ALLOW_PLAIN_HTTP, allow_plain_http, check_credentials, is_exposed, is_plain_http_allowed};
pub use poll::Poll;
pub use reply::Reply;
pub use request::Request;
pub use statement::Statement;
pub use token::{Token, TokenRequest, TokenSource};
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

/// A client that trusts the authorities of a file, or those that this machine knows.
///
/// TLS is configured for this client alone: nothing is installed for the whole process. Nobody is sent on to another place:
/// what changes something is for whom it is meant, and so is a token.
///
/// # Errors
/// When the file holds no certificates, in words that do not name it.
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
        // Where the machine knows none, no `https` is trusted, and the handshake says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is none in it".to_owned()) } else { Ok(roots) }
}

/// Sends a request, and reports that the other side answered: a refused connection is an answer, too.
///
/// # Errors
/// Those of [`RequestBuilder::send`].
pub async fn dispatched(request: RequestBuilder) -> Result<Response, reqwest::Error> {
    let sent = request.send().await;
    if !sent.as_ref().is_err_and(reqwest::Error::is_timeout) {
        silence::answered();
    }
    sent
}

/// The innermost cause of an error, which says what is wrong; never the URL, which may have a secret in it.
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
