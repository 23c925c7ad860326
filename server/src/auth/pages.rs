//! Calls from pages of other sites. Without tokens, any page that the user's browser shows could call the server.

use axum::extract::Request;
use axum::http::{Method, Uri, header};
use std::net::IpAddr;

/// Whether a page of another site sent the call, by Fetch Metadata, or by `Origin` (RFC 6454) in older browsers.
pub(super) fn is_cross_site(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    if let Some(site) = text(request, "sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    match text(request, header::ORIGIN.as_str()) {
        None => false,
        Some(origin) => origin.split_once("://").map(|(_, authority)| authority) != authority(request),
    }
}

/// Whether the call is addressed to this machine by one of its own names: another site can point its own name here.
pub(crate) fn is_for_this_machine(request: &Request) -> bool {
    let Some(uri) = authority(request).map(str::parse::<Uri>) else { return true };
    let Ok(uri) = uri else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The host and the port that were called.
fn authority(request: &Request) -> Option<&str> {
    text(request, header::HOST.as_str()).or_else(|| request.uri().authority().map(|authority| authority.as_str()))
}

fn text<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn call(method: Method, headers: &[(&str, &str)]) -> Request {
        let call =
            headers.iter().fold(Request::builder().method(method), |call, (name, value)| call.header(*name, *value));
        call.body(Body::empty()).unwrap()
    }

    #[test]
    fn call_from_a_page_of_another_site_is_recognised() {
        for (is_foreign, headers) in [
            (false, &[("host", "localhost:8091")][..]),
            (false, &[("host", "localhost:8091"), ("origin", "http://localhost:8091")]),
            (false, &[("sec-fetch-site", "same-origin"), ("origin", "https://behind.a.proxy")]),
            (false, &[("sec-fetch-site", "none")]),
            (true, &[("sec-fetch-site", "cross-site")]),
            (true, &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")]),
            (true, &[("host", "localhost:8091"), ("origin", "http://localhost:3000")]),
            (true, &[("host", "localhost:8091"), ("origin", "null")]),
        ] {
            assert_eq!(is_cross_site(&call(Method::POST, headers)), is_foreign, "{headers:?}");
            assert!(!is_cross_site(&call(Method::GET, headers)), "{headers:?}");
        }
    }

    #[test]
    fn only_loopback_names_are_this_machine() {
        for (is_local, host) in [
            (true, "localhost:8091"),
            (true, "LOCALHOST"),
            (true, "127.0.0.1:8091"),
            (true, "127.1.2.3"),
            (true, "[::1]:8091"),
            (false, "example.com:8091"),
            (false, "localhost.example.com"),
            (false, "10.0.0.1"),
            (false, "a b"),
            (false, ""),
        ] {
            assert_eq!(is_for_this_machine(&call(Method::GET, &[("host", host)])), is_local, "{host:?}");
        }
        assert!(is_for_this_machine(&call(Method::GET, &[])), "browsers always send the header");
    }
}
